package doctor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/claude-bottle/claude-bottle/backend"
	"golang.org/x/sys/unix"
)

var (
	aboutState  = subject{"disk-root", "disk of --root"}
	aboutRun    = subject{"disk-run-root", "disk of --run-root"}
	aboutImages = subject{"disk-images", "disk of images"}
	aboutMemory = subject{"memory-backed", "--run-root in memory"}
)

// diskFacts are those of the file system that a path lies in, or will.
type diskFacts struct {
	path        string
	free, total uint64 // bytes
	// freeInodes counts where totalInodes is not 0: some file systems have no limit.
	freeInodes, totalInodes uint64
	memory, readOnly        bool
	err                     error
}

func gatherDisk(path string) diskFacts {
	facts := diskFacts{path: path}
	at := path
	for {
		_, err := os.Stat(at)
		if err == nil || at == filepath.Dir(at) {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			facts.err = err
			return facts
		}
		at = filepath.Dir(at) // it will be made there
	}
	var system unix.Statfs_t
	if facts.err = unix.Statfs(at, &system); facts.err != nil {
		return facts
	}
	size := uint64(system.Bsize)
	facts.free, facts.total = system.Bavail*size, system.Blocks*size
	facts.freeInodes, facts.totalInodes = system.Ffree, system.Files
	facts.memory = int64(system.Type) == unix.TMPFS_MAGIC || int64(system.Type) == unix.RAMFS_MAGIC
	facts.readOnly = system.Flags&unix.ST_RDONLY != 0
	return facts
}

// need is how much of a file system must be free, and how much should.
type need struct {
	least, good             uint64 // bytes
	leastInodes, goodInodes uint64
	remedy                  string
}

// needOfState is for workspaces and homes.
func needOfState() need {
	return need{256 << 20, 2 << 30, 1_000, 50_000, "make room there (`claude-bottle list` shows what kept bottles take, gc and rm remove them), or name another directory with --root"}
}

// needOfRun is for sockets, logs and keys.
func needOfRun() need {
	return need{8 << 20, 64 << 20, 200, 2_000, "make room there, or name another directory with --run-root"}
}

// needOfImages is for layers and what bottles write outside their workspace.
func needOfImages() need {
	return need{256 << 20, 2 << 30, 1_000, 50_000, "make room there: remove images that no bottle needs"}
}

func judgeDisk(about subject, f diskFacts, need need) Check {
	if f.err != nil {
		return about.unknown("", "%s can't be looked at: %s", backend.Printable(f.path), backend.Printable(f.err.Error()))
	}
	inodes := f.totalInodes > 0
	found := backend.Printable(f.path) + ": " + backend.Bytes(int64(f.free)) + " free of " + backend.Bytes(int64(f.total))
	if inodes && f.freeInodes < need.goodInodes {
		found += ", " + limit(f.freeInodes) + " inodes free of " + limit(f.totalInodes)
	}
	switch {
	case f.readOnly:
		return about.missing("mount it for writing, or name another directory", "%s, for reading only", found)
	case f.free < need.least || inodes && f.freeInodes < need.leastInodes:
		return about.missing(need.remedy, "%s", found)
	case f.free < need.good || inodes && f.freeInodes < need.goodInodes:
		return about.warning(need.remedy, "%s", found)
	default:
		return about.ok("%s", found)
	}
}

// judgeMemory says whether what is secret stays in memory.
func judgeMemory(f diskFacts) Check {
	switch {
	case f.err != nil:
		return aboutMemory.unknown("", "%s can't be looked at", backend.Printable(f.path))
	case f.memory:
		return aboutMemory.ok("%s is in memory", backend.Printable(f.path))
	default:
		return aboutMemory.warning("mount a tmpfs there, or name a directory of one, as --run-root /dev/shm/claude-bottle: until then the supervisor of a detached bottle that dies can't be started again, for no secret is put on a disk",
			"%s is on a disk", backend.Printable(f.path))
	}
}
