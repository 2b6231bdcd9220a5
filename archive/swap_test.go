package archive_test

import (
	"testing"

	"github.com/claude-bottle/claude-bottle/test/swaptest"
)

func TestT14_T18_NoLinkThatIsSwappedInIsFollowed(t *testing.T) { swaptest.Run(t, 100_000) }
