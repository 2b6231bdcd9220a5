package chaos

import (
	"os"
	"strconv"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/swaptest"
)

func TestT14_NoLinkThatIsSwappedInIsFollowed(t *testing.T) {
	entries := int64(10_000_000)
	if text := os.Getenv("CHAOS_ENTRIES"); text != "" {
		var err error
		if entries, err = strconv.ParseInt(text, 10, 64); err != nil || entries < 1 {
			t.Fatalf("CHAOS_ENTRIES is %q: give a number", text)
		}
	}
	swaptest.Run(t, entries)
}
