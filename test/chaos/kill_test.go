package chaos

import (
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/chaostest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
)

func TestF1_F10_F11_I1_I2_StrikesAtManyMoments(t *testing.T) {
	daemon := containerdtest.Start(t, containerdtest.Options{})
	daemon.ImportTestImage(t, bottletest.Namespace)
	u := bottletest.New(t, bottletest.Options{Daemon: daemon, Image: containerdtest.TestImage})
	chaostest.Run(u, chaostest.Environment(t, 1008))
}

func TestF1_I1_I2_StrikesAtEachCallToContainerd(t *testing.T) {
	daemon := containerdtest.Start(t, containerdtest.Options{})
	daemon.ImportTestImage(t, bottletest.Namespace)
	u := bottletest.New(t, bottletest.Options{Daemon: daemon, Image: containerdtest.TestImage})
	options := chaostest.Environment(t, 0)
	options.Points = 0 // all there are
	chaostest.Calls(u, options)
}
