package runtime

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestTheProgramOfAProbeIsForAnotherUserWhateverTheUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077)) // as that of the service
	program := filepath.Join(t.TempDir(), "program")
	if err := errors.Join(os.WriteFile(program, []byte("x"), 0o600), os.Chmod(program, 0o755)); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	// On another file system, so that it is copied: a link has the mode of the program that is installed.
	elsewhere, err := os.MkdirTemp("/dev/shm", "probe-") //nolint:usetesting // as above
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(elsewhere) }()
	rootfs := filepath.Join(elsewhere, "rootfs")
	if err := copyProgram(program, rootfs); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "proc", "dev", "sys", "init"} {
		info, err := os.Stat(filepath.Join(rootfs, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o755 {
			t.Errorf("%q has mode %s", name, info.Mode())
		}
	}
}
