package runtime

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
)

func TestT44_ASwappedRuntimeIsNotTheOneThatWasChosen(t *testing.T) {
	dir := t.TempDir()
	c := &Client{options: Options{Root: dir, InitPath: filepath.Join(dir, "init")}}
	h := Handle{Name: "runc", Shim: ShimRunc, Binary: filepath.Join(dir, "runc")}
	for _, path := range []string{c.options.InitPath, h.Binary} {
		if err := os.WriteFile(path, []byte("program"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if h.planned, err = c.verdictKey(h); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{c.options.InitPath, h.Binary} {
		if err := c.CheckUnchanged(h); err != nil {
			t.Fatal(err)
		}
		kept := path + ".kept"
		if err := errors.Join(os.Rename(path, kept), os.WriteFile(path, []byte("another"), 0o755)); err != nil {
			t.Fatal(err)
		}
		if err := c.CheckUnchanged(h); !errdefs.IsAborted(err) {
			t.Errorf("%s was swapped: %v", path, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := c.CheckUnchanged(h); err == nil {
			t.Errorf("%s is gone, and that is fine", path)
		}
		if err := os.Rename(kept, path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestVerdictsOfWhatIsNoMoreAreDropped(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "with space")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c := &Client{options: Options{Root: dir, InitPath: filepath.Join(dir, "init")}, daemon: Daemon{Version: "v2.4.2"}}
	runc := Handle{Name: "runc", Shim: ShimRunc, Binary: filepath.Join(dir, "runc")}
	runsc := Handle{Name: "gvisor", Shim: ShimRunc, Binary: filepath.Join(dir, "runsc")}
	for _, path := range []string{c.options.InitPath, runc.Binary, runsc.Binary} {
		if err := os.WriteFile(path, []byte("program"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	older := &Client{options: c.options, daemon: Daemon{Version: "v2.4.1"}}
	if err := errors.Join(c.remember(runc, verdict{Version: "1"}), c.remember(runsc, verdict{Version: "2"}), older.remember(runc, verdict{Version: "3"})); err != nil {
		t.Fatal(err)
	}
	known := c.verdicts()
	known["half a key"] = verdict{}
	if err := errors.Join(c.write(known), os.WriteFile(runsc.Binary, []byte("another"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if dropped, err := c.DropStaleVerdicts(); dropped != 3 || err != nil {
		t.Errorf("%d were dropped, %v", dropped, err)
	}
	if _, there := c.cached(runc); !there || len(c.verdicts()) != 1 {
		t.Errorf("left are %v", c.verdicts())
	}
	if dropped, err := c.DropStaleVerdicts(); dropped != 0 || err != nil {
		t.Errorf("then %d were dropped, %v", dropped, err)
	}
	if err := errors.Join(c.forget(runc), c.forget(runsc)); err != nil || len(c.verdicts()) != 0 {
		t.Errorf("%v: left are %v", err, c.verdicts())
	}
}
