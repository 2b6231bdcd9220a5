package hostgit

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func repository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := (Git{Dir: dir}).Run(t.Context(), nil, "init", "-q", "-b", "main", "."); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestT19_ARepositoryRunsNothing(t *testing.T) {
	dir := repository(t)
	ran := filepath.Join(t.TempDir(), "ran")
	script := "#!/bin/sh\ntouch " + ran + "\n"
	hook := filepath.Join(dir, ".git/hooks/post-index-change")
	if err := os.WriteFile(hook, []byte(script), 0o700); err != nil { //nolint:gosec // it is to be run
		t.Fatal(err)
	}
	config := "[core]\n\tfsmonitor = touch " + ran + "\n\tpager = touch " + ran + "\n[diff]\n\texternal = touch " + ran + "\n"
	if err := os.WriteFile(filepath.Join(dir, ".git/config"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	git := Git{Dir: dir}
	for _, args := range [][]string{{"status"}, {"add", "file"}, {"update-index", "--refresh"}, {"log", "--all"}} {
		if _, err := git.Run(t.Context(), nil, args...); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("the repository's own program ran")
	}
}

// TestT19_ARepositoryFetchesNothing: what a partial clone lacks is asked for by a
// command that its own settings name and allow. Older versions of git know no
// other way to stop that than the list of protocols.
func TestT19_ARepositoryFetchesNothing(t *testing.T) {
	dir := repository(t)
	ran := filepath.Join(t.TempDir(), "ran")
	config := "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tpartialClone = origin\n[remote \"origin\"]\n\tpromisor = true\n\turl = ext::touch " + ran + "\n[protocol \"ext\"]\n\tallow = always\n"
	if err := os.WriteFile(filepath.Join(dir, ".git/config"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := strings.Repeat("12", 20)
	git := Git{Dir: dir, Env: []string{"GIT_NO_LAZY_FETCH=0"}}
	if _, err := git.Run(t.Context(), nil, "cat-file", "-p", missing); err == nil {
		t.Error("there is no such object")
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("the repository's own program ran")
	}
}

func TestOwnerRunsGit(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	dir := repository(t)
	if owner, err := OwnerOf(dir); err != nil || owner != nil {
		t.Errorf("owner is %+v, %v", owner, err)
	}
	const nobody = 65534
	for _, path := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(path, 0o755); err != nil { //nolint:gosec // another user passes
			t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "chown", "-R", "65534:65534", dir).CombinedOutput(); err != nil {
		t.Fatal(string(out))
	}
	owner, err := OwnerOf(dir)
	if err != nil || owner == nil || owner.UID != nobody {
		t.Fatalf("owner is %+v, %v", owner, err)
	}
	if _, err := (Git{Dir: dir, Owner: owner}).Run(t.Context(), strings.NewReader("x"), "hash-object", "-w", "--stdin"); err != nil {
		t.Fatal(err)
	}
	objects, err := filepath.Glob(filepath.Join(dir, ".git/objects/??"))
	if err != nil || len(objects) != 1 {
		t.Fatal(objects, err)
	}
	if made, err := OwnerOf(objects[0]); err != nil || made == nil || made.UID != nobody {
		t.Errorf("what git made belongs to %+v, %v", made, err)
	}
}

func TestErrorsSayWhatGitSaid(t *testing.T) {
	git := Git{Dir: repository(t)}
	_, err := git.Run(t.Context(), nil, "rev-parse", "--verify", "none\x1b[2J")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(err.Error(), "git rev-parse") || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("error is %v", err)
	}
	git.Timeout = time.Nanosecond
	if _, err := git.Run(t.Context(), nil, "status"); err == nil {
		t.Error("no bound")
	}
}
