package provision

import (
	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
)

// Goes decides for each entry of the working directory whether it goes in, as the
// copy itself does: ErrSkip says that it stays.
func Goes(tree *backend.WorkTree) func(archive.Entry) error { return judgeOf(tree).visit }
