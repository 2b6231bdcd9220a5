package runtime

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/claude-bottle/claude-bottle/pattern"
)

// shimFiles are what a shim of that name has left and the daemon has not
// noticed: its socket, its bundle and the work directory that the bundle points
// to. A bundle that stays keeps the name from being used.
func (c *Client) shimFiles(name string) []string {
	bundle := c.bundle(name)
	candidates := []string{c.shimSocket(name)}
	work, err := os.Readlink(filepath.Join(bundle, "work"))
	if err == nil && strings.HasSuffix(work, filepath.Join(tasksDirectory, c.options.Namespace, name)) {
		candidates = append(candidates, work)
	}
	var list []string
	for _, path := range append(candidates, bundle) { // the bundle last: it knows the others
		if _, err := os.Lstat(path); err == nil {
			list = append(list, path)
		}
	}
	return list
}

// tasksDirectory is where the daemon keeps bundles, below its state directory,
// and work directories, below its root.
const tasksDirectory = "io.containerd.runtime.v2.task"

func (c *Client) bundle(name string) string {
	return filepath.Join(c.stateDirectory(), tasksDirectory, c.options.Namespace, name)
}

// shimSocket is where a shim of that name listens, by the rule of containerd's
// pkg/shim: whatever the daemon's state directory is.
func (c *Client) shimSocket(name string) string {
	sum := sha256.Sum256([]byte(filepath.Join(c.options.Address, c.options.Namespace, name)))
	return filepath.Join(defaultState, "s", hex.EncodeToString(sum[:]))
}

// bundleMounts are the root file systems of the record below this very daemon's
// state directory that a killed shim has left mounted.
func (c *Client) bundleMounts(name string) ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	wanted := filepath.Join(c.bundle(name), "rootfs")
	var list []string
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		const mountPoint = 4
		if len(fields) > mountPoint && fields[mountPoint] == wanted {
			list = append(list, wanted)
		}
	}
	return list, lines.Err()
}

// defaultState is containerd's own default.
const defaultState = "/run/containerd"

var stateLine = pattern.Lazy(`(?m)^\s*state\s*=\s*["']([^"']+)["']`)

// stateDirectory is where the daemon keeps its bundles: what its command line
// says, else its configuration file, else the default.
func (c *Client) stateDirectory() string {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.daemon.PID))
	if err != nil {
		return defaultState
	}
	args := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
	if state := flagValue(args, "state"); state != "" {
		return filepath.Clean(state)
	}
	config := flagValue(args, "config")
	if config == "" {
		config = flagValue(args, "c")
	}
	if config == "" {
		config = "/etc/containerd/config.toml"
	}
	if text, err := os.ReadFile(config); err == nil { //nolint:gosec // the file that the daemon reads
		if match := stateLine().FindSubmatch(text); match != nil {
			return filepath.Clean(string(match[1]))
		}
	}
	return defaultState
}

// flagValue finds -name value, --name value and both with '='.
func flagValue(args []string, name string) string {
	for i, arg := range args {
		flag, value, joined := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		switch {
		case flag != name || !strings.HasPrefix(arg, "-"):
		case joined:
			return value
		case i+1 < len(args):
			return args[i+1]
		}
	}
	return ""
}
