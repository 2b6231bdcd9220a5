package doctor

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/containerd/errdefs"
)

var (
	aboutSocket      = subject{"socket", "containerd socket"}
	aboutContainerd  = subject{"containerd", "containerd"}
	aboutPlugins     = subject{"plugins", "containerd plugins"}
	aboutSnapshotter = subject{"snapshotter", "snapshotter"}
)

// noSocket is said where there is nothing to look at.
func noSocket(err error) Check {
	if errdefs.IsInvalidArgument(err) {
		return aboutSocket.missing("name the socket by its whole path", "%s", firstLine(err))
	}
	return aboutSocket.missing("start containerd, or name its socket with --address", "none at %s or %s", runtime.SystemAddress, runtime.PrivateAddress)
}

// judgeSocket says how it is with the socket itself. That it answers is another matter.
func judgeSocket(f runtime.Socket) Check {
	path := backend.Printable(f.Path)
	owner := fmt.Sprintf("%s: mode %04o, uid %d, gid %d", path, f.Mode.Perm(), f.UID, f.GID)
	switch {
	case f.Missing:
		return aboutSocket.missing("start containerd, or name another socket with --address", "%s does not exist", path)
	case errdefs.IsInvalidArgument(f.Refused):
		return aboutSocket.missing("name containerd's socket with --address", "%s is no socket", path)
	case f.Refused != nil && f.Mode.Perm()&0o002 != 0:
		return aboutSocket.missing("chmod 660 "+path+": who can write to it is root", "%s: everybody can write to it", owner)
	case f.Refused != nil:
		return aboutSocket.missing("move it to a directory of root's that nobody else can write to", "%s", firstLine(f.Refused))
	default:
		return aboutSocket.ok("%s", owner)
	}
}

// judgeConnection says why the daemon can't be used.
func judgeConnection(err error) Check {
	switch {
	case errdefs.IsPermissionDenied(err):
		return aboutContainerd.unknown("run doctor as root", "%s", firstLine(err))
	case errdefs.IsFailedPrecondition(err):
		return aboutContainerd.missing("do what it says; containerd must be 1.6 or newer", "%s", firstLine(err))
	default:
		return aboutContainerd.missing("look at containerd's log (`journalctl -u containerd`) and start it again", "%s", firstLine(err))
	}
}

func judgeDaemon(f runtime.Daemon) Check {
	found := "version " + backend.Printable(f.Version)
	if f.PID != 0 {
		found += fmt.Sprintf(", process %d", f.PID)
	}
	if !f.UserNamespaces {
		found += "; bottles get a user namespace from 2.0 on"
	}
	if !f.SharesPIDs {
		return aboutContainerd.warning("run claude-bottle in the daemon's own process namespace: without, less of a dead bottle can be seen and ended", "%s; it sees other processes than this program", found)
	}
	return aboutContainerd.ok("%s", found)
}

// services are the parts that the program asks for something. Their types have kept their
// names since 1.6.
func services() []string {
	return []string{
		"io.containerd.content.v1/content", "io.containerd.differ.v1/walking", "io.containerd.gc.v1/scheduler",
		"io.containerd.grpc.v1/containers", "io.containerd.grpc.v1/content", "io.containerd.grpc.v1/diff",
		"io.containerd.grpc.v1/events", "io.containerd.grpc.v1/images", "io.containerd.grpc.v1/leases",
		"io.containerd.grpc.v1/namespaces", "io.containerd.grpc.v1/snapshots", "io.containerd.grpc.v1/tasks",
		"io.containerd.metadata.v1/bolt", "io.containerd.runtime.v2/task",
	}
}

// judgePlugins says which are not there or don't work.
func judgePlugins(plugins []runtime.Plugin) []Check {
	problem := func(name string) string {
		kind, id, _ := strings.Cut(name, "/")
		at := slices.IndexFunc(plugins, func(plugin runtime.Plugin) bool { return plugin.Type == kind && plugin.ID == id })
		switch {
		case at < 0:
			return "is not there"
		case plugins[at].Problem != "":
			return "does not work: " + backend.Printable(plugins[at].Problem)
		default:
			return ""
		}
	}
	const remedy = "take it out of disabled_plugins in containerd's config.toml, and start containerd again: its log says more"
	var wrong []string
	for _, name := range services() {
		if text := problem(name); text != "" {
			wrong = append(wrong, name+" "+text)
		}
	}
	checks := []Check{aboutPlugins.ok("%d of %d that are needed", len(services()), len(services()))}
	if len(wrong) > 0 {
		checks[0] = aboutPlugins.missing(remedy, "%s", strings.Join(wrong, "; "))
	}
	wanted := runtime.Snapshotter()
	if text := problem(wanted.Type + "/" + wanted.ID); text != "" {
		return append(checks, aboutSnapshotter.missing(remedy+"; its directory must lie on ext4, xfs (ftype=1), btrfs or tmpfs, not on another overlay", "%s %s", wanted.ID, text))
	}
	return append(checks, aboutSnapshotter.ok("%s", wanted.ID))
}

// seePlugins also looks at the disk that the snapshotter writes to, where it can be seen.
func (e *examination) seePlugins(ctx context.Context) []Check {
	plugins, err := e.opened.Plugins(ctx)
	if err != nil {
		return []Check{aboutPlugins.unknown("", "%s", firstLine(err))}
	}
	checks := judgePlugins(plugins)
	wanted := runtime.Snapshotter()
	for _, plugin := range plugins {
		if plugin.Type == wanted.Type && plugin.ID == wanted.ID && plugin.Root != "" && e.opened.Daemon().SharesPIDs {
			checks = append(checks, judgeDisk(aboutImages, gatherDisk(plugin.Root), needOfImages()))
		}
	}
	return checks
}

// maxFound bounds a line that comes from elsewhere, in bytes.
const maxFound = 400

// firstLine is an error on one line that any terminal can show.
func firstLine(err error) string {
	text, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	var b strings.Builder
	for _, r := range text {
		if r >= ' ' && r <= '~' {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	line := b.String()
	if len(line) > maxFound {
		line = line[:maxFound] + "..."
	}
	return line
}
