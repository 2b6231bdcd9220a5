package bottletest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/test/hunt"
)

// Hunt fails the test if one of the secrets is where no secret may be: in files
// of the daemon, of the program or in the project, in temporary ones, in what any process of this
// machine was started with, or in the memory of those that make up bottles. The
// test itself, the supervisors and those given hold secrets by right; the
// supervisors only in their memory. The file secret in the user's home is theirs
// to keep one in.
func (u *User) Hunt(t testing.TB, secrets map[string]string, byRight []int) {
	t.Helper()
	h := hunt.New(secrets)
	own := filepath.Join(u.Home, "secret")
	roots := []string{u.Daemon.Dir, filepath.Dir(u.Home), u.RunRoot}
	for _, root := range roots {
		h.Tree(root, func(path string, _ fs.DirEntry) bool { return path == own || u.untouched(path) })
	}
	for _, root := range []string{os.TempDir(), "/var/tmp", "/dev/shm", "/run"} {
		h.Tree(root, func(path string, _ fs.DirEntry) bool {
			return slices.Contains(roots, path) || ofOthers(path) || u.untouched(path)
		})
	}
	if h.Files < 2 { // the database and a log at least
		t.Errorf("only %d files below %q were looked at", h.Files, roots)
	}
	database := filepath.Join(u.Daemon.Root, "io.containerd.metadata.v1.bolt", "meta.db")
	if u.untouched(database) {
		t.Errorf("%s was not looked at", database)
	}
	byRight = append(byRight, os.Getpid(), os.Getppid())
	for _, pid := range hunt.Processes() {
		if !slices.Contains(byRight, pid) {
			h.Start(pid)
		}
	}
	for _, pid := range u.servants() {
		if !slices.Contains(append(byRight, u.Supervisors()...), pid) {
			_ = h.Contents(pid) // it may just have ended
		}
	}
	if h.Processes < 1 || h.Memory < 1<<20 {
		t.Errorf("only %d processes and %d bytes of memory were looked at", h.Processes, h.Memory)
	}
	for _, hit := range h.Hits {
		t.Errorf("T27: %s", hit)
	}
}

// ofOthers says that a directory belongs to another test's daemon or to the
// builder of programs: both are large, and none of a bottle's.
func ofOthers(path string) bool {
	name := filepath.Base(path)
	return strings.HasPrefix(name, "containerdtest-") || strings.HasPrefix(name, "go-build")
}

// untouched says that a file was last changed before this user came: what is in
// it, such as the layers of images, was there before any secret. Directories are
// looked through all the same.
func (u *User) untouched(path string) bool {
	var status syscall.Stat_t
	if err := syscall.Lstat(path, &status); err != nil {
		return true
	}
	return status.Mode&syscall.S_IFMT != syscall.S_IFDIR && time.Unix(status.Ctim.Unix()).Before(u.came)
}

// servants are the daemon, and all processes that it has for bottles: those that
// are told of its directories or the program's, and their children.
func (u *User) servants() []int {
	parents, servants := map[int]int{}, []int{u.Daemon.Pid()}
	for _, pid := range hunt.Processes() {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		var state string
		var parent int
		if _, err := fmt.Sscan(string(status[strings.LastIndexByte(string(status), ')')+1:]), &state, &parent); err == nil {
			parents[pid] = parent
		}
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && (strings.Contains(string(line), u.Daemon.Dir) || strings.Contains(string(line), u.RunRoot)) {
			servants = append(servants, pid)
		}
	}
	for i := 0; i < len(servants); i++ {
		for pid, parent := range parents {
			if parent == servants[i] && !slices.Contains(servants, pid) {
				servants = append(servants, pid)
			}
		}
	}
	return servants
}
