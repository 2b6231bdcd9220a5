package runtime

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
)

const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// findBinary looks in Libexec and then on the daemon's PATH, which is where its
// shims would look, never on ours. What it returns is absolute, and root's alone
// to change.
func (c *Client) findBinary(name string) (string, error) {
	var refused error
	for _, dir := range c.searchPath() {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err != nil || info.IsDir() || info.Mode().Perm()&0o111 == 0 {
			continue
		}
		if err := CheckTrusted(path); err != nil {
			refused = err
			continue
		}
		return path, nil
	}
	if refused != nil {
		return "", refused
	}
	return "", fmt.Errorf("%s is not installed (looked in %s): %w", name, strings.Join(c.searchPath(), ":"), errdefs.ErrNotFound)
}

func (c *Client) searchPath() []string {
	var dirs []string
	if c.options.Libexec != "" {
		dirs = append(dirs, c.options.Libexec)
	}
	path := systemPath
	if c.daemon.PID != 0 {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", c.daemon.PID))
		for variable := range bytes.SplitSeq(data, []byte{0}) {
			if value, ok := strings.CutPrefix(string(variable), "PATH="); err == nil && ok && value != "" {
				path = value
			}
		}
	}
	for _, dir := range filepath.SplitList(path) {
		if filepath.IsAbs(dir) {
			dirs = append(dirs, filepath.Clean(dir))
		}
	}
	return dirs
}

// CheckTrusted refuses a program that root would run and somebody else could
// have written: the file and every directory on its way must be root's and
// closed to others.
func CheckTrusted(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("look at %s: %w", path, err)
	}
	for at := real; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return fmt.Errorf("look at %s: %w", at, err)
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		sticky := info.Mode()&fs.ModeSticky != 0 && at != real && at != filepath.Dir(real)
		if !ok || stat.Uid != 0 || (info.Mode().Perm()&0o022 != 0 && !sticky) {
			return fmt.Errorf("%s is not run, for others than root can change %s: chown it to root and chmod go-w it: %w", path, at, errdefs.ErrPermissionDenied)
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

// askVersion runs `binary --version` with nothing of our environment.
func askVersion(ctx context.Context, binary string) (string, error) {
	const bound = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	command := exec.CommandContext(ctx, binary, "--version") //nolint:gosec // CheckTrusted has seen it
	command.Env = []string{"PATH=" + systemPath}
	command.Dir = "/"
	output, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", binary, err)
	}
	return string(output), nil
}

// shownVersion is the first line, for people; only runc's is parsed.
func shownVersion(output string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(output), "\n")
	const most = 80
	return line[:min(most, len(line))]
}
