package runtime

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
)

// verdict is what is known of a runtime on this daemon, on this boot.
type verdict struct {
	Version  string `json:"version"`            // what --version says, whole
	Kernel   string `json:"kernel"`             // /proc/version inside
	Platform string `json:"platform,omitempty"` // gVisor's
}

// maxVerdicts bounds the file: older ones go.
const maxVerdicts = 32

func (c *Client) verdictFile() string { return filepath.Join(c.options.Root, "verdicts.json") }

// verdictKey changes with everything that may change the verdict: the binary,
// the daemon, the boot, PID 1.
func (c *Client) verdictKey(handle Handle) (string, error) {
	world, err := c.world()
	if err != nil {
		return "", err
	}
	key := append(world, handle.Shim)
	for _, path := range []string{handle.Binary, c.options.InitPath} {
		file, err := fileKey(path)
		if err != nil {
			return "", err
		}
		key = append(key, file)
	}
	return strings.Join(key, "|"), nil
}

// world is what all verdicts of this daemon and boot have in common.
func (c *Client) world() ([]string, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("read boot id: %w", err)
	}
	return []string{c.daemon.Version, strings.TrimSpace(string(boot))}, nil
}

// fileKey changes with the file.
func fileKey(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("look at %s: %w", path, err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", fmt.Errorf("look at %s: no inode", path)
	}
	return fmt.Sprintf("%s %d %d %d", path, stat.Ino, info.Size(), info.ModTime().UnixNano()), nil
}

// CheckUnchanged refuses a runtime whose binary, or PID 1, is not the one that
// Choose has looked at: an Aborted error.
func (c *Client) CheckUnchanged(handle Handle) error {
	now, err := c.verdictKey(handle)
	if err != nil {
		return err
	}
	if now != handle.planned {
		return fmt.Errorf("%s or %s has changed since the plan was made: start again to see the new plan: %w", handle.Binary, c.options.InitPath, errdefs.ErrAborted)
	}
	return nil
}

func (c *Client) verdicts() map[string]verdict {
	known := map[string]verdict{}
	data, err := os.ReadFile(c.verdictFile())
	if err != nil || json.Unmarshal(data, &known) != nil {
		return map[string]verdict{} // a cache that can't be read is an empty one
	}
	return known
}

// cached returns the verdict of an earlier probe.
func (c *Client) cached(handle Handle) (verdict, bool) {
	key, err := c.verdictKey(handle)
	if err != nil {
		return verdict{}, false
	}
	found, ok := c.verdicts()[key]
	return found, ok
}

// remember keeps a good verdict. Two that write at once lose one of the two,
// which costs a probe.
func (c *Client) remember(handle Handle, found verdict) error {
	key, err := c.verdictKey(handle)
	if err != nil {
		return err
	}
	known := c.verdicts()
	if len(known) >= maxVerdicts {
		clear(known)
	}
	known[key] = found
	return c.write(known)
}

// forget drops a verdict that has turned out to be wrong.
func (c *Client) forget(handle Handle) error {
	known := c.verdicts()
	key, err := c.verdictKey(handle)
	if _, there := known[key]; err != nil || !there {
		return nil //nolint:nilerr // what has changed has no verdict
	}
	delete(known, key)
	return c.write(known)
}

// write replaces the file of verdicts.
func (c *Client) write(known map[string]verdict) error {
	data, err := json.Marshal(known)
	if err != nil {
		return fmt.Errorf("encode verdicts: %w", err)
	}
	file, err := os.CreateTemp(c.options.Root, "verdicts-*.new")
	if err != nil {
		return fmt.Errorf("keep verdict: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }() // gone by then, when all went well
	_, err = file.Write(data)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(file.Name(), c.verdictFile())
	}
	if err != nil {
		return fmt.Errorf("keep verdict: %w", err)
	}
	return nil
}
