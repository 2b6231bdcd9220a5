package recipe

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Bounds of the files of a recipe, which are held in memory.
const (
	maxFiles     = 10_000
	maxFileBytes = 64 << 20
)

// files is the step that puts files in.
func files(ctx context.Context, list []backend.RecipeFile, directory string) (backend.BuildStep, error) {
	root, err := os.OpenRoot(directory)
	if err != nil {
		return backend.BuildStep{}, fmt.Errorf("open the recipe's directory: %w", err)
	}
	defer func() { _ = root.Close() }()
	g := gatherer{root: root}
	titles := make([]string, len(list))
	packed := make([][]byte, len(list))
	for i, file := range list {
		titles[i] = file.To
		if packed[i], err = g.gather(ctx, file); err != nil {
			return backend.BuildStep{}, fmt.Errorf("files: %s: %w", backend.Printable(file.From), err)
		}
	}
	return backend.BuildStep{
		Title: "files " + strings.Join(titles, " "), Inputs: hash("files", list, packed),
		Put: func(_ context.Context, put func(backend.BuildPut) error) error {
			for i, file := range list {
				name := path.Base(file.From)
				if isDirectory(packed[i]) {
					name = "" // what it holds
				}
				if err := put(backend.BuildPut{To: file.To, Name: name, Tar: bytes.NewReader(packed[i])}); err != nil {
					return fmt.Errorf("put %s to %s: %w", backend.Printable(file.From), backend.Printable(file.To), err)
				}
			}
			return nil
		},
	}, nil
}

// isDirectory says that the one thing in a stream is a directory.
func isDirectory(packed []byte) bool {
	header, err := tar.NewReader(bytes.NewReader(packed)).Next()
	return err == nil && header.Typeflag == tar.TypeDir
}

type gatherer struct {
	root    *os.Root
	entries int
	bytes   int64
}

// gather reads one file, or a directory with what lies in it, as a tar stream. Links
// are refused, and what is neither file nor directory: what gets in is what stands
// there.
func (g *gatherer) gather(ctx context.Context, file backend.RecipeFile) ([]byte, error) {
	from := path.Clean(file.From)
	// The walk follows a link that it begins with.
	if info, err := g.root.Lstat(from); err != nil {
		return nil, err
	} else if info.Mode()&fs.ModeSymlink != 0 {
		return nil, fmt.Errorf("it is a link: name what it leads to: %w", errdefs.ErrInvalidArgument)
	}
	return pack(func(add func(*tar.Header, io.Reader) error) error {
		return fs.WalkDir(g.root.FS(), from, func(at string, found fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if g.entries++; g.entries > maxFiles {
				return fmt.Errorf("the files of a recipe are more than %d: %w", maxFiles, errdefs.ErrResourceExhausted)
			}
			name := "x" + strings.TrimPrefix(at, from)
			if from == "." && at != "." {
				name = "x/" + at
			}
			switch {
			case found.IsDir():
				return add(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755}, bytes.NewReader(nil))
			case !found.Type().IsRegular():
				return fmt.Errorf("%s is neither a file nor a directory: %w", backend.Printable(at), errdefs.ErrInvalidArgument)
			}
			mode, content, err := g.read(at, file.Mode)
			if err != nil {
				return err
			}
			return add(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))}, bytes.NewReader(content))
		})
	})
}

func (g *gatherer) read(at, mode string) (int64, []byte, error) {
	file, err := g.root.OpenFile(at, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return 0, nil, err
	}
	if !info.Mode().IsRegular() {
		return 0, nil, fmt.Errorf("%s is no file any more: %w", backend.Printable(at), errdefs.ErrAborted)
	}
	bits := int64(0o644)
	if info.Mode()&0o100 != 0 {
		bits = 0o755
	}
	if mode != "" {
		if bits, err = strconv.ParseInt(mode, 8, 32); err != nil {
			return 0, nil, fmt.Errorf("mode %q: %w", mode, err)
		}
	}
	content, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1-g.bytes))
	if err != nil {
		return 0, nil, err
	}
	if g.bytes += int64(len(content)); g.bytes > maxFileBytes {
		return 0, nil, fmt.Errorf("the files of a recipe are more than %s: %w", backend.Bytes(maxFileBytes), errdefs.ErrResourceExhausted)
	}
	return bits, content, nil
}

// pack makes a tar stream of what write adds; every entry has the one time of images.
func pack(write func(add func(*tar.Header, io.Reader) error) error) ([]byte, error) {
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	err := write(func(header *tar.Header, content io.Reader) error {
		header.ModTime, header.Format = time.Unix(Epoch, 0), tar.FormatPAX
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		_, err := io.Copy(w, content)
		return err
	})
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("pack files: %w", err)
	}
	return packed.Bytes(), nil
}
