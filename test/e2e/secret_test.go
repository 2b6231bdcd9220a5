package e2e

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/anthropic"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// The command that the agent runs spells the key's beginning with two quotes in
// it, or its own transcript would be found.

// TestT27TheKeyReachesTheAPIAndNothingElse looks for the real key while a
// bottle runs and after it: in the bottle, in containerd's files, in ours, and
// in every process but the two that hold it by right.
func TestT27TheKeyReachesTheAPIAndNothingElse(t *testing.T) {
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			gate := make(chan struct{})
			u := newUser(t,
				anthropic.Turn{Tools: []anthropic.Tool{{Name: "Bash", Input: map[string]any{
					"command":     "env > env.txt; cat /proc/*/environ /proc/*/cmdline > proc.txt 2>/dev/null; grep -rl canary-\"\"5f1d / --include=* --exclude-dir=proc --exclude-dir=sys 2>/dev/null > found.txt; true",
					"description": "look for the key",
				}}}},
				anthropic.Turn{Text: "done", Gate: gate},
			)
			command := u.Command("start", "tester", "--yes", "--runtime", runtime, "--", "-p", "look")
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = command.Process.Kill() }()
			bottletest.Eventually(t, "the second request arrives", func() bool { return len(u.API.Requests()) >= 2 })
			searchForKey(t, u, command.Process.Pid)
			close(gate)
			if err := command.Wait(); err != nil {
				t.Fatal(err)
			}
			for _, request := range u.API.Requests() {
				if got := request.Header.Get("X-Api-Key"); got != bottletest.Key {
					t.Errorf("the API got key %q", got)
				}
			}
			checkInside(t, u)
			searchForKey(t, u, 0)
		})
	}
}

// checkInside reads what the agent found.
func checkInside(t *testing.T, u *bottletest.User) {
	t.Helper()
	for _, name := range []string{"env.txt", "proc.txt", "found.txt"} {
		files, _ := filepath.Glob(filepath.Join(u.Root, "*", "bottles", "tester-*", "workspace", name))
		if len(files) != 1 {
			t.Fatalf("%s is at %v", name, files)
		}
		data, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(bottletest.Key)) || (name == "found.txt" && len(data) > 0) {
			t.Errorf("the agent has the key: %s holds %.300q", name, data)
		}
		if name == "env.txt" {
			bottletest.Contains(t, string(data), "ANTHROPIC_BASE_URL=http://anthropic.bottle")
		}
	}
}

// searchForKey looks through files and processes of the host. The test itself,
// the CLI and its supervisor hold the key by right.
func searchForKey(t *testing.T, u *bottletest.User, cli int) {
	t.Helper()
	key := []byte(bottletest.Key)
	for _, root := range []string{u.Daemon.Root, u.Daemon.State, u.Root, u.RunRoot} {
		_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			// The image's layers were there before the key.
			if err != nil || !entry.Type().IsRegular() || strings.Contains(path, "/blobs/sha256/") || strings.Contains(path, "/snapshots/1/") {
				return nil
			}
			if info, err := entry.Info(); err != nil || info.Size() > 64<<20 {
				return nil
			}
			if data, err := os.ReadFile(path); err == nil && bytes.Contains(data, key) {
				t.Errorf("T27: the key is in %s", path)
			}
			return nil
		})
	}
	byRight := append(u.Supervisors(), os.Getpid(), cli)
	directories, _ := filepath.Glob("/proc/[0-9]*")
	for _, directory := range directories {
		pid, err := strconv.Atoi(filepath.Base(directory))
		if err != nil || slices.Contains(byRight, pid) {
			continue
		}
		for _, name := range []string{"environ", "cmdline"} {
			if data, err := os.ReadFile(filepath.Join(directory, name)); err == nil && bytes.Contains(data, key) {
				t.Errorf("T27: the key is in %s of process %d", name, pid)
			}
		}
	}
	for _, pid := range u.Supervisors() {
		for _, name := range []string{"environ", "cmdline"} {
			if data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), name)); err == nil && bytes.Contains(data, key) {
				t.Errorf("T27: the key is in %s of a supervisor", name)
			}
		}
	}
}
