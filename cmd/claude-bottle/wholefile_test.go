package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestF1_TestF17_AnArchiveIsThereWholeOrNotAtAll: nothing has a name in the directory while
// it is written, so that a kill leaves nothing there.
func TestF1_TestF17_AnArchiveIsThereWholeOrNotAtAll(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "claude.tar")
	names := func() (list []string) {
		entries, err := os.ReadDir(directory)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			list = append(list, entry.Name())
		}
		return list
	}
	broken := errors.New("no room")
	for _, test := range []struct {
		text, before, after string
		err                 error
	}{
		{"half", "", "", broken},
		{"first", "", "first", nil},
		{"half", "first", "first", broken},
		{"second", "first", "second", nil},
	} {
		err := writeWhole(path, func(w io.Writer) error {
			if _, err := io.WriteString(w, test.text); err != nil {
				return err
			}
			want := 0
			if test.before != "" {
				want = 1
			}
			if got := names(); len(got) != want {
				t.Errorf("while it is written there is %q", got)
			}
			return test.err
		})
		if !errors.Is(err, test.err) {
			t.Errorf("%s: %v", test.text, err)
		}
		data, _ := os.ReadFile(path)
		if string(data) != test.after || test.after != "" && len(names()) != 1 {
			t.Errorf("after %s there is %q in %q", test.text, data, names())
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	// And by the way of file systems without such files.
	if err := writeBeside(path, func(w io.Writer) error { _, err := io.WriteString(w, "third"); return err }); err != nil || len(names()) != 1 {
		t.Errorf("%v, %q", err, names())
	}
	if err := writeBeside(path, func(io.Writer) error { return broken }); !errors.Is(err, broken) || len(names()) != 1 {
		t.Errorf("%v, %q", err, names())
	}
}
