package integration

import (
	"testing"

	"github.com/claude-bottle/claude-bottle/test/chaostest"
)

// TestF1_I1_I2_StrikesAtCallsToContainerd is a part of what `make chaos` does.
func TestF1_I1_I2_StrikesAtCallsToContainerd(t *testing.T) {
	chaostest.Calls(newUser(t, "2.4"), chaostest.Environment(t, 12))
}
