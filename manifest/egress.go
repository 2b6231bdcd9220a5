package manifest

import (
	"cmp"

	"github.com/claude-bottle/claude-bottle/backend"
)

// mergeEgress lays what a bottle says of egress over what it extends: its mode
// wins, the lists grow.
func mergeEgress(base, over backend.Egress) backend.Egress {
	return backend.Egress{
		Mode:       cmp.Or(over.Mode, base.Mode),
		AskTimeout: cmp.Or(over.AskTimeout, base.AskTimeout),
		Allow:      appendNew(base.Allow, over.Allow),
		Presets:    appendNew(base.Presets, over.Presets),
		Private:    appendNew(base.Private, over.Private),
	}
}
