package devcontainer

import (
	"path"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/pattern"
	"github.com/tailscale/hujson"
)

// notFilled is why a value with a variable of another kind is ignored.
const notFilled = "it holds a ${variable} that is not filled in: nothing of the host is, and only ${containerWorkspaceFolder} and ${containerWorkspaceFolderBasename} are known"

// ofFormat are the variables that the format knows and a bottle has no value for. What else
// stands between braces in a command is its shell's.
var ofFormat = pattern.Lazy(`\$\{(localEnv:|env:|containerEnv:|localWorkspaceFolder\}|localWorkspaceFolderBasename\}|devcontainerId\})`)

// known fills in what the bottle itself says.
func known(text string) string {
	return strings.NewReplacer(
		"${containerWorkspaceFolder}", backend.WorkspacePath,
		"${containerWorkspaceFolderBasename}", path.Base(backend.WorkspacePath),
	).Replace(text)
}

// fill fills in a value; whole is unset when a variable is left.
func fill(text string) (filled string, whole bool) {
	filled = known(text)
	return filled, !strings.Contains(filled, "${")
}

// fillCommand is fill for what a shell may read.
func fillCommand(text string) (filled string, whole bool) {
	filled = known(text)
	return filled, !ofFormat().MatchString(filled)
}

// whole is a text of which nothing may be left out.
func (r *reader) whole(value hujson.Value, key string) (string, error) {
	text, err := r.text(value, key)
	if err != nil {
		return "", err
	}
	filled, ok := fill(text)
	if !ok {
		return "", r.wrong(value, key, "%s", notFilled)
	}
	return filled, nil
}
