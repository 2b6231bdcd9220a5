package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Files are where a path is looked up: an *os.Root, which lets no link lead out of
// it, or OwnFiles.
type Files interface {
	Stat(name string) (fs.FileInfo, error)
	OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error)
}

// OwnFiles are those that this process sees.
type OwnFiles struct{}

var (
	_ Files = OwnFiles{}
	_ Files = (*os.Root)(nil)
)

// Stat implements Files.
func (OwnFiles) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

// OpenFile implements Files.
func (OwnFiles) OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, mode)
}

// PackPath writes the file or the directory of that path as a tar stream with one
// name at the top, mostly the last of the path. A link that has the path is followed;
// those below stay links. What can't be copied is in the stream as what it is, for
// the other end to name it.
func PackPath(ctx context.Context, w io.Writer, files Files, name string) error {
	source, err := files.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return KindOf(err)
	}
	defer func() { _ = source.Close() }()
	info, err := source.Stat()
	if err != nil {
		return KindOf(err)
	}
	base := path.Base(path.Clean(name))
	if base == "." || base == "/" {
		base = "content"
	}
	switch {
	case info.IsDir():
		return KindOf(Pack(ctx, w, source, PackOptions{Prefix: base + "/", Root: true, Special: true}))
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is neither a file nor a directory: %w", name, errdefs.ErrInvalidArgument)
	case strings.HasSuffix(name, "/"):
		return fmt.Errorf("%s is no directory: %w", name, errdefs.ErrInvalidArgument)
	}
	return KindOf(PackFile(w, source, base))
}

// KindOf gives an error of the system its kind, for the other end to know.
func KindOf(err error) error {
	for cause, kind := range map[error]error{
		fs.ErrNotExist:   errdefs.ErrNotFound,
		fs.ErrPermission: errdefs.ErrPermissionDenied,
		fs.ErrExist:      errdefs.ErrAlreadyExists,
		unix.ENOTDIR:     errdefs.ErrFailedPrecondition,
		unix.ENOSPC:      errdefs.ErrResourceExhausted,
		unix.EDQUOT:      errdefs.ErrResourceExhausted,
	} {
		if errors.Is(err, cause) && !errors.Is(err, kind) {
			return fmt.Errorf("%w: %w", err, kind)
		}
	}
	return err
}
