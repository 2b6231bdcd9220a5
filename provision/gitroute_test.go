package provision

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
)

// TestGitGoesThroughTheRoutes asks git itself which URL it would take.
func TestGitGoesThroughTheRoutes(t *testing.T) {
	bottle := backend.BottleFile{
		Credentials: []backend.CredentialEntry{
			{Name: "github", Secret: "env:A"},
			{Name: "code", Kind: backend.RouteGitea, Upstream: "https://code.example/", Secret: "env:B"},
			{Name: "deep", Kind: backend.RouteGitea, Upstream: "https://code.example/mirror", Secret: "env:C"},
			{Name: "shell", Kind: backend.RouteGitea, Upstream: "https://shell.example", Secret: "env:D"},
			{Name: "service", Upstream: "https://api.example", Secret: "env:E"},
		},
		SSH: []backend.SSHEntry{{Host: "s", Hostname: "shell.example"}},
	}
	config := filepath.Join(t.TempDir(), ".gitconfig")
	if err := os.WriteFile(config, gitRoutes(bottle), 0o600); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{
		"https://github.com/o/r":             "http://github.bottle/o/r",
		"git@github.com:o/r.git":             "http://github.bottle/o/r.git",
		"ssh://git@github.com/o/r":           "http://github.bottle/o/r",
		"https://code.example/o/r":           "http://code.bottle/o/r",
		"https://code.example/mirror/o/r":    "http://deep.bottle/o/r",
		"git@code.example:o/r":               "http://code.bottle/o/r",
		"https://shell.example/o/r":          "http://shell.bottle/o/r",
		"git@shell.example:o/r":              "git@shell.example:o/r",
		"https://api.example/o/r":            "https://api.example/o/r",
		"https://github.com.evil.example/o":  "https://github.com.evil.example/o",
		"https://code.example.evil/mirror/o": "https://code.example.evil/mirror/o",
	} {
		command := exec.CommandContext(t.Context(), "git", "ls-remote", "--get-url", url)
		command.Dir = filepath.Dir(config)
		command.Env = []string{"PATH=/usr/bin:/bin", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + config}
		output, err := command.CombinedOutput()
		if got := strings.TrimSpace(string(output)); err != nil || got != want {
			t.Errorf("%s becomes %q, want %q, %v", url, got, want, err)
		}
	}
}
