package archive

import (
	"archive/tar"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setTime sets the times of an open file. It calls the kernel by itself: gVisor
// knows no empty path for it, but none at all.
func setTime(fd int, when unix.Timespec) error {
	times := [2]unix.Timespec{when, when}
	_, _, number := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&times)), 0, 0, 0) //nolint:gosec // there is no other way
	if number != 0 {
		return number
	}
	return nil
}

func mode(header *tar.Header) uint32 { return uint32(header.Mode) & 0o777 }

func timespec(header *tar.Header) unix.Timespec {
	return unix.Timespec{Sec: header.ModTime.Unix(), Nsec: int64(header.ModTime.Nanosecond())}
}
