package work

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/hostgit"
	"github.com/containerd/errdefs"
)

func copyOptions() CopyOptions {
	return CopyOptions{Bytes: 1 << 20, Entries: 100, Stall: time.Minute}
}

// source is a directory of the bottle's with one file, and its packer.
func source(t *testing.T) Packer {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "dir")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "file"), []byte("content"), 0o600)); err != nil {
		t.Fatal(err)
	}
	return FromFiles(archive.OwnFiles{}, dir)
}

func home(t *testing.T) (dir string, to archive.Delivery) {
	t.Helper()
	dir = t.TempDir()
	return dir, archive.Delivery{Files: archive.OwnFiles{}, To: dir, Name: "mine"}
}

// empty fails unless nothing is in the directory.
func empty(t *testing.T, dir string) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("there is %v, %v", entries, err)
	}
}

func TestTheNameThatABottleSaysIsNotTaken(t *testing.T) {
	dir, to := home(t)
	if summary, err := CopyHome(t.Context(), source(t), to, copyOptions()); err != nil || summary.Files != 2 {
		t.Fatalf("got %+v, %v", summary, err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "mine/file")); err != nil || string(data) != "content" {
		t.Errorf("got %q, %v", data, err)
	}
}

// TestT17_F26_ABottleThatStopsOrFailsLeavesNothing: it stands still in the middle, it
// fails after all is said, or it never ends.
func TestT17_F26_ABottleThatStopsOrFailsLeavesNothing(t *testing.T) {
	lost := errors.New("lost")
	var stream bytes.Buffer
	if err := source(t)(t.Context(), &stream); err != nil {
		t.Fatal(err)
	}
	silent := func(ctx context.Context, w io.Writer) error {
		_, _ = w.Write(stream.Bytes()[:700])
		<-ctx.Done()
		return context.Cause(ctx)
	}
	for name, test := range map[string]struct {
		pack Packer
		want func(error) bool
	}{
		"silent": {silent, errdefs.IsUnavailable},
		"failed": {func(_ context.Context, w io.Writer) error {
			_, err := w.Write(stream.Bytes())
			return errors.Join(lost, err)
		}, func(err error) bool { return errors.Is(err, lost) }},
		"endless": {func(_ context.Context, w io.Writer) error {
			for {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return err
				}
			}
		}, func(err error) bool { return err != nil }},
	} {
		t.Run(name, func(t *testing.T) {
			options := copyOptions()
			if name == "silent" {
				options.Stall = 50 * time.Millisecond
			}
			dir, to := home(t)
			if _, err := CopyHome(t.Context(), test.pack, to, options); !test.want(err) {
				t.Errorf("home: %v", err)
			}
			empty(t, dir)
			if _, err := CopyOut(t.Context(), test.pack, io.Discard, "mine", options); !test.want(err) {
				t.Errorf("out: %v", err)
			}
		})
	}
}

// TestTheTimeOfTheHostsEndIsNoStall: a slow reader of the stream is not the bottle's
// fault.
func TestTheTimeOfTheHostsEndIsNoStall(t *testing.T) {
	from := source(t)
	synctest.Test(t, func(t *testing.T) { // whose clock goes on while nobody does anything
		options := copyOptions()
		slow := writerFunc(func(p []byte) (int, error) {
			time.Sleep(2 * options.Stall)
			return len(p), nil
		})
		if _, err := CopyOut(t.Context(), from, slow, "mine", options); err != nil {
			t.Error(err)
		}
	})
}

func TestT17_ABottleThatTakesNothingEndsACopy(t *testing.T) {
	options := copyOptions()
	options.Stall = 50 * time.Millisecond
	_, err := CopyIn(t.Context(), source(t), "", func(ctx context.Context, _ io.Reader) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}, options)
	if !errdefs.IsUnavailable(err) {
		t.Errorf("got %v", err)
	}
}

// TestF26_WhatGoesInIsWholeOrAnError: the bottle hears no end of a stream that was
// cut or is too large.
func TestF26_WhatGoesInIsWholeOrAnError(t *testing.T) {
	var stream bytes.Buffer
	if err := source(t)(t.Context(), &stream); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		data  []byte
		bytes int64
		want  func(error) bool
	}{
		"whole": {stream.Bytes(), 100, func(err error) bool { return err == nil }},
		"cut":   {stream.Bytes()[:stream.Len()-1024], 100, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"large": {stream.Bytes(), 3, errdefs.IsResourceExhausted},
	} {
		options := copyOptions()
		options.Bytes = test.bytes
		_, err := CopyIn(t.Context(), FromStream(bytes.NewReader(test.data)), "top", func(ctx context.Context, r io.Reader) error {
			_, err := io.Copy(io.Discard, r)
			if err != nil && ctx.Err() == nil {
				t.Errorf("%s: the copy goes on after %v", name, err)
			}
			return err
		}, options)
		if !test.want(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestT19_NamesThatGitTakesForARepository(t *testing.T) {
	for name, want := range map[string]bool{
		".git": true, ".GIT": true, ".Git ": true, ".git.": true, "git~1": true, ".g\u200cit": true, ".git\ufeff": true, ".git::$INDEX_ALLOCATION": true,
		".gitignore": false, "git": false, "x.git": false, ".github": false, "": false,
	} {
		if got := hostgit.MeansRepository(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

// A directory with the right files in it is a repository, whatever its name.
func TestT19_NoCopyIsARepository(t *testing.T) {
	from, ran := t.TempDir(), filepath.Join(t.TempDir(), "ran")
	for name, text := range map[string]string{
		"file": "1\n", "HEAD": "ref: refs/heads/main\n", "objects/info/packs": "\n", "refs/heads/readme": "\n", "tree/file": "\n",
		"config": "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = tree\n\tfsmonitor = \"touch " + ran + "; false\"\n",
	} {
		path := filepath.Join(from, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for _, git := range []bool{false, true} {
		dir, to := home(t)
		options := copyOptions()
		options.Git = git
		to.Name = "copy"
		summary, err := CopyHome(t.Context(), FromFiles(archive.OwnFiles{}, from), to, options)
		if err != nil {
			t.Fatal(err)
		}
		status := exec.CommandContext(t.Context(), "git", "status")
		status.Dir = filepath.Join(dir, "copy")
		_ = status.Run() // no repository, when all is well
		if _, err := os.Stat(ran); (err == nil) != git {
			t.Errorf("with repositories %t it ran: %v; left out: %v", git, err, summary.Skipped)
		}
	}
}
