package runtime

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const (
	probeBound = 20 * time.Second // a useless /dev/kvm makes a probe hang for minutes
	probeUID   = 1<<29 - 1        // below the ranges of bottles
	labelProbe = backend.LabelPrefix + "probe"
)

// probed is the line that `bottle-init probe` prints.
type probed struct {
	GVisor  bool   `json:"gvisor"`
	Version string `json:"version"`
	// platform is how gVisor catches system calls, seen from outside.
	platform string
}

// probe runs a sandbox through this very daemon and asks it where it is: only
// that tells whether a runtime works. It has no image and no network, and
// everything it makes is removed again, also what a killed probe has left.
func (c *Client) probe(ctx context.Context, handle Handle) (_ probed, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, probeBound, fmt.Errorf("it did not end within %s: %w", probeBound, context.DeadlineExceeded))
	defer cancel()
	if err := c.removeOldProbes(ctx); err != nil {
		log.G(ctx).WithError(err).Warn("remove old probes")
	}
	dir, err := os.MkdirTemp(c.options.Root, "probe-")
	if err != nil {
		return probed{}, fmt.Errorf("make probe directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	rootfs := filepath.Join(dir, "rootfs")
	if err := copyProgram(c.options.InitPath, rootfs); err != nil {
		return probed{}, err
	}
	name := "claude-bottle-probe-" + strings.ToLower(rand.Text()[:8])
	if err := c.createProbe(ctx, name, rootfs, handle); err != nil {
		return probed{}, err
	}
	defer func() {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeBound)
		defer cancel()
		err = errors.Join(err, c.removeProbe(undo, name))
	}()
	return c.runProbe(ctx, name, filepath.Join(dir, "output"), handle)
}

// createProbe is not given up half-way: the daemon might create the record after
// all, and nobody would remove it.
func (c *Client) createProbe(ctx context.Context, name, rootfs string, handle Handle) error {
	ctx, cancel := c.bounded(context.WithoutCancel(ctx))
	defer cancel()
	spec, err := typeurl.MarshalAny(probeSpec(rootfs, name, handle))
	if err != nil {
		return fmt.Errorf("encode probe spec: %w", err)
	}
	options, err := handle.options(c.options.RuntimeRoot)
	if err != nil {
		return err
	}
	_, err = c.client.ContainerService().Create(ctx, containers.Container{
		ID: name, Labels: map[string]string{labelProbe: "true"}, Spec: spec,
		Runtime: containers.RuntimeInfo{Name: handle.Shim, Options: options},
	})
	if err != nil {
		return c.failed(ctx, "create probe", err)
	}
	return nil
}

func (c *Client) runProbe(ctx context.Context, name, output string, handle Handle) (probed, error) {
	pid, err := c.CreateTask(ctx, name, output)
	if err != nil {
		return probed{}, err
	}
	platform := platformOf(pid)
	exits, err := c.WaitTask(ctx, name)
	if err != nil {
		return probed{}, err
	}
	if err := c.StartTask(ctx, name); err != nil {
		return probed{}, err
	}
	exit, ok := <-exits
	if !ok {
		return probed{}, context.Cause(ctx)
	}
	// The end is told before the shim has written the output down: only once the
	// task is removed is all of it there.
	if err := c.RemoveTask(ctx, name); err != nil {
		return probed{}, err
	}
	said, err := os.ReadFile(output)
	if err != nil {
		return probed{}, fmt.Errorf("read what the probe says: %w", err)
	}
	var found probed
	if exit.Err != nil {
		return found, exit.Err
	}
	const lost = 128 // what gVisor's own shim says of a process that has ended at once
	ended := exit.Code == 0 || handle.ContainerType && exit.Code == lost
	line, _, _ := bytes.Cut(said, []byte("\n"))
	if err := json.Unmarshal(line, &found); err != nil || !ended {
		return found, fmt.Errorf("it ended with code %d, saying %s: %w", exit.Code, backend.Printable(string(line)), errdefs.ErrFailedPrecondition)
	}
	if found.GVisor {
		found.platform = platform
	}
	return found, nil
}

// platformOf reads it off the sandbox's command line: runsc passes on what it was
// told, and takes systrap when it was told nothing.
func platformOf(pid uint32) string {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	args := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
	if platform := flagValue(args, "platform"); platform != "" {
		return platform
	}
	return "systrap"
}

func (c *Client) removeProbe(ctx context.Context, name string) error {
	if err := c.RemoveTask(ctx, name); err != nil {
		return err
	}
	// A shim that fails in the middle leaves what it has begun.
	leftovers, err := c.Leftovers(ctx, name, name)
	for _, leftover := range leftovers {
		err = errors.Join(err, c.RemoveLeftover(ctx, leftover))
	}
	return errors.Join(err, c.DeleteRecord(ctx, name))
}

// removeOldProbes removes those that outlived their process.
func (c *Client) removeOldProbes(ctx context.Context) error {
	bounded, cancel := c.bounded(ctx)
	defer cancel()
	list, err := c.client.ContainerService().List(bounded, `labels."`+labelProbe+`"`)
	if err != nil {
		return c.failed(bounded, "list probes", err)
	}
	for _, container := range list {
		if time.Since(container.CreatedAt) > 2*probeBound {
			err = errors.Join(err, c.removeProbe(ctx, container.ID))
		}
	}
	return err
}

// copyProgram puts the one program of a probe into its root, for another user to run,
// whatever the umask: that of a service lets nobody else read.
func copyProgram(from, rootfs string) error {
	for _, dir := range []string{"", "proc", "dev", "sys"} {
		path := filepath.Join(rootfs, dir)
		if err := os.MkdirAll(path, 0o755); err != nil { //nolint:gosec // another user runs in it
			return fmt.Errorf("make probe root: %w", err)
		}
		if err := os.Chmod(path, 0o755); err != nil { //nolint:gosec // as above
			return fmt.Errorf("open probe root: %w", err)
		}
	}
	to := filepath.Join(rootfs, "init")
	if os.Link(from, to) == nil {
		return nil
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("read probe program: %w", err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil { //nolint:gosec // a program
		return fmt.Errorf("write probe program: %w", err)
	}
	if err := os.Chmod(to, 0o755); err != nil { //nolint:gosec // as above
		return fmt.Errorf("open probe program: %w", err)
	}
	return nil
}

// probeSpec is the least that a sandbox needs.
func probeSpec(rootfs, name string, handle Handle) *specs.Spec {
	spec := &specs.Spec{
		Version: "1.0.2",
		Root:    &specs.Root{Path: rootfs, Readonly: true},
		Process: &specs.Process{
			Args: []string{"/init", "probe"}, Cwd: "/", NoNewPrivileges: true,
			User: specs.User{UID: probeUID, GID: probeUID}, Capabilities: &specs.LinuxCapabilities{},
		},
		Mounts: []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}}},
		Linux: &specs.Linux{
			CgroupsPath: "/claude-bottle/" + name,
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
				{Type: specs.MountNamespace}, {Type: specs.NetworkNamespace},
			},
			Resources: &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}},
		},
	}
	if handle.ContainerType {
		spec.Annotations = map[string]string{"io.kubernetes.cri.container-type": "sandbox"}
	}
	return spec
}
