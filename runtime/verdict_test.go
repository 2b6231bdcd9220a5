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
