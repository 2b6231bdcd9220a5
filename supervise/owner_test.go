package supervise

import (
	"testing"

	"github.com/claude-bottle/claude-bottle/neck"
)

func TestT43_AnOwnerAsksForNothingOfTheHost(t *testing.T) {
	for _, kind := range []neck.Kind{kindDown, kindDetach, kindFollow, kindFence, neck.KindDial, neck.KindName, neck.KindNames, neck.KindFence, neck.KindSSHAgent, "", "another"} {
		if OfOwner(kind) {
			t.Errorf("%q is taken", kind)
		}
	}
	for _, kind := range []neck.Kind{neck.KindSession, neck.KindAttach, neck.KindPack, neck.KindUnpack, kindOutfitted, kindBegin, kindHalt, kindReport, kindAllow} {
		if !OfOwner(kind) {
			t.Errorf("%q is refused", kind)
		}
	}
}
