package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// writeWhole writes a file that is there whole, or as it was before, and nothing beside
// it: not after a kill either, where the file system has files without a name.
func writeWhole(path string, write func(io.Writer) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return writeTo(path, write) // a device, or a pipe with a name
	}
	file, err := os.OpenFile(filepath.Dir(path), os.O_WRONLY|unix.O_TMPFILE, 0o600)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EINVAL) {
		return writeBeside(path, write)
	}
	if err != nil {
		return err
	}
	if err := errors.Join(write(file), file.Sync()); err != nil {
		return errors.Join(err, file.Close())
	}
	return errors.Join(nameFile(file, path), file.Close())
}

// nameFile gives a file without a name that name. Where another file has it, it needs a
// name for a moment under which it can take the other's place.
func nameFile(file *os.File, path string) error {
	link := func(to string) error {
		return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", file.Fd()), unix.AT_FDCWD, to, unix.AT_SYMLINK_FOLLOW)
	}
	err := link(path)
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	beside := besides(path) + rand.Text()
	if err := link(beside); err != nil {
		return err
	}
	if err := os.Rename(beside, path); err != nil {
		return errors.Join(err, os.Remove(beside))
	}
	return nil
}

// besides is what the name of a file begins with that is to become another one.
func besides(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"-")
}

// writeBeside writes under another name first.
func writeBeside(path string, write func(io.Writer) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(besides(path))+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	if err := errors.Join(write(file), file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

func writeTo(path string, write func(io.Writer) error) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}
