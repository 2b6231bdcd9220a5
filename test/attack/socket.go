package main

import (
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"github.com/claude-bottle/claude-bottle/test/attack/attempt"
	"golang.org/x/sys/unix"
)

// trySocket makes a socket of any kind by bare system calls, and sends by it.
func trySocket(try attempt.Attempt) ([]byte, error) {
	fd, err := unix.Socket(try.Domain, try.Type|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, try.Protocol)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	// The far end is the judge: here nothing has to be waited for long, least of
	// all a connection that nobody answers.
	var message []byte
	for _, piece := range try.Send {
		message = append(message, piece...)
	}
	if len(try.Peer) > 0 {
		_, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&try.Peer[0])), uintptr(len(try.Peer))) //nolint:gosec // an attack has no manners
		if errno == unix.EINPROGRESS {
			errno = soon(fd, unix.POLLOUT)
		}
		if errno != 0 {
			err = fmt.Errorf("connect: %w", errno)
		}
	}
	if len(message) == 0 {
		return nil, err
	}
	// What can't be connected may still send.
	var peer, length uintptr
	if len(try.Peer) > 0 && err != nil {
		peer, length = uintptr(unsafe.Pointer(&try.Peer[0])), uintptr(len(try.Peer)) //nolint:gosec // as above
	}
	_, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&message[0])), uintptr(len(message)), unix.MSG_NOSIGNAL, peer, length) //nolint:gosec // as above
	if errno != 0 {
		return nil, errors.Join(err, fmt.Errorf("send: %w", errno))
	}
	answer := make([]byte, 4096)
	if try.Domain != unix.AF_NETLINK {
		return nil, nil
	}
	if errno := soon(fd, unix.POLLIN); errno != 0 {
		return nil, fmt.Errorf("read: %w", errno)
	}
	n, err := unix.Read(fd, answer)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return answer[:n], refusedByKernel(answer[:n])
}

// soon waits a moment for the socket.
func soon(fd int, events int16) unix.Errno {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, 1000)
	if err != nil || n == 0 {
		return unix.ETIMEDOUT
	}
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return unix.EBADF
	}
	return unix.Errno(code)
}

// refusedByKernel reads the error of a netlink answer.
func refusedByKernel(answer []byte) error {
	const head = unix.NLMSG_HDRLEN
	if len(answer) < head+4 || *(*uint16)(unsafe.Pointer(&answer[4])) != unix.NLMSG_ERROR { //nolint:gosec // as above
		return nil
	}
	if code := *(*int32)(unsafe.Pointer(&answer[head])); code != 0 { //nolint:gosec // as above
		return unix.Errno(-code)
	}
	return nil
}

// tryDescriptor writes to what PID 1 holds open, by each way there is to it.
func tryDescriptor(try attempt.Attempt) ([]byte, error) {
	var message []byte
	for _, piece := range try.Send {
		message = append(message, piece...)
	}
	file, openErr := os.OpenFile(fmt.Sprintf("/proc/1/fd/%d", try.Number), os.O_WRONLY|unix.O_NONBLOCK, 0)
	if openErr == nil {
		defer func() { _ = file.Close() }()
		_ = file.SetDeadline(time.Now().Add(time.Second))
		_, openErr = file.Write(message)
	}
	if openErr == nil {
		return nil, nil
	}
	process, err := unix.PidfdOpen(1, 0)
	if err != nil {
		return nil, errors.Join(openErr, fmt.Errorf("pidfd_open: %w", err))
	}
	defer func() { _ = unix.Close(process) }()
	fd, err := unix.PidfdGetfd(process, try.Number, 0)
	if err != nil {
		return nil, errors.Join(openErr, fmt.Errorf("pidfd_getfd: %w", err))
	}
	defer func() { _ = unix.Close(fd) }()
	_, err = unix.Write(fd, message)
	return nil, err
}
