package main

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// keys writes what is typed to a terminal. gVisor's terminal turns Ctrl-C,
// Ctrl-Z and Ctrl-\ into signals even for a program that has asked for the bare
// keys (it looks at the characters, not at ISIG). There the characters are set
// to one that nobody can type, and what they mean is done here.
type keys struct {
	master *os.File
	signal func(syscall.Signal)
	gvisor bool
}

// untypable is in no UTF-8 text.
const untypable = 0xff

// meaning are the keys that are signals in a terminal's usual state.
var meaning = map[byte]syscall.Signal{0x03: syscall.SIGINT, 0x1a: syscall.SIGTSTP, 0x1c: syscall.SIGQUIT}

// newKeys prepares the terminal, before anything runs on it.
func newKeys(master, terminal *os.File, signal func(syscall.Signal)) (*keys, error) {
	k := &keys{master: master, signal: signal, gvisor: inGVisor()}
	if !k.gvisor {
		return k, nil
	}
	settings, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		return nil, os.NewSyscallError("tcgetattr", err)
	}
	for _, character := range []int{unix.VINTR, unix.VSUSP, unix.VQUIT} {
		settings.Cc[character] = untypable
	}
	return k, os.NewSyscallError("tcsetattr", unix.IoctlSetTermios(int(terminal.Fd()), unix.TCSETS, settings))
}

// Write implements io.Writer.
func (k *keys) Write(typed []byte) (int, error) {
	if !k.gvisor {
		return k.master.Write(typed)
	}
	settings, err := unix.IoctlGetTermios(int(k.master.Fd()), unix.TCGETS)
	if err != nil || settings.Lflag&unix.ISIG == 0 {
		return k.master.Write(typed)
	}
	plain := make([]byte, 0, len(typed))
	for _, key := range typed {
		if number, ok := meaning[key]; ok {
			k.signal(number)
			continue
		}
		plain = append(plain, key)
	}
	if _, err := k.master.Write(plain); err != nil {
		return 0, err
	}
	return len(typed), nil
}

// inGVisor tells by a file that only its kernel has.
func inGVisor() bool {
	_, err := os.Stat("/proc/sentry-meminfo")
	return err == nil
}
