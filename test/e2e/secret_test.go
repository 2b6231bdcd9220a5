package e2e

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/fake/anthropic"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// veiled is a secret as the attack is told it: so that its own arguments, and
// claude's transcript of them, are not what it finds.
func veiled(secret string) string {
	data := []byte(secret)
	for i := range data {
		data[i] ^= 0x5a
	}
	return hex.EncodeToString(data)
}

// TestT27_T30_SecretsReachTheirUpstreamsAndNothingElse uses each kind of secret,
// and looks for all of them while a bottle runs and after it: in the bottle, in
// containerd's files, in ours, and in every process but those that hold them by
// right.
func TestT27_T30_SecretsReachTheirUpstreamsAndNothingElse(t *testing.T) {
	for _, runtime := range bottletest.Runtimes() {
		for _, variable := range []string{"ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"} {
			t.Run(runtime+"/"+variable, func(t *testing.T) { useSecrets(t, runtime, variable) })
		}
	}
}

func useSecrets(t *testing.T, runtime, variable string) {
	key, token := "sk-ant-canary-"+rand.Text(), "ghp_canary-"+rand.Text()
	secrets := map[string]string{variable: key, "the git token": token}
	gate := make(chan struct{})
	second := runs(fmt.Sprintf("./attack secrets %s=%s git=%s > secrets.txt 2>&1", variable, veiled(key), veiled(token)))
	second.Gate = gate
	u := bottletest.New(t, bottletest.Options{Daemon: sharedDaemon(t), Key: key, Turns: []anthropic.Turn{
		runs("git clone https://github.com/owner/repo > git.txt 2>&1; curl -sS http://echo.bottle/echo/x > echo.txt 2>&1; env > env.txt; sync"), second, {Text: "done"},
	}})
	server := forgeOf(t, u, token)
	server.Repository(t, "owner/repo")
	buildAttack(t, filepath.Join(u.Cwd, "attack"))
	log := filepath.Join(filepath.Dir(u.Home), "log.txt")
	command := u.Command("--log-level", "trace", "--log-file", log, "start", "tester", "--yes", "--cwd", "--runtime", runtime, "--", "-p", "use what you have")
	command.Env = append(command.Env, "ANTHROPIC_API_KEY=", variable+"="+key, "GITHUB_TOKEN="+token, "SSL_CERT_FILE="+server.CA)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	defer func() { _ = command.Process.Kill() }()
	bottletest.Eventually(t, "the first command ends", func() bool { return len(server.Requests()) > 2 && asks(u, "tool_result") })
	u.Hunt(t, secrets, []int{command.Process.Pid})
	close(gate)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for _, request := range u.API.Requests() {
		if got := request.Header.Get("X-Api-Key") + strings.TrimPrefix(request.Header.Get("Authorization"), "Bearer "); got != key {
			t.Errorf("the API got %q", got)
		}
	}
	u.Hunt(t, secrets, nil)
	checkFound(t, u.Work("secrets.txt"))
	bottletest.Contains(t, u.Work("env.txt"), "ANTHROPIC_BASE_URL=http://anthropic.bottle")
}

// checkFound reads what the agent says that it has found, and whether it has
// looked: at files, at processes and at their memory, unless that is closed.
func checkFound(t *testing.T, said string) {
	t.Helper()
	var files, processes, memory int
	at := strings.Index(said, "looked at ")
	if at < 0 {
		t.Fatalf("T27: the agent says: %s", said)
	}
	_, err := fmt.Sscanf(said[at:], "looked at %d files, %d processes, %d bytes of memory", &files, &processes, &memory)
	closed := strings.Count(said[:at], "/mem: permission denied\n")
	if err != nil || strings.Contains(said, "found ") || files < 1000 || processes < 2 || memory < 1<<20 && closed < processes {
		t.Errorf("T27: the agent says: %s (%v)", said, err)
	}
}

// asks says whether the API was asked with such words.
func asks(u *bottletest.User, words string) bool {
	for _, request := range u.API.Requests() {
		if strings.Contains(request.Body, words) {
			return true
		}
	}
	return false
}

// buildAttack builds what looks around inside.
func buildAttack(t *testing.T, path string) {
	t.Helper()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "../attack")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build attack: %v: %s", err, output)
	}
}
