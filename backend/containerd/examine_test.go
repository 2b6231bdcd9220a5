package containerd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStateDirectoriesAreMended(t *testing.T) {
	dir := t.TempDir()
	options := Options{Address: "/run/x.sock", Namespace: "x", Root: filepath.Join(dir, "lib"), RunRoot: filepath.Join(dir, "run")}
	for _, directory := range Directories(options) {
		if !directory.Missing || directory.Refused != nil {
			t.Errorf("before: %+v", directory)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("looking has made %v, %v", entries, err)
	}
	if err := os.Mkdir(options.Root, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(options.Root, 0o777); err != nil {
		t.Fatal(err)
	}
	if first := Directories(options)[0]; first.Missing || first.Refused == nil {
		t.Errorf("open to others: %+v", first)
	}
	done, err := MendDirectories(options)
	if err != nil || len(done) != 6 || !strings.Contains(done[0], "closed "+options.Root+" to others (mode 0755)") {
		t.Errorf("%v: it has done %q", err, done)
	}
	for _, directory := range Directories(options) {
		if directory.Missing || directory.Refused != nil {
			t.Errorf("after: %+v", directory)
		}
	}
	if done, err := MendDirectories(options); err != nil || len(done) != 0 {
		t.Errorf("%v: then it has done %q", err, done)
	}

	if err := os.RemoveAll(options.RunRoot); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(options.Root, options.RunRoot); err != nil {
		t.Fatal(err)
	}
	if _, err := MendDirectories(options); err == nil {
		t.Error("a link was taken for a directory of ours")
	}
}
