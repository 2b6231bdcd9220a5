package bottletest

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Place is a directory that everybody on the machine can pass, with the program in it and
// room for a socket: what users who are not root need of one who is.
type Place struct {
	Dir, Binary, Socket string
}

// NewPlace makes one, and removes it at the end of the test.
func (u *User) NewPlace() Place {
	u.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "cbu") //nolint:usetesting // that of t.TempDir is closed to others
	if err != nil {
		u.Fatal(err)
	}
	u.Cleanup(func() { _ = os.RemoveAll(dir) })
	program, err := os.ReadFile(u.Binary)
	if err != nil {
		u.Fatal(err)
	}
	place := Place{Dir: dir, Binary: filepath.Join(dir, "claude-bottle"), Socket: filepath.Join(dir, "users.sock")}
	if err := os.WriteFile(place.Binary, program, 0o600); err != nil {
		u.Fatal(err)
	}
	for _, path := range []string{dir, place.Binary} {
		if err := os.Chmod(path, 0o755); err != nil { //nolint:gosec // everybody is to pass
			u.Fatal(err)
		}
	}
	return place
}

// Account is a user who is not root, and can't reach the daemon.
type Account struct {
	*User

	Place Place
	uid   uint32
	group []uint32
}

// Account returns the user of that number, with a home of its own, who is a member of these
// groups beside its own.
func (u *User) Account(place Place, name string, uid uint32, groups ...uint32) *Account {
	u.Helper()
	own := *u
	own.Home, own.Cwd = filepath.Join(place.Dir, name, "home"), filepath.Join(place.Dir, name, "project")
	account := &Account{User: &own, Place: place, uid: uid, group: groups}
	for _, path := range []string{own.Home, own.Cwd} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			u.Fatal(err)
		}
	}
	account.Own()
	return account
}

// Own gives all that was written in the account's directory to it.
func (a *Account) Own() {
	a.Helper()
	err := filepath.WalkDir(filepath.Dir(a.Home), func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(a.uid), int(a.uid))
	})
	if err != nil {
		a.Fatal(err)
	}
}

// Command is the program as the account runs it.
func (a *Account) Command(args ...string) *exec.Cmd {
	command := exec.Command(a.Place.Binary, args...) //nolint:noctx,gosec // ended by the test itself
	command.Dir = a.Cwd
	command.Env = []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + a.Home, "TERM=xterm-256color", "LANG=C.UTF-8",
		"ANTHROPIC_API_KEY=" + a.key, "ANTHROPIC_BASE_URL=" + a.API.URL(), "CLAUDE_BOTTLE_SOCKET=" + a.Place.Socket,
	}
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: a.uid, Gid: a.uid, Groups: a.group}}
	return command
}

// Run runs the program without a terminal, bounded.
func (a *Account) Run(args ...string) Result {
	a.Helper()
	return a.RunCommand(a.Command(args...))
}

// OnTerminal starts the program on a PTY.
func (a *Account) OnTerminal(args ...string) *Screen {
	a.Helper()
	return a.CommandOnTerminal("", a.Command(args...))
}
