package archive_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/claude-bottle/claude-bottle/archive"
)

// raceVariable says how many swaps the race lasts; `make chaos` has it last longer.
const raceVariable = "CLAUDE_BOTTLE_RACE"

const defaultRace = 100_000

// swapNames has a directory, one below it and a file take turns with links to each
// target, and counts what it has done.
func swapNames(root string, targets []string, done *atomic.Int64, stop <-chan struct{}) {
	try := func(err error) {
		if err == nil {
			done.Add(1)
		}
	}
	at := func(name string) string { return filepath.Join(root, name) }
	for turn := 0; ; turn++ {
		select {
		case <-stop:
			return
		default:
		}
		target := targets[turn%len(targets)]
		for _, name := range []string{"dir", "dir/sub", "dir/file"} {
			try(os.Rename(at(name), at("aside")))
			try(os.Symlink(target, at(name)))
			try(os.Remove(at(name)))
			back := os.Rename(at("aside"), at(name))
			try(back)
			if back != nil { // a copy has come in meanwhile
				_ = os.RemoveAll(at("aside"))
			}
		}
	}
}

// TestT14_NothingIsReadOrWrittenThroughASwappedName copies out of and into a tree
// whose names are swapped all the time, through a root as with what is kept of a
// bottle: nothing of a directory beside it is read or changed.
func TestT14_NothingIsReadOrWrittenThroughASwappedName(t *testing.T) {
	wanted := int64(defaultRace)
	if text := os.Getenv(raceVariable); text != "" {
		var err error
		if wanted, err = strconv.ParseInt(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	base, err := os.MkdirTemp("/dev/shm", "race") //nolint:usetesting // in memory, where names are swapped fast
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	inside, canary, source := filepath.Join(base, "inside"), filepath.Join(base, "canary"), t.TempDir()
	plant(t, inside, "dir/file = mine\ndir/sub/file = mine")
	plant(t, canary, "file = CANARY\nsub/file = CANARY")
	plant(t, source, "dir/file = new\ndir/sub/file = new\ndir/sub/more = new")
	before, fresh := shown(t, canary), packed(t, source, "dir")
	root := rootOf(t, inside)
	var done atomic.Int64
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		swapNames(inside, []string{canary, "../canary", "../../canary", filepath.Join(canary, "file"), ".", ".."}, &done, stop)
	}()
	out, in, refused := 0, 0, 0
	count := func(of *int, err error) {
		if err == nil {
			*of++
		} else {
			refused++
		}
	}
	for done.Load() < wanted || out == 0 || in == 0 || refused == 0 {
		for _, path := range []string{"dir", "dir/sub", "dir/file", "."} {
			var stream bytes.Buffer
			count(&out, archive.PackPath(t.Context(), &stream, root, path))
			if bytes.Contains(stream.Bytes(), []byte("CANARY")) {
				t.Fatalf("the canary was read through %s", path)
			}
		}
		for _, path := range []string{"dir", "dir/sub", "."} {
			_, err := archive.Deliver(t.Context(), bytes.NewReader(fresh), archive.Delivery{Files: root, To: path, Name: "dir"})
			count(&in, err)
		}
		if got := shown(t, canary); got != before {
			t.Fatalf("the canary is\n%s", got)
		}
	}
	close(stop)
	<-ended
	entries, err := os.ReadDir(base)
	if err != nil || len(entries) != 2 {
		t.Errorf("beside it there is %v, %v", entries, err)
	}
	t.Logf("%d swaps; %d copies came out, %d went in, %d were refused", done.Load(), out, in, refused)
}
