package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// TestF16_F19_StateIsOnTheDiskBeforeItCounts reads off the system calls of a start and of
// the supervisor that ends it: a file of the state is synced before it gets its name,
// and its directory after; the work is synced before the run directory, by which the
// bottle would be found and taken down again, begins to go. The disk is a slow one, and
// nobody loses patience.
func TestF16_F19_StateIsOnTheDiskBeforeItCounts(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is not installed: hack/setup.sh disk")
	}
	u := newUser(t, "2.4")
	does(u, "echo one > one.txt")
	u.Start("runc", "--quiet").Want(t, 0) // the probe is done
	idle(t, u)
	u.Run("rm", "tester", "--discard").Want(t, 0)
	trace := filepath.Join(t.TempDir(), "trace")
	command := u.Command("start", "tester", "--yes", "--quiet", "--runtime", "runc")
	command.Args = append([]string{strace, "-f", "-y", "-o", trace, "-e", "trace=fsync,syncfs,rename,renameat,renameat2,unlinkat", "-e", "signal=none", "-e", "inject=fsync,syncfs:delay_enter=300000"}, command.Args...)
	command.Path = strace
	if r := u.RunCommand(command).Want(t, 0); r.Stderr != "" && !strings.HasPrefix(r.Stderr, "claude-bottle: unsaved, kept as ") {
		t.Errorf("it says:\n%s", r.Stderr)
	}
	idle(t, u)
	state := only(t, u.Root, "tester")
	data, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	calls := string(data)
	for _, name := range []string{"plan.json", "baseline", "tips"} {
		path := regexp.QuoteMeta(filepath.Join(state, name))
		inOrder(t, calls, `fsync\(\d+<`+path+`\.new`, `rename[^\n]*`+path+`\.new[^\n]*`+path+`"`, `fsync\(\d+<`+regexp.QuoteMeta(state)+`>`)
	}
	run := filepath.Base(state)
	inOrder(t, calls, `syncfs\(\d+<`+regexp.QuoteMeta(state)+`>`, `unlinkat\([^\n]*`+regexp.QuoteMeta(filepath.Join(u.RunRoot))+`[^\n]*`+run)
	if strings.Contains(calls, "syncfs") && strings.Index(calls, "syncfs") < strings.Index(calls, filepath.Join(state, "baseline")) {
		t.Error("the work is synced before there is any")
	}
	bottletest.Contains(t, u.Work("one.txt"), "one")
}

// inOrder wants the patterns one after the other.
func inOrder(t *testing.T, text string, patterns ...string) {
	t.Helper()
	at := 0
	for _, pattern := range patterns {
		found := regexp.MustCompile(pattern).FindStringIndex(text[at:])
		if found == nil {
			t.Fatalf("%s does not follow in\n%s", pattern, text[at:])
		}
		at += found[1]
	}
}
