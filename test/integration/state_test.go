package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// listed is one line of list -o json.
type listed struct {
	Name, ID, Phase, Message string
	Created                  time.Time
	Detached                 bool
	Outcome                  *backend.Outcome
	Declaration              *backend.Declaration
	Workspace                string
}

// list lists, which never fails.
func list(t *testing.T, u *bottletest.User) []listed {
	t.Helper()
	var found []listed
	if err := json.Unmarshal([]byte(u.Run("list", "-o", "json").Want(t, 0).Stdout), &found); err != nil {
		t.Fatal(err)
	}
	return found
}

// named is the one of that name.
func named(t *testing.T, all []listed, name string) listed {
	t.Helper()
	for _, one := range all {
		if one.Name == name {
			return one
		}
	}
	t.Fatalf("%s is not listed: %+v", name, all)
	return listed{}
}

// dead starts a bottle that works and kills all that holds it. It returns the
// bottle's state and run directories.
func dead(t *testing.T, u *bottletest.User, runtime, name string) (state, run string) {
	t.Helper()
	before := u.Supervisors()
	if len(before) != 0 {
		t.Fatalf("supervisors %v are still there", before)
	}
	does(u, "echo work > work.txt; echo ready; cat")
	s := u.OnTerminal("start", "tester", "--yes", "--runtime", runtime, "--name", name)
	s.Shows("ready")
	bottletest.Abandon(s.Process.Process.Pid, u.Supervisors())
	s.Ends()
	// A process that dies has no command line any more before it lets go of its
	// files.
	bottletest.Eventually(t, "nobody holds "+name, func() bool {
		return len(u.Supervisors()) == 0 && named(t, list(t, u), name).Phase == "Dead"
	})
	return only(t, u.Root, name), only(t, u.RunRoot, name)
}

// only is the one directory of a bottle below a root.
func only(t *testing.T, root, name string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, "*", "bottles", name+"-?????"))
	if err != nil || len(found) != 1 {
		t.Fatalf("directories of %s: %v, %v", name, found, err)
	}
	return found[0]
}

// spoilers are what happens to a file.
func spoilers(random *rand.Rand) map[string]func([]byte) []byte {
	return map[string]func([]byte) []byte{
		"empty":  func([]byte) []byte { return nil },
		"cut":    func(data []byte) []byte { return data[:len(data)/2] },
		"zeroed": func(data []byte) []byte { return make([]byte, max(1, len(data))) },
		"garbage": func([]byte) []byte {
			return []byte("\xff\xfe\x00garbage \x1b]0;evil\x07\n{\"version\": {}}")
		},
		"flipped": func(data []byte) []byte {
			flipped := append(bytes.Clone(data), 0)
			for range 20 {
				flipped[random.IntN(len(flipped))] ^= 1 << random.IntN(8)
			}
			return flipped
		},
	}
}

// spoil changes every plain file of the directory that is not the agent's.
func spoil(t *testing.T, directory string, how func([]byte) []byte) {
	t.Helper()
	spoilt := 0
	err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.Name() == "workspace" {
			return filepath.SkipDir
		}
		if !entry.Type().IsRegular() || entry.Name() == "netns" { // a mount
			return nil
		}
		data, err := os.ReadFile(path)
		spoilt++
		return errors.Join(err, os.WriteFile(path, how(data), 0o600))
	})
	if err != nil || spoilt == 0 {
		t.Fatalf("%d files of %s are spoilt, %v", spoilt, directory, err)
	}
}

// isWork fails unless the agent's file is still there.
func isWork(t *testing.T, state string) {
	t.Helper()
	if data, err := os.ReadFile(filepath.Join(state, "workspace", "work.txt")); err != nil || string(data) != "work\n" {
		t.Errorf("the work is %q, %v", data, err)
	}
}

// TestF24_SpoiltFilesOfADeadBottle: list shows the bottle, one cleanup leaves
// nothing but the work, and names it, and the name can be used again.
func TestF24_SpoiltFilesOfADeadBottle(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		for name, how := range spoilers(rand.New(rand.NewPCG(24, 2))) {
			state, run := dead(t, u, runtime, name)
			spoil(t, state, how)
			spoil(t, run, how)
			if one := named(t, list(t, u), name); one.Phase != "Dead" || one.ID != filepath.Base(state) {
				t.Errorf("%s: %+v", name, one)
			}
			r := u.Run("cleanup", "--yes").Want(t, 0)
			handle := name + "@" + filepath.Base(state)[len(name)+1:]
			bottletest.Contains(t, r.Stdout, "keep "+handle, filepath.Join(state, "workspace"))
			isWork(t, state)
			u.NothingLeft(t, name+" and one cleanup")
			if one := named(t, list(t, u), handle); one.Phase != "Kept" {
				t.Errorf("%s: %+v", name, one)
			}
			does(u, "exit 7")
			u.Start(runtime, "--name", name, "--quiet").Want(t, 7)
			bottletest.Eventually(t, "the bottle goes", func() bool { return len(u.Supervisors()) == 0 })
		}
	})
}

// TestF24_WhatIsNoFileIsNamedAndStandsInNobodysWay: a lock and a baseline of
// the wrong kind keep their bottle, and another one is cleaned up beside it.
func TestF24_WhatIsNoFileIsNamedAndStandsInNobodysWay(t *testing.T) {
	u := newUser(t, "2.4")
	state, run := dead(t, u, "runc", "odd")
	other, _ := dead(t, u, "runc", "other")
	lock, canary := filepath.Join(run, "lock"), filepath.Join(u.Cwd, "canary")
	u.Write("project/canary", "as it was")
	for _, plant := range []func() error{
		func() error { return os.Mkdir(lock, 0o700) },
		func() error { return os.Symlink(canary, lock) },
		func() error { return os.Symlink("/nowhere", lock) },
	} {
		if err := errors.Join(os.RemoveAll(lock), plant()); err != nil {
			t.Fatal(err)
		}
		one := named(t, list(t, u), "odd")
		bottletest.Contains(t, one.Message, lock)
		bottletest.Contains(t, u.Run("cleanup", "--yes").Want(t, 0).Stdout, "keep odd@", run)
		isWork(t, state)
	}
	isWork(t, other)
	bottletest.Eventually(t, "the other one is gone, and this one is not", func() bool {
		left := u.Left()
		return !strings.Contains(left, "other") && strings.Contains(left, "odd")
	})
	if data, err := os.ReadFile(canary); err != nil || string(data) != "as it was" {
		t.Errorf("what the link leads to is %q, %v", data, err)
	}
	baseline := filepath.Join(state, "baseline")
	if err := errors.Join(os.Remove(lock), os.Remove(baseline), os.Mkdir(baseline, 0o700)); err != nil {
		t.Fatal(err)
	}
	bottletest.Contains(t, u.Run("cleanup", "--yes").Want(t, 0).Stdout, "keep odd@", "can't be told")
	isWork(t, state)
	u.NothingLeft(t, "a cleanup")
}

// relabel changes labels of a record behind the program's back.
func relabel(t *testing.T, u *bottletest.User, name string, labels map[string]string) {
	t.Helper()
	ctx := namespaces.WithNamespace(context.Background(), bottletest.Namespace)
	paths := make([]string, 0, len(labels))
	changed := containers.Container{ID: name, Labels: map[string]string{}}
	for key, value := range labels {
		changed.Labels["claude-bottle.dev/"+key] = value
		paths = append(paths, "labels.claude-bottle.dev/"+key)
	}
	if _, err := u.Daemon.Client().ContainerService().Update(ctx, changed, paths...); err != nil {
		t.Fatal(err)
	}
}

// TestF24_ALaterVersionIsReadOnly: what a later version of the program has made
// is listed, with the reason why it is left alone, and neither cleanup nor start
// touches it.
func TestF24_ALaterVersionIsReadOnly(t *testing.T) {
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			u := newUser(t, version)
			state, run := dead(t, u, "runc", "later")
			relabel(t, u, "later", map[string]string{"version": "99"})
			before := u.Left()
			one := named(t, list(t, u), "later")
			bottletest.Contains(t, one.Message, "version 99", "leaves it alone")
			if one.Phase != "Dead" {
				t.Errorf("%+v", one)
			}
			r := u.Run("cleanup", "--yes").Want(t, 0)
			bottletest.Contains(t, r.Stdout, "Nothing to clean up", "keep later@", "version 99")
			r = u.Start("runc", "--name", "later").Want(t, 125)
			bottletest.Contains(t, r.Stderr, "version 99", "leaves it alone")
			isWork(t, state)
			if after := u.Left(); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			relabel(t, u, "later", map[string]string{"version": "1"})
			plan := filepath.Join(state, "plan.json")
			if err := os.WriteFile(plan, []byte(`{"version": 99}`), 0o600); err != nil {
				t.Fatal(err)
			}
			bottletest.Contains(t, u.Run("cleanup", "--yes").Want(t, 0).Stdout, "keep later@", "version 99")
			if _, err := os.Stat(run); err != nil {
				t.Error(err)
			}
			if err := os.Remove(plan); err != nil {
				t.Fatal(err)
			}
			u.Run("cleanup", "--yes").Want(t, 0)
			isWork(t, state)
		})
	}
}

// TestF24_SpoiltLabels: a record is known by the key of its snapshot when its
// label is not its own, and what neither names is kept.
func TestF24_SpoiltLabels(t *testing.T) {
	u := newUser(t, "2.4")
	for i, text := range []string{"garbage", "spoilt-../../../../etc", "other-abcde", "spoilt-abc", "-"} {
		name := fmt.Sprintf("spoilt%d", i)
		state, _ := dead(t, u, "runc", name)
		relabel(t, u, name, map[string]string{"id": text, "wish": "\x01", "plan": "\x1b", "agent": ""})
		if one := named(t, list(t, u), name); one.Phase != "Dead" || one.ID != filepath.Base(state) {
			t.Errorf("%s: %+v", text, one)
		}
		u.Run("cleanup", "--yes").Want(t, 0)
		isWork(t, state)
		u.NothingLeft(t, text+" and one cleanup")
	}
}
