package main

import "golang.org/x/sys/unix"

// ofMachine are calls that only this architecture has.
func ofMachine() []raw {
	return []raw{{"iopl", unix.SYS_IOPL, [6]uintptr{3}}}
}
