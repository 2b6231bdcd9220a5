package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// files tries to write what is the host's or the image's, and lists sockets,
// devices and what set-user-ID programs there are.
func files([]string) {
	for _, path := range []string{
		"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sysrq-trigger", "/proc/sys/net/ipv4/ip_forward", "/proc/1/mem", "/proc/1/oom_score_adj",
		"/sys/kernel/uevent_helper", "/sys/fs/cgroup/release_agent", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/kvm", "/dev/fuse",
		"/etc/passwd", "/etc/shadow", "/etc/ld.so.preload", "/usr/local/bin/claude", "/bin/sh", "/.bottle/init", "/root/x", "/etc/resolv.conf", "/etc/hosts",
	} {
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0) //nolint:gosec // that is the attack
		if err == nil {
			_ = file.Close()
		}
		report("write "+path, err)
	}
	for _, path := range []string{"/proc/kcore", "/proc/1/environ", "/proc/1/mem", "/etc/shadow", "/proc/keys", "/proc/timer_list", "/sys/firmware/dmi/tables/DMI"} {
		data := make([]byte, 16)
		file, err := os.Open(path)
		if err == nil {
			var n int
			n, err = file.Read(data)
			if err == nil && n == 0 {
				err = errors.New("empty")
			}
			_ = file.Close()
		}
		report("read "+path, err)
	}
	_ = filepath.WalkDir("/", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // what can't be seen is not listed
		}
		if path == "/proc" || path == "/sys" {
			return filepath.SkipDir
		}
		switch {
		case entry.Type()&fs.ModeSocket != 0:
			fmt.Println("socket at " + path)
		case entry.Type()&fs.ModeDevice != 0:
			fmt.Println("device at " + path)
		}
		return nil
	})
	descriptors, _ := os.ReadDir("/proc/self/fd")
	for _, descriptor := range descriptors {
		target, err := os.Readlink("/proc/self/fd/" + descriptor.Name())
		if err == nil && !strings.HasPrefix(target, "/proc/") {
			fmt.Println("descriptor to " + target)
		}
	}
}

// identity says who we are, and what we may.
func identity([]string) {
	fmt.Println("ids:", os.Getuid(), os.Geteuid(), os.Getgid(), os.Getegid())
	set, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil {
		report("no_new_privs", err)
	}
	fmt.Println("self no_new_privs", set)
	for _, process := range []string{"1", "self"} {
		data, err := os.ReadFile("/proc/" + process + "/status")
		if err != nil {
			report("status of "+process, err)
			continue
		}
		for line := range strings.Lines(string(data)) {
			key, value, _ := strings.Cut(line, ":")
			if strings.HasPrefix(key, "Cap") || key == "NoNewPrivs" || key == "Seccomp" || key == "Groups" {
				fmt.Println(process, key, strings.TrimSpace(value))
			}
		}
	}
	for _, name := range []string{"/proc/net/dev", "/proc/net/route", "/proc/net/unix", "/proc/version"} {
		data, err := os.ReadFile(name)
		if err != nil {
			report(name, err)
			continue
		}
		for line := range strings.Lines(string(data)) {
			fmt.Print(name+" ", line)
		}
	}
}
