package runtime

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"strings"
	"syscall"

	"github.com/claude-bottle/claude-bottle/backend"
)

// Socket is what can be seen of a socket from outside.
type Socket struct {
	Path     string
	Missing  bool
	Mode     fs.FileMode
	UID, GID uint32
	// Refused says why Connect does not use it; nil when it does.
	Refused error
}

// LookAtSocket looks at a socket as Connect does, without speaking to it.
func LookAtSocket(path string) Socket {
	socket := Socket{Path: path, Refused: checkSocket(path)}
	info, err := os.Stat(path)
	if err != nil {
		socket.Missing = errors.Is(err, fs.ErrNotExist)
		return socket
	}
	socket.Mode = info.Mode()
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		socket.UID, socket.GID = stat.Uid, stat.Gid
	}
	return socket
}

// Plugin is a part of the daemon.
type Plugin struct {
	Type, ID string
	// Problem says why it does not work; "" when it does.
	Problem string
	// Root is where it keeps its files, or "".
	Root string
}

// Plugins lists the parts of the daemon, also those that don't work.
func (c *Client) Plugins(ctx context.Context) ([]Plugin, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	answer, err := c.client.IntrospectionService().Plugins(ctx)
	if err != nil {
		return nil, c.failed(ctx, "list plugins", err)
	}
	list := make([]Plugin, 0, len(answer.GetPlugins()))
	for _, plugin := range answer.GetPlugins() {
		list = append(list, Plugin{
			Type: plugin.GetType(), ID: plugin.GetID(),
			Problem: plugin.GetInitErr().GetMessage(), Root: plugin.GetExports()["root"],
		})
	}
	return list, nil
}

// Snapshotter is the plugin that bottles have their root file systems from.
func Snapshotter() Plugin { return Plugin{Type: "io.containerd.snapshotter.v1", ID: snapshotter} }

// Policies are the runtimes that a bottle may run on, the strongest first.
func Policies() []backend.RuntimePolicy {
	list := make([]backend.RuntimePolicy, len(candidates))
	for i, row := range candidates {
		list[i] = row.policy
	}
	return list
}

// FindImage finds an image in the daemon's own store, and asks nobody else. One that is
// not there is a NotFound error.
func (c *Client) FindImage(ctx context.Context, text string) (Image, error) {
	name, _, err := normalize(text)
	if err != nil {
		return Image{}, err
	}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	found, err := c.client.GetImage(ctx, name)
	if err != nil {
		return Image{}, c.failed(ctx, "look for image "+name, err)
	}
	return c.describe(ctx, found, found.Target().Digest.String())
}

// DropStaleVerdicts forgets what probes have found out about binaries, daemons and boots
// that are no more, and says how many verdicts that were.
func (c *Client) DropStaleVerdicts() (int, error) {
	world, err := c.world()
	if err != nil {
		return 0, err
	}
	known := c.verdicts()
	before := len(known)
	maps.DeleteFunc(known, func(key string, _ verdict) bool { return stale(key, strings.Join(world, "|")+"|") })
	if len(known) == before {
		return 0, nil
	}
	return before - len(known), c.write(known)
}

// stale says that no runtime of this world can have the key.
func stale(key, world string) bool {
	rest, ours := strings.CutPrefix(key, world)
	parts := strings.Split(rest, "|")
	if !ours || len(parts) != 3 { // shim, runtime, PID 1
		return true
	}
	for _, part := range parts[1:] {
		words := strings.Split(part, " ")
		now, err := fileKey(strings.Join(words[:max(0, len(words)-3)], " ")) // inode, size and time stand last
		if err != nil || now != part {
			return true
		}
	}
	return false
}
