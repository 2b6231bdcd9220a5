package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mostDescriptors is how far the own ones are looked for.
const mostDescriptors = 1 << 14

// descriptors lists what this process has been started with, and what it can see
// of each other one. With an argument it stays until the file of that name is in
// the working directory.
func descriptors(args []string) {
	// Opening nothing: what is open is what we were given.
	for fd := range mostDescriptors {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			continue
		}
		target, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
		if err != nil {
			target = err.Error()
		}
		fmt.Println("own", fd, target)
	}
	directory, err := os.Getwd()
	if err != nil {
		report("working directory", err)
	}
	fmt.Println("directory", directory)
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range processes {
		number := filepath.Base(process)
		if number == strconv.Itoa(os.Getpid()) {
			continue
		}
		links, _ := filepath.Glob(process + "/fd/*")
		for _, link := range append(links, process+"/cwd", process+"/root", process+"/exe") {
			if target, err := os.Readlink(link); err == nil {
				fmt.Println("process", number, strings.TrimPrefix(link, process+"/"), target)
			}
		}
	}
	if len(args) > 0 {
		fmt.Println("waiting")
		waitFor(func() bool { _, err := os.Stat(args[0]); return err == nil })
	}
}
