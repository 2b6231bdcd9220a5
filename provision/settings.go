package provision

import (
	"encoding/json"
	"fmt"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
)

// Sentinels stand in the bottle for the credential that the gateway puts on. The
// key has the shape that claude expects of one.
const (
	sentinelKey   = "sk-ant-api03-claude-bottle-sentinel-the-real-key-stays-on-the-host"
	sentinelToken = "sk-ant-oat01-claude-bottle-sentinel-the-real-token-stays-on-the-host"
)

// approvedTail is how much of a key claude remembers as approved.
const approvedTail = 20

// settingsInputs are the state that lets claude open at its prompt instead of at
// its first-run questions, and git's settings.
func settingsInputs(spec backend.Spec) ([]backend.Input, error) {
	state, err := json.MarshalIndent(map[string]any{
		"hasCompletedOnboarding":   true,
		"hasSeenAutoDefaultNotice": true,
		"hasSeenAutoDefaultNudge":  true,
		"customApiKeyResponses":    map[string]any{"approved": []string{sentinelKey[len(sentinelKey)-approvedTail:]}, "rejected": []string{}},
		"projects":                 map[string]any{backend.WorkspacePath: map[string]any{"hasTrustDialogAccepted": true}},
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write claude's state: %w", err)
	}
	// By settings and not by a flag: so claude's own verbs and flags work as
	// they do elsewhere, and a repository may ask for a stricter mode.
	settings := []byte(`{"permissions": {"defaultMode": "bypassPermissions"}, "skipDangerousModePermissionPrompt": true}` + "\n")
	git := fmt.Appendf(nil, "[safe]\n\tdirectory = *\n[user]\n\tname = claude (%s)\n\temail = claude@%s.bottle.invalid\n[init]\n\tdefaultBranch = main\n",
		spec.Manifest.Agent.Name, spec.BottleName())
	git = append(git, gitRoutes(spec.Manifest.Bottle)...)
	home, err := built(backend.Input{
		Kind: backend.InputSettings, Name: "home settings", Place: backend.PlaceHome,
		Files: 2, Bytes: int64(len(state) + len(git)),
	}, func(b *archive.Builder) {
		b.File(".claude.json", 0o600, state)
		b.File(".gitconfig", 0o600, git)
	})
	if err != nil {
		return nil, err
	}
	claude, err := built(backend.Input{
		Kind: backend.InputSettings, Name: "claude settings", Place: backend.PlaceClaude, Files: 1, Bytes: int64(len(settings)),
	}, func(b *archive.Builder) { b.File("settings.json", 0o600, settings) })
	if err != nil {
		return nil, err
	}
	return []backend.Input{home, claude}, nil
}
