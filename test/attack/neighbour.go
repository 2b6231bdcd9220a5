package main

import (
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mayAll is what a neighbour would need to come by what is left for it.
const mayAll = 0o666

// unveiled is a word as it was before it came in.
func unveiled(text string) ([]byte, error) {
	data, err := hex.DecodeString(text)
	for i := range data {
		data[i] ^= veil
	}
	return data, err
}

// dwell leaves a word wherever processes of one machine can leave one for each other:
// files for everybody, arguments, memory and queues of System V, an abstract socket. It
// writes a file named dwelling, and ends when there is a file named over. Arguments: the
// word, veiled, and the number that stands for its place.
func dwell(args []string) {
	word, key, err := neighbours(args)
	if err != nil {
		report("dwell", err)
		return
	}
	for _, dir := range []string{"/workspace", "/home/claude", "/tmp", "/dev/shm"} {
		path := dir + "/neighbour"
		report("leave "+path, os.WriteFile(path, word, mayAll))
	}
	child := exec.Command("/proc/self/exe", "wait", string(word)) //nolint:gosec,noctx // itself, until the bottle ends
	report("leave arguments", child.Start())
	report("leave memory", leaveMemory(key, word))
	report("leave queue", leaveMessage(key, word))
	_, _, errno := unix.Syscall(unix.SYS_SEMGET, uintptr(key), 1, unix.IPC_CREAT|mayAll)
	report("leave semaphore", failed(errno))
	listener, err := net.Listen("unix", abstract(key))
	report("leave socket", err)
	if err == nil {
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Write(word)
				_ = conn.Close()
			}
		}()
	}
	report("dwell", os.WriteFile("dwelling", nil, 0o600))
	wait(nil)
}

// wait waits for a file named over.
func wait([]string) {
	for range time.Tick(10 * time.Millisecond) {
		if _, err := os.Stat("over"); err == nil {
			return
		}
	}
}

// visit looks for what dwell has left, in the same places.
func visit(args []string) {
	word, key, err := neighbours(args)
	if err != nil {
		report("visit", err)
		return
	}
	secrets([]string{"word=" + args[0]})
	id, err := unix.SysvShmGet(key, len(word), 0)
	if err == nil {
		var memory []byte
		if memory, err = unix.SysvShmAttach(id, 0, unix.SHM_RDONLY); err == nil && string(memory[:len(word)]) != string(word) {
			err = fmt.Errorf("it holds something else")
		}
	}
	report("visit memory", err)
	for name, call := range map[string]uintptr{"queue": unix.SYS_MSGGET, "semaphore": unix.SYS_SEMGET} {
		_, _, errno := unix.Syscall(call, uintptr(key), 0, 0)
		report("visit "+name, failed(errno))
	}
	conn, err := net.Dial("unix", abstract(key))
	if err == nil {
		_ = conn.Close()
	}
	report("visit socket", err)
	report("visit", nil)
}

func neighbours(args []string) (word []byte, key int, err error) {
	if len(args) != 2 {
		return nil, 0, fmt.Errorf("a word and a number are wanted")
	}
	if key, err = strconv.Atoi(args[1]); err != nil {
		return nil, 0, err
	}
	word, err = unveiled(args[0])
	return word, key, err
}

func abstract(key int) string { return fmt.Sprintf("@neighbour-%d", key) }

func leaveMemory(key int, word []byte) error {
	id, err := unix.SysvShmGet(key, len(word), unix.IPC_CREAT|mayAll)
	if err != nil {
		return err
	}
	memory, err := unix.SysvShmAttach(id, 0, 0)
	if err != nil {
		return err
	}
	copy(memory, word)
	return nil
}

func leaveMessage(key int, word []byte) error {
	id, _, errno := unix.Syscall(unix.SYS_MSGGET, uintptr(key), unix.IPC_CREAT|mayAll, 0)
	if errno != 0 {
		return errno
	}
	message := append(make([]byte, 8), word...) // its type, a long
	message[0] = 1
	_, _, errno = unix.Syscall6(unix.SYS_MSGSND, id, uintptr(unsafe.Pointer(&message[0])), uintptr(len(word)), unix.IPC_NOWAIT, 0, 0) //nolint:gosec // an attack has no manners
	return failed(errno)
}

// failed is nil for no error.
func failed(errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}
