package main

import (
	"fmt"
	"io"

	"github.com/claude-bottle/claude-bottle/backend"
)

// printUnsaved is the three lines that stand at the end of a session: what is
// nowhere else, how to get it, and how to go on or to throw it away.
func printUnsaved(w io.Writer, unsaved backend.Unsaved, plan *backend.Plan) {
	handle := backend.Printable(unsaved.Handle)
	if !unsaved.Any() {
		if unsaved.Differs() {
			_, _ = fmt.Fprintf(w, "claude-bottle: no work is unsaved; what else changed in .git is kept as %s: claude-bottle rm %s\n", handle, handle)
		}
		return
	}
	_, _ = fmt.Fprintf(w, "claude-bottle: unsaved, kept as %s: %s\n", handle, unsaved.Words())
	get := fmt.Sprintf("claude-bottle diff %s, then apply %s, or cp %s:/workspace DIRECTORY", handle, handle, handle)
	commits := len(unsaved.Refs) > 0 || unsaved.Unknown != ""
	if commits && plan != nil && plan.Workspace != nil && plan.Workspace.Head != "" {
		get = fmt.Sprintf("claude-bottle fetch %s (as refs/bottle/... of %s), or diff, apply, cp", handle, backend.Printable(plan.Workspace.Path))
	}
	_, _ = fmt.Fprintf(w, "  get it:   %s\n", get)
	_, _ = fmt.Fprintf(w, "  or else:  claude-bottle resume %s goes on; rm --discard %s throws it away\n", handle, handle)
}
