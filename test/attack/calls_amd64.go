package main

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ofMachine are calls that only this architecture has.
func ofMachine() []raw {
	return []raw{{"iopl", unix.SYS_IOPL, [6]uintptr{3}}}
}

// compatBound is when an answer is given up.
const compatBound = 5 * time.Second

// compat asks for the process's number by the 32-bit way in.
func compat([]string) {
	// mov eax, 20; int 0x80; ret
	code := []byte{0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3}
	page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return
	}
	copy(page, code)
	entry := &page[0]
	function := unsafe.Pointer(&entry) //nolint:gosec // as above
	pid := (*(*func() int)(unsafe.Pointer(&function)))()
	if pid > 0 && pid < 1<<22 {
		report("pid", nil)
	}
}
