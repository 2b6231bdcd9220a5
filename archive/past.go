package archive

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Past is what a baseline knows of one file.
type Past struct {
	// Mode is type and permissions, as in unix.Stat_t.
	Mode uint32
	Size int64
	// Seconds and Nanos are the modification time.
	Seconds, Nanos int64
}

// Kind is the file's type, as in unix.S_IFMT.
func (p Past) Kind() uint32 { return p.Mode & unix.S_IFMT }

// Elsewhere is a state of a file that is in no tree: type, mode, size and modification
// time are those of the given state, and no file has such an inode.
func Elsewhere(state string) string {
	fields := strings.Split(state, ",")
	if len(fields) != 5 {
		return state // a directory
	}
	fields[2], fields[3] = "0", "0.0"
	return strings.Join(fields, ",")
}

// Past says what the file of that path was.
func (b Baseline) Past(path string) (past Past, there bool) {
	state, there := b[path]
	if !there {
		return Past{}, false
	}
	if state == StateDirectory {
		return Past{Mode: unix.S_IFDIR}, true
	}
	var inode, seconds, nanos uint64
	// What can't be read is of no known kind.
	_, _ = fmt.Sscanf(state, "%o,%d,%d,%d.%d,%d.%d", &past.Mode, &past.Size, &inode, &seconds, &nanos, &past.Seconds, &past.Nanos)
	return past, true
}
