package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// swaps makes a tree in the directory of the first argument, in which directories,
// files and links to the other arguments take each other's names as fast as they can,
// until there is a file "stop" in the working directory. How often they did is in
// "swapped" then.
func swaps(args []string) {
	if len(args) < 2 {
		report("swaps", fmt.Errorf("a directory and what to lead to are wanted"))
		return
	}
	root, targets := args[0], args[1:]
	at := func(name string) string { return filepath.Join(root, name) }
	for _, name := range []string{"dir", "dir/sub", "other"} {
		if err := os.MkdirAll(at(name), 0o755); err != nil {
			report("make", err)
			return
		}
	}
	for _, name := range []string{"dir/file", "dir/sub/file", "other/file", "file"} {
		if err := os.WriteFile(at(name), []byte("the agent's own"), 0o600); err != nil {
			report("write", err)
			return
		}
	}
	done := 0
	try := func(err error) {
		if err == nil {
			done++
		}
	}
	for turn := 0; ; turn++ {
		if turn%16 == 0 {
			if _, err := os.Stat("stop"); err == nil {
				break
			}
		}
		target := targets[turn%len(targets)]
		// A directory becomes a link, and a directory again.
		try(os.Rename(at("dir"), at("aside")))
		try(os.Symlink(target, at("dir")))
		try(os.Remove(at("dir")))
		try(os.Rename(at("aside"), at("dir")))
		// So does one below, and a file.
		try(os.Rename(at("dir/sub"), at("aside")))
		try(os.Symlink(target, at("dir/sub")))
		try(os.Remove(at("dir/sub")))
		try(os.Rename(at("aside"), at("dir/sub")))
		try(os.Rename(at("file"), at("aside")))
		try(os.Symlink(target, at("file")))
		try(os.Remove(at("file")))
		try(unix.Mkfifo(at("file"), 0o600))
		try(os.Remove(at("file")))
		try(os.Rename(at("aside"), at("file")))
	}
	report("swapped", os.WriteFile("swapped", fmt.Append(nil, done), 0o600))
}

// special makes what is neither file nor directory, and files with special bits, in
// the directory of the first argument.
func special(args []string) {
	if len(args) < 1 {
		report("special", fmt.Errorf("a directory is wanted"))
		return
	}
	at := func(name string) string { return filepath.Join(args[0], name) }
	report("directory", os.MkdirAll(at("repository/.git"), 0o755))
	report("hook", os.WriteFile(at("repository/.git/config"), []byte("[core]\n\tfsmonitor = touch /tmp/pwned\n"), 0o600))
	report("fifo", unix.Mkfifo(at("fifo"), 0o600))
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: at("socket")})
	}
	report("socket", err)
	report("device", unix.Mknod(at("device"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	report("setuid", os.WriteFile(at("setuid"), []byte("#!/bin/sh\n"), 0o600))
	report("setuid", unix.Chmod(at("setuid"), 0o6755))
	report("xattr", unix.Setxattr(at("setuid"), "user.poison", []byte("x"), 0))
	report("outside", os.Symlink("/etc/passwd", at("outside")))
	report("climbing", os.Symlink("../../../../etc/passwd", at("climbing")))
	report("beside", os.Symlink("../beside", at("beside")))
	report("inside", os.Symlink("setuid", at("inside")))
	report("hard link", os.Link(at("setuid"), at("again")))
}

// deep makes directories in each other, that many.
func deep(args []string) {
	if len(args) < 1 {
		report("deep", fmt.Errorf("a directory is wanted"))
		return
	}
	if err := os.MkdirAll(args[0], 0o755); err != nil {
		report("deep", err)
		return
	}
	for range 700 {
		if err := os.Chdir(args[0]); err != nil {
			report("deep", err)
			return
		}
		if err := os.Mkdir("d", 0o755); err != nil {
			report("deep", err)
			return
		}
		args[0] = "d"
	}
	report("deep", nil)
}

// many makes empty files, as many as the second argument says.
func many(args []string) {
	count := 0
	if len(args) > 1 {
		_, _ = fmt.Sscan(args[1], &count)
	}
	if count == 0 {
		report("many", fmt.Errorf("a directory and a number are wanted"))
		return
	}
	if err := os.MkdirAll(args[0], 0o755); err != nil {
		report("many", err)
		return
	}
	for i := range count {
		if err := unix.Mknod(filepath.Join(args[0], fmt.Sprint(i)), unix.S_IFREG|0o600, 0); err != nil {
			report("many", err)
			return
		}
	}
	report("many", nil)
}

// system changes files of the image in the directory of the first argument, and then
// waits for the end of its input.
func system(args []string) {
	if len(args) < 1 {
		report("system", fmt.Errorf("a directory is wanted"))
		return
	}
	at := func(name string) string { return filepath.Join(args[0], name) }
	report("add", os.WriteFile(at("added"), []byte("added"), 0o600))
	report("make", os.Mkdir(at("made"), 0o700))
	report("link", os.Symlink("added\x1b[2J", at("made/link")))
	report("delete", os.Remove(at("deleted")))
	report("replace", errors.Join(os.Remove(at("replaced")), os.WriteFile(at("replaced"), []byte("the agent's"), 0o600)))
	report("temporary", os.WriteFile("/tmp/temporary", nil, 0o600))
	report("done", os.WriteFile("/workspace/done", nil, 0o600))
	_, _ = io.Copy(io.Discard, os.Stdin)
}
