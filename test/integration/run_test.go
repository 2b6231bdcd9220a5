package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// ran is one bottle of a run, as it prints it.
type ran struct {
	Name, Handle, Task, Said, SaidAside, Error string
	ExitCode                                   *int
	Work                                       struct {
		Words, Repository string
		Refs              []struct{ Ref, New string }
	}
}

func runs(t *testing.T, r bottletest.Result) []ran {
	t.Helper()
	var list []ran
	if err := json.Unmarshal([]byte(r.Stdout), &list); err != nil {
		t.Fatalf("%v in %s", err, r.Stdout)
	}
	return list
}

// commits has each bottle commit a file of its name, and the second one fail.
const commits = `#!/bin/bash
set -e
name=$(cat /etc/hostname)
echo "hello from $name"
git config user.name agent; git config user.email agent@bottle
if [[ ${!#} = again ]]; then git commit -q --allow-empty -m again; exit; fi
echo $name >made; git add made; git commit -qm "$name made it"
echo loose >loose
[[ $name != tester-2 ]] || { echo broken >&2; exit 3; }
`

// TestRunBringsTheWorkOfEachBottleHome: with 0 and its work at home a bottle goes, one
// that failed stays, and a second run takes nothing of the first one's.
func TestRunBringsTheWorkOfEachBottleHome(t *testing.T) {
	onEachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		hostRepository(t, u, commits)
		r := u.Run("run", "tester", "-p", "make it", "--count", "3", "--cwd", "--yes", "--runtime", runtime, "-o", "json").Want(t, 1)
		bottletest.Contains(t, r.Stderr, "tester-1 to tester-3", "tester-1: started", "tester-1 | hello from tester-1", "tester-2 | broken",
			"tester-2: ended with 3", "refs/bottle/tester-3/", "kept: tester-2@")
		list := runs(t, r)
		if len(list) != 3 {
			t.Fatalf("there are %d", len(list))
		}
		for i, one := range list {
			name, code := []string{"tester-1", "tester-2", "tester-3"}[i], []int{0, 3, 0}[i]
			if one.Name != name || one.Task != "make it" || one.ExitCode == nil || *one.ExitCode != code || one.Said != "hello from "+name+"\n" || one.Error != "" {
				t.Errorf("of %s there is %+v", name, one)
			}
			if !strings.Contains(one.Work.Words, "commit") || !strings.HasSuffix(one.Work.Words, ", 2 files") || len(one.Work.Refs) != 2 {
				t.Errorf("%s made %+v", name, one.Work)
			}
			if made := bottletest.Git(t, u.Cwd, "show", "refs/bottle/"+name+"/heads/main:made"); made != name {
				t.Errorf("%s brought %q", name, made)
			}
			if kept := one.Handle != ""; kept != (code != 0) {
				t.Errorf("%s is kept: %t", name, kept)
			}
		}
		if kept := list[1].Handle; u.Run("list", "-o", "name").Want(t, 0).Stdout != kept+"\n" {
			t.Errorf("there is more than %s", kept)
		}

		r = u.Run("run", "tester", "-p", "again", "--cwd", "--yes", "--quiet", "--keep", "--runtime", runtime).Want(t, 0)
		bottletest.Contains(t, r.Stdout, "NAME", "tester-4", " in refs/bottle/tester-4/, kept as tester-4@")
		if r.Stderr != "" || strings.Contains(r.Stdout, "TASK") {
			t.Errorf("it said %q, printed %q", r.Stderr, r.Stdout)
		}
		if made := bottletest.Git(t, u.Cwd, "show", "refs/bottle/tester-1/heads/main:made"); made != "tester-1" {
			t.Errorf("the first run's work is %q now", made)
		}
		u.Run("rm", "tester-2", "tester-4").Want(t, 0)
	})
}

func TestRunDoesEachLineOfAFile(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		bottle(u, "env:", "  FAKE_CLAUDE_PRINT: args")
		u.Write("project/tasks", "first task\n\n--second task\n")
		r := u.Run("run", "tester", "--each", "tasks", "--parallel", "1", "--name", "line", "--yes", "--quiet", "--runtime", runtime, "-o", "json", "--", "--max-turns", "3").Want(t, 0)
		list := runs(t, r)
		if len(list) != 2 || list[0].Name != "line-1" || list[1].Name != "line-2" {
			t.Fatalf("there is %+v", list)
		}
		for i, task := range []string{"first task", "--second task"} {
			if want := "[-p]\n[--max-turns]\n[3]\n[--]\n[" + task + "]\n"; list[i].Task != task || list[i].Said != want || list[i].Handle != "" {
				t.Errorf("of %q there is %+v", task, list[i])
			}
		}
		command := u.Command("run", "tester", "--each", "-", "--yes", "--quiet", "--runtime", runtime)
		command.Stdin = strings.NewReader("from the input\n\nand more\n")
		bottletest.Contains(t, u.RunCommand(command).Want(t, 0).Stdout, "TASK", "from the input", "and more", "tester-2")
		if left := u.Run("list", "-o", "name").Want(t, 0).Stdout; left != "" {
			t.Errorf("left is %s", left)
		}
	})
}

func TestRunSaysWhatIsOfUsAndWhatOfClaude(t *testing.T) {
	u := newUser(t, "2.4")
	does(u, "exit 7")
	u.Run("run", "tester").Want(t, 125)
	u.Run("run", "nobody", "-p", "x").Want(t, 125)
	bottletest.Contains(t, u.Run("run", "tester", "-p", "x", "--runtime", "runc").Want(t, 125).Stderr, "not launched")
	u.Run("run", "tester", "-p", "x", "--each", "y").Want(t, 125)
	bottletest.Contains(t, u.Run("run", "tester", "-p", "x", "--count", "2", "--dry-run", "--runtime", "runc").Want(t, 0).Stdout, "Bottle tester-1", "claude -p -- x")
	if r := u.Run("run", "tester", "-p", "x", "--rm", "--yes", "--quiet", "--runtime", "runc").Want(t, 1); !strings.Contains(r.Stdout, "7") {
		t.Errorf("it printed %s", r.Stdout)
	}
	if left := u.Run("list", "-o", "name").Want(t, 0).Stdout; left != "" {
		t.Errorf("left is %s", left)
	}
}

// TestF4_CtrlCInARunHaltsAllAndKeepsTheirWork, also what a second one doesn't wait for.
func TestF4_CtrlCInARunHaltsAllAndKeepsTheirWork(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		repository(t, u)
		for times, stubborn := range []string{"", "trap '' TERM; "} {
			does(u, stubborn+`echo precious > /workspace/precious; echo at work; while :; do sleep 1; done`)
			s := u.OnTerminal("run", "tester", "-p", "work", "--count", "4", "--parallel", "2", "--cwd", "--yes", "--runtime", runtime)
			bottletest.Eventually(t, "two bottles work", func() bool { return len(precious(t, u)) == 2+2*times })
			s.Types("\x03")
			if times == 1 {
				s.Shows("halting all bottles")
				s.Types("\x03")
			}
			if code := s.Ends(); code != 128+int(syscall.SIGINT) {
				t.Errorf("it ended with %d", code)
			}
			s.Shows("kept: tester-")
			s.Shows("not started")
			bottletest.Eventually(t, "they end", func() bool { return len(u.Supervisors()) == 0 })
			names := strings.Fields(u.Run("list", "-o", "name").Want(t, 0).Stdout)
			if len(names) != 2+2*times || len(precious(t, u)) != 2+2*times {
				t.Errorf("kept is %q, precious are %q", names, precious(t, u))
			}
			for _, name := range names[2*times:] {
				s.Shows(name)
			}
		}
		u.Run(append([]string{"rm", "--discard"}, strings.Fields(u.Run("list", "-o", "name").Stdout)...)...).Want(t, 0)
	})
}

func precious(t *testing.T, u *bottletest.User) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(u.Root, "*", "bottles", "*", "workspace", "precious"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestF5_ARunThatHangsUpLeavesItsBottlesAtWork.
func TestF5_ARunThatHangsUpLeavesItsBottlesAtWork(t *testing.T) {
	u := newUser(t, "2.4")
	does(u, `echo > /workspace/precious; while ! test -f /workspace/end; do sleep 0.1; done`)
	s := u.OnTerminal("run", "tester", "-p", "work", "--yes", "--runtime", "runc")
	bottletest.Eventually(t, "the bottle works", func() bool { return len(precious(t, u)) == 1 })
	_ = s.Process.Process.Signal(syscall.SIGHUP)
	if code := s.Ends(); code != 128+int(syscall.SIGHUP) {
		t.Errorf("it ended with %d", code)
	}
	u.Run("wait", "tester-1", "--for=condition=Ready", "--timeout", "0").Want(t, 0)
	if err := os.WriteFile(filepath.Join(filepath.Dir(precious(t, u)[0]), "end"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := u.Run("wait", "tester-1", "--timeout", "4m", "-o", "exit-code").Want(t, 0); r.Stdout != "0\n" {
		t.Errorf("it ended with %s", r.Stdout)
	}
	u.Run("rm", "tester-1", "--discard").Want(t, 0)
}
