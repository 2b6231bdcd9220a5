package integration

import (
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/chaostest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
)

// TestF1_F7_I1_I2_StrikesAtManyMoments is a part of what `make chaos` does.
func TestF1_F7_I1_I2_StrikesAtManyMoments(t *testing.T) {
	// A daemon of its own: it dies so often that its log is of use to nobody else.
	daemon := containerdtest.Start(t, containerdtest.Options{})
	daemon.ImportTestImage(t, bottletest.Namespace)
	u := bottletest.New(t, bottletest.Options{Daemon: daemon, Image: containerdtest.TestImage})
	options := chaostest.Environment(t, 40)
	options.Restarts = 20
	chaostest.Run(u, options)
}
