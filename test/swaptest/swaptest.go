// Package swaptest copies trees while an attacker swaps their files and
// directories for links to a canary, and wants the canary neither read nor
// written.
package swaptest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/claude-bottle/claude-bottle/archive"
	"golang.org/x/sys/unix"
)

// song is what the canary's files hold. It is shorter than a block of tar, and at
// the start of one: no write splits it.
const song = "the canary's song is for nobody"

// Run copies, packs and extracts until that many entries were handled while an
// attacker was at work.
func Run(t *testing.T, entries int64) {
	t.Helper()
	w := newWorld(t)
	stop := make(chan struct{})
	var attacker sync.WaitGroup
	attacker.Go(func() { w.attack(stop) })
	var whole, broken int
	for round := 0; w.handled.Load() < entries && !t.Failed(); round++ {
		for _, work := range []func(context.Context) error{w.pack, w.copyOut, w.copyIn, w.extract} {
			if err := work(t.Context()); err != nil {
				broken++
			} else {
				whole++
			}
		}
		if round%100 == 0 {
			w.check(t)
		}
	}
	close(stop)
	attacker.Wait()
	w.check(t)
	if whole == 0 || broken == 0 || w.swaps.Load() == 0 {
		t.Errorf("%d works ended well and %d broke off beside %d swaps: nothing was tried", whole, broken, w.swaps.Load())
	}
	t.Logf("%d entries, %d swaps; %d works were whole, %d broke off", w.handled.Load(), w.swaps.Load(), whole, broken)
}

// world is a tree to read, one to write, both swapped all the time, one of each
// that nobody swaps, and the canary.
type world struct {
	source, target, clean, scratch, canary string
	dirs                                   map[string]*os.File
	stream                                 []byte
	handled, swaps                         atomic.Int64
}

const (
	directories = 8
	swapped     = 4 // of them
	filesEach   = 16
)

func newWorld(t *testing.T) *world {
	t.Helper()
	base, err := os.MkdirTemp("/dev/shm", "swap") //nolint:usetesting // memory is faster, and so is the attacker
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	w := &world{dirs: map[string]*os.File{}}
	for name, path := range map[string]*string{
		"source": &w.source, "target": &w.target, "clean": &w.clean, "scratch": &w.scratch, "canary": &w.canary,
	} {
		*path = filepath.Join(base, name)
		content := "harmless"
		if name == "canary" {
			content = song
		}
		if name != "scratch" {
			err = fill(*path, content)
		} else {
			err = os.Mkdir(*path, 0o755)
		}
		if err == nil {
			w.dirs[*path], err = os.Open(*path)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = w.dirs[*path].Close() })
	}
	var stream bytes.Buffer
	if err := archive.Pack(t.Context(), &stream, w.dirs[w.clean], archive.PackOptions{}); err != nil {
		t.Fatal(err)
	}
	w.stream = stream.Bytes()
	return w
}

// fill makes directories with files and, in each, one directory more.
func fill(root, content string) error {
	for i := range directories {
		below := filepath.Join(root, fmt.Sprint("dir", i), "below")
		if err := os.MkdirAll(below, 0o755); err != nil {
			return err
		}
		for j := range filesEach {
			for _, dir := range []string{below, filepath.Dir(below)} {
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprint("file", j)), []byte(content), 0o644); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// swap is a name of a tree, and what it changes places with.
type swap struct {
	dir   int // of the name: held, for its own name is swapped, too
	name  string
	other string
}

// attack swaps names of two trees for links that lead to the canary's files of
// the same names, back again, and for FIFOs.
func (w *world) attack(stop <-chan struct{}) {
	var swaps []swap
	for _, tree := range []string{w.source, w.target} {
		prepared, release := w.prepare(tree)
		defer release()
		swaps = append(swaps, prepared...)
	}
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
			one := swaps[i*7%len(swaps)]
			if unix.Renameat2(one.dir, one.name, unix.AT_FDCWD, one.other, unix.RENAME_EXCHANGE) == nil {
				w.swaps.Add(1)
			}
		}
	}
}

// prepare puts beside a tree what is swapped into it.
func (w *world) prepare(tree string) (swaps []swap, release func()) {
	aside := tree + ".aside"
	_ = os.Mkdir(aside, 0o755)
	var held []*os.File
	release = func() {
		for _, dir := range held {
			_ = dir.Close()
		}
	}
	for i := range swapped {
		for j, path := range []string{"", "below", "file0", "below/file1"} {
			path = filepath.Join(fmt.Sprint("dir", i), path)
			dir, err := os.Open(filepath.Join(tree, filepath.Dir(path)))
			if err != nil {
				continue // the test says that nothing was swapped
			}
			held = append(held, dir)
			one := swap{dir: int(dir.Fd()), name: filepath.Base(path), other: filepath.Join(aside, fmt.Sprint(i, j))}
			if i == swapped-1 && j == 2 {
				_ = unix.Mkfifo(one.other, 0o600)
			} else {
				_ = os.Symlink(filepath.Join(w.canary, path), one.other)
			}
			swaps = append(swaps, one)
		}
	}
	return swaps, release
}

// options count what is looked at.
func (w *world) options() archive.PackOptions {
	return archive.PackOptions{Visit: func(archive.Entry) error {
		w.handled.Add(1)
		return nil
	}}
}

func owner() archive.Options { return archive.Options{UID: os.Getuid(), GID: os.Getgid()} }

// listener hears the canary in a stream.
type listener struct{ heard bool }

// Write implements io.Writer.
func (l *listener) Write(p []byte) (int, error) {
	l.heard = l.heard || bytes.Contains(p, []byte(song))
	return len(p), nil
}

func (w *world) pack(ctx context.Context) error {
	var heard listener
	err := archive.Pack(ctx, &heard, w.dirs[w.source], w.options())
	if heard.heard {
		return os.WriteFile(filepath.Join(w.canary, "heard"), nil, 0o600) // which is seen
	}
	return err
}

func (w *world) copyOut(ctx context.Context) error {
	_, err := archive.Copy(ctx, w.dirs[w.source], w.dirs[w.scratch], w.options(), owner())
	return err
}

func (w *world) copyIn(ctx context.Context) error {
	_, err := archive.Copy(ctx, w.dirs[w.clean], w.dirs[w.target], w.options(), owner())
	return err
}

func (w *world) extract(ctx context.Context) error {
	summary, err := archive.Extract(ctx, w.dirs[w.target], bytes.NewReader(w.stream), owner())
	w.handled.Add(int64(summary.Files))
	return err
}

// check wants the canary as it was, and no file of its in the copies.
func (w *world) check(t *testing.T) {
	t.Helper()
	count := 0
	err := archive.Walk(t.Context(), w.dirs[w.canary], func(entry archive.Entry) error {
		count++
		if entry.IsDir() {
			return nil
		}
		data, err := os.ReadFile(filepath.Join(w.canary, entry.Path))
		if err == nil && (string(data) != song || entry.Stat.Mode != unix.S_IFREG|0o644) {
			t.Errorf("T14: the canary's %s holds %q, mode %o", entry.Path, data, entry.Stat.Mode)
		}
		return err
	})
	if want := directories * (2 + 2*filesEach); err != nil || count != want {
		t.Errorf("T14: the canary has %d files of %d (%v)", count, want, err)
	}
	err = archive.Walk(t.Context(), w.dirs[w.scratch], func(entry archive.Entry) error {
		if entry.Kind() != unix.S_IFREG {
			return nil
		}
		data, err := os.ReadFile(filepath.Join(w.scratch, entry.Path))
		if bytes.Contains(data, []byte(song)) {
			t.Errorf("T14: the copy %s holds the canary's song", entry.Path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	// A link that came as a link stands in the way of the next copy.
	for i := range directories {
		_ = os.RemoveAll(filepath.Join(w.scratch, fmt.Sprint("dir", i)))
	}
}
