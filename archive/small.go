package archive

import (
	"fmt"
	"io"
	"os"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// ReadSmall reads a regular file of a tree, without following a link and without
// waiting for a FIFO's other end. One that holds more than most bytes is an
// InvalidArgument error, and so is what is no file.
func ReadSmall(root *os.Root, path string, most int64) ([]byte, error) {
	file, err := root.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%+q is not a regular file: %w", path, errdefs.ErrInvalidArgument)
	}
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err != nil {
		return nil, fmt.Errorf("read %+q: %w", path, err)
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("%+q is larger than %d bytes: %w", path, most, errdefs.ErrInvalidArgument)
	}
	return data, nil
}
