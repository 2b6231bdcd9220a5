package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/containerd/errdefs"
)

// says runs a shell command inside and returns what it prints.
func says(t *testing.T, inside backend.Inside, command string) string {
	t.Helper()
	var out, failed bytes.Buffer
	code, err := inside.Exec(t.Context(), []string{"sh", "-c", command}, []string{"WISH=granted"}, backend.Terminal{Out: &out, Err: &failed})
	if err != nil || code != 0 {
		t.Fatalf("%s: code %d, %v: %s", command, code, err, failed.String())
	}
	return out.String()
}

// holds says whether a process has a file open whose path ends so.
func holds(pid int, end string) bool {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	return slices.ContainsFunc(files, func(file string) bool {
		path, err := os.Readlink(file)
		return err == nil && strings.HasSuffix(path, end)
	})
}

func TestHelperBottleHasTheWorkAndNothingElse(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, "echo wish > made; ln -s /etc/passwd link; id -u")
		uid := u.Start(runtime).Want(t, 0).Stdout
		b := u.Backend(t)
		work, err := b.Find(t.Context(), "tester")
		if err != nil {
			t.Fatal(err)
		}
		inside, err := b.Enter(t.Context(), work)
		if err != nil {
			t.Fatal(err)
		}
		closed := false
		defer func() {
			if !closed {
				_ = inside.Close(context.WithoutCancel(t.Context()))
			}
		}()
		if got := says(t, inside, "cat made; pwd; echo $WISH; id -u"); got != "wish\n/workspace\ngranted\n"+uid {
			t.Errorf("inside there is %q, outside it was user %q", got, uid)
		}
		if got := says(t, inside, "ls -A /home/claude/.claude /home/claude/.ssh; env | grep -c ANTHROPIC; nslookup example.com || true; true"); strings.Contains(got, "Address: 198.") || !strings.Contains(got, "\n0\n") {
			t.Errorf("a helper has %q", got)
		}
		listed := u.Run("list", "-o", "json").Want(t, 0).Stdout
		bottletest.Contains(t, listed, `"helps": "`+work.Handle()+`"`, `"name": "helper-`)
		if _, err := b.Enter(t.Context(), work); !errdefs.IsUnavailable(err) {
			t.Errorf("two at a time: %v", err)
		}
		if !slices.ContainsFunc(u.Supervisors(), func(pid int) bool { return holds(pid, work.ID.String()+"/lock") }) {
			t.Error("with its client killed a helper would be at work that others can take")
		}
		pristine, err := b.Pristine(t.Context(), work)
		if err != nil {
			t.Fatal(err)
		}
		if got := says(t, pristine, "ls -A /workspace; echo there"); got != "there\n" {
			t.Errorf("a pristine bottle has %q", got)
		}
		closed = true
		for _, one := range []backend.Inside{pristine, inside} {
			if err := one.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		u.NothingLeft(t, "two helpers")
		if states, _ := filepath.Glob(filepath.Join(u.Root, "*", "bottles", "helper-*")); len(states) > 0 {
			t.Errorf("helpers keep %v", states)
		}
		if got, err := os.ReadFile(filepath.Join(work.Place(backend.PlaceWorkspace), "made")); err != nil || string(got) != "wish\n" {
			t.Errorf("kept is %q, %v", got, err)
		}
	})
}
