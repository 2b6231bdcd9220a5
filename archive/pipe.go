package archive

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// pipeSize is how far a packer may be ahead of its extractor, in bytes: a pipe
// without room makes the two take turns instead of working side by side.
const pipeSize = 1 << 20

// Pipe is os.Pipe with room. The caller closes both ends.
func Pipe() (reader, writer *os.File, err error) {
	if reader, writer, err = os.Pipe(); err != nil {
		return nil, nil, fmt.Errorf("make pipe: %w", err)
	}
	// More than /proc/sys/fs/pipe-max-size, or than the user may have, is
	// refused: then it is slower.
	if raw, err := writer.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
	}
	return reader, writer, nil
}
