package work

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
)

// kept is a state directory whose workspace is a repository of one commit.
func kept(t *testing.T) (*backend.Work, func(args ...string) string) {
	t.Helper()
	work := &backend.Work{ID: backend.ID{Name: "demo", Suffix: "00001"}, State: t.TempDir()}
	workspace := work.Place(backend.PlaceWorkspace)
	if err := os.Mkdir(workspace, 0o700); err != nil {
		t.Fatal(err)
	}
	git := func(args ...string) string {
		t.Helper()
		command := exec.CommandContext(t.Context(), "git", append([]string{"-C", workspace, "-c", "user.name=a", "-c", "user.email=a@b", "-c", "gc.auto=0"}, args...)...)
		command.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + work.State, "GIT_CONFIG_NOSYSTEM=1"}
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q", "-b", "main")
	put(t, work, "file", "1")
	git("add", ".")
	git("commit", "-q", "-m", "one")
	note(t, work)
	return work, git
}

// put writes a file of the workspace.
func put(t *testing.T, work *backend.Work, name, text string) {
	t.Helper()
	path := filepath.Join(work.Place(backend.PlaceWorkspace), name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// note notes what went in.
func note(t *testing.T, work *backend.Work) {
	t.Helper()
	if err := errors.Join(ledger.Begin(t.Context(), work), WriteTips(t.Context(), work)); err != nil {
		t.Fatal(err)
	}
}

func unsavedNow(t *testing.T, work *backend.Work) backend.Unsaved {
	t.Helper()
	unsaved, err := Unsaved(t.Context(), work)
	if err != nil {
		t.Fatal(err)
	}
	return unsaved
}

func TestWhatGitDoesForItselfIsNoWork(t *testing.T) {
	work, git := kept(t)
	if unsaved := unsavedNow(t, work); unsaved.Differs() {
		t.Fatalf("at first: %+v", unsaved)
	}
	git("update-index", "--refresh")
	git("update-ref", "ORIG_HEAD", "HEAD")
	put(t, work, ".git/COMMIT_EDITMSG", "words")
	if unsaved := unsavedNow(t, work); unsaved.Differs() {
		t.Errorf("after a look: %+v", unsaved)
	}
	git("hash-object", "-w", "file", "--path=x")
	put(t, work, "loose", "text that no ref leads to")
	git("hash-object", "-w", "loose")
	if err := os.Remove(filepath.Join(work.Place(backend.PlaceWorkspace), "loose")); err != nil {
		t.Fatal(err)
	}
	if unsaved := unsavedNow(t, work); unsaved.Any() || !unsaved.Differs() {
		t.Errorf("with an object that no ref leads to: %+v", unsaved)
	}
	git("pack-refs", "--all")
	git("gc", "-q")
	if unsaved := unsavedNow(t, work); unsaved.Any() {
		t.Errorf("after gc: %+v", unsaved)
	}
}

func TestCommitsAreFoundWhereverARefNamesThem(t *testing.T) {
	for name, move := range map[string]func(git func(args ...string) string){
		"main": func(git func(args ...string) string) { git("commit", "-q", "--allow-empty", "-m", "two") },
		"side/x": func(git func(args ...string) string) {
			git("checkout", "-q", "-b", "side/x")
			git("commit", "-q", "--allow-empty", "-m", "two")
		},
		"packed": func(git func(args ...string) string) {
			git("checkout", "-q", "-b", "packed")
			git("commit", "-q", "--allow-empty", "-m", "two")
			git("pack-refs", "--all")
		},
		"tags/v1": func(git func(args ...string) string) { git("tag", "-a", "-m", "one", "v1") },
		"HEAD": func(git func(args ...string) string) {
			git("checkout", "-q", "--detach")
			git("commit", "-q", "--allow-empty", "-m", "two")
		},
		"notes/commits": func(git func(args ...string) string) { git("notes", "add", "-m", "well") },
	} {
		t.Run(strings.ReplaceAll(name, "/", "-"), func(t *testing.T) {
			work, git := kept(t)
			move(git)
			unsaved := unsavedNow(t, work)
			if !slices.Equal(unsaved.Refs, []string{name}) || unsaved.Commits != -1 || unsaved.Changed != 0 || unsaved.Unknown != "" {
				t.Errorf("unsaved is %+v", unsaved)
			}
			if want := "commits on " + name; unsaved.Words() != want {
				t.Errorf("in words: %q, want %q", unsaved.Words(), want)
			}
		})
	}
}

func TestCommitsAreCountedOnceAsked(t *testing.T) {
	work, git := kept(t)
	git("commit", "-q", "--allow-empty", "-m", "two")
	git("commit", "-q", "--allow-empty", "-m", "three")
	moved, err := Moved(t.Context(), work)
	if err != nil {
		t.Fatal(err)
	}
	argv, stdin, err := CountCommits(work, moved)
	if err != nil {
		t.Fatal(err)
	}
	question, err := io.ReadAll(stdin)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	command.Dir, command.Stdin = work.Place(backend.PlaceWorkspace), strings.NewReader(string(question))
	answer, err := command.Output()
	if err != nil || strings.TrimSpace(string(answer)) != "2" {
		t.Fatalf("answer is %q, %v", answer, err)
	}
	if err := NoteCommits(work, moved, 2); err != nil {
		t.Fatal(err)
	}
	if unsaved := unsavedNow(t, work); unsaved.Commits != 2 || unsaved.Words() != "2 commits on main" {
		t.Errorf("unsaved is %+v", unsaved)
	}
	git("commit", "-q", "--allow-empty", "-m", "four")
	if unsaved := unsavedNow(t, work); unsaved.Commits != -1 {
		t.Errorf("after one more it is %+v", unsaved)
	}
}

func TestT19_RefsThatCannotBeReadAreTakenForWork(t *testing.T) {
	main := ".git/refs/heads/main"
	for name, poison := range map[string]func(at func(string) string) error{
		"a link out of the workspace": func(at func(string) string) error {
			return errors.Join(os.Remove(at(main)), os.Symlink("/etc/passwd", at(main)))
		},
		"a FIFO": func(at func(string) string) error {
			return errors.Join(os.Remove(at(main)), syscall.Mkfifo(at(main), 0o600))
		},
		"garbage":        func(at func(string) string) error { return os.WriteFile(at(main), []byte("\x1b]0;x\x07"), 0o600) },
		"too much":       func(at func(string) string) error { return os.WriteFile(at(main), make([]byte, 1<<20), 0o600) },
		"a reftable":     func(at func(string) string) error { return os.Mkdir(at(".git/reftable"), 0o700) },
		"no HEAD":        func(at func(string) string) error { return os.Remove(at(".git/HEAD")) },
		"packed garbage": func(at func(string) string) error { return os.WriteFile(at(".git/packed-refs"), []byte("x\n"), 0o600) },
		"a .git that is a link": func(at func(string) string) error {
			return errors.Join(os.Rename(at(".git"), at("hidden")), os.Symlink("hidden", at(".git")))
		},
		"a .git that is a file": func(at func(string) string) error {
			return errors.Join(os.RemoveAll(at(".git")), os.WriteFile(at(".git"), []byte("gitdir: /tmp"), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			work, _ := kept(t)
			if err := poison(func(path string) string { return filepath.Join(work.Place(backend.PlaceWorkspace), path) }); err != nil {
				t.Fatal(err)
			}
			if unsaved := unsavedNow(t, work); unsaved.Unknown == "" || unsaved.Changed == 0 || strings.Contains(unsaved.Words(), "\x1b") {
				t.Errorf("unsaved is %+v", unsaved)
			}
		})
	}
}

func TestFilesBesideGitAreChanges(t *testing.T) {
	work, git := kept(t)
	put(t, work, "sub/.git/config", "a repository of its own")
	put(t, work, "file", "2")
	git("add", "-A", "file")
	unsaved := unsavedNow(t, work)
	// Directories are told by what is in them.
	if unsaved.Changed != 2 || len(unsaved.Refs) != 0 || !slices.Equal(unsaved.Paths, []string{"file", "sub/.git/config"}) || unsaved.Other == 0 {
		t.Errorf("unsaved is %+v", unsaved)
	}
	if size, err := Disk(t.Context(), work); err != nil || size < 4096 {
		t.Errorf("it takes %d, %v", size, err)
	}
}
