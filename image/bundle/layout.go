package bundle

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/containerd/errdefs"
)

// IsLayout says whether a directory looks like an image layout of the OCI.
func IsLayout(dir string) bool {
	info, err := os.Lstat(path.Join(dir, "oci-layout"))
	return err == nil && info.Mode().IsRegular()
}

// Layout writes an image layout directory as an archive. It takes the files that a
// layout has and no others, and follows no links.
func Layout(w io.Writer, dir string) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open layout: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	writer := tar.NewWriter(w)
	for _, name := range []string{"oci-layout", "index.json"} {
		if err := addFile(writer, root, name); err != nil {
			return err
		}
	}
	err = fs.WalkDir(root.FS(), "blobs", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("walk layout: %w", err)
		}
		if !entry.Type().IsRegular() || strings.Count(name, "/") != 2 { // blobs/ALGORITHM/HEX
			return nil
		}
		return addFile(writer, root, name)
	})
	return errors.Join(err, writer.Close())
}

func addFile(writer *tar.Writer, root *os.Root, name string) (err error) {
	if info, err := root.Lstat(name); err != nil {
		return fmt.Errorf("the layout has no %s: %w", name, err)
	} else if !info.Mode().IsRegular() {
		return fmt.Errorf("%s of the layout is no plain file: %w", name, errdefs.ErrInvalidArgument)
	}
	file, err := root.Open(name)
	if err != nil {
		return fmt.Errorf("read layout: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("read layout: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s of the layout is no plain file any more: %w", name, errdefs.ErrAborted)
	}
	if err := writer.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: info.Size(), Mode: 0o644}); err != nil {
		return fmt.Errorf("pack layout: %w", err)
	}
	if _, err := io.CopyN(writer, file, info.Size()); err != nil {
		return fmt.Errorf("pack %s of the layout: %w", name, err)
	}
	return nil
}
