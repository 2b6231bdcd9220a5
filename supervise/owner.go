package supervise

import (
	"slices"

	"github.com/claude-bottle/claude-bottle/neck"
)

// OfOwner says whether a request may come from the owner of a bottle who is not root.
// Those requests name nothing of the host: a command, a path or a port inside the
// bottle, a host of the network, or nothing at all. Who the bottle belongs to, and
// whether it lives on, is said to the backend instead.
func OfOwner(kind neck.Kind) bool {
	return slices.Contains([]neck.Kind{
		neck.KindSession, neck.KindAttach, neck.KindForward, neck.KindPack, neck.KindUnpack, neck.KindList,
		kindReady, kindOutfitted, kindBegin, kindHalt, kindReport,
		kindAllow, kindDeny, kindApprove, kindPending, kindTest,
	}, kind)
}
