package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestT49_AKnownBadModuleFailsTheAudit(t *testing.T) {
	planted := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module planted.test/old\n\ngo 1.26.8\n\nrequire github.com/gorilla/websocket v1.4.0\n",
		"go.sum": "github.com/gorilla/websocket v1.4.0 h1:WDFjx/TMzVgy9VdMMQi2K2Emtwi2QcUQsztZ/zLaH/Q=\n" +
			"github.com/gorilla/websocket v1.4.0/go.mod h1:E7qHFY5m1UJ88s3WnNqhKjPHQ0heANvMoAMk2YaljkQ=\n",
		"main.go": "package main\n\nimport \"github.com/gorilla/websocket\"\n\nfunc main() { _ = new(websocket.Conn).Close() }\n",
	} {
		if err := os.WriteFile(filepath.Join(planted, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), "../hack/audit.sh", "imports", planted).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "GO-2020-0019") || !strings.Contains(string(out), "update the module that has it") {
		t.Errorf("the audit of an old module ended with %v:\n%s", err, out)
	}
}
