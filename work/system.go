package work

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// SystemChange is one difference between a bottle's root file system and that of
// its image.
type SystemChange struct {
	Path string `json:"path"`
	// Kind is added, modified or deleted.
	Kind string `json:"kind"`
	// Type is file, directory, link or other, as it is now, or was.
	Type string `json:"type"`
	// Mode is its mode as it is now, OldMode as it was: "" when it is not there.
	OldMode string `json:"oldMode,omitempty"`
	Mode    string `json:"mode,omitempty"`
	// OldBytes and Bytes are the sizes of files.
	OldBytes int64 `json:"oldBytes,omitempty"`
	Bytes    int64 `json:"bytes,omitempty"`
	// Target is where a link leads.
	Target string `json:"target,omitempty"`
}

// Kinds of SystemChange.
const (
	SystemAdded    = "added"
	SystemModified = "modified"
	SystemDeleted  = "deleted"
)

// System compares the root file systems of two bottles: that of the second with
// that of the first, in which nothing has run. It is told by what runs in them:
// of the second one the agent's word.
func System(ctx context.Context, pristine, now backend.Lister) ([]SystemChange, error) {
	var before, after map[string]archive.Listed
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { before, err = listed(ctx, pristine); return err })
	group.Go(func() (err error) { after, err = listed(ctx, now); return err })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return systemChanges(before, after), nil
}

func listed(ctx context.Context, from backend.Lister) (map[string]archive.Listed, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reader, writer := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = writer.CloseWithError(from.List(ctx, writer))
	}()
	listing, err := archive.ReadListing(reader)
	if err == nil {
		_, err = io.Copy(io.Discard, reader) // whole only when the other end says so
	}
	cancel()
	_ = reader.CloseWithError(errTaken)
	<-ended
	return listing, err
}

// systemChanges says how the second listing differs from the first, by path. What
// belongs to each bottle by itself is left out: the kernel's file systems, the
// workspace, the home directory, and the files of /etc that are made for it.
func systemChanges(before, after map[string]archive.Listed) []SystemChange {
	var changes []SystemChange
	for path, now := range after {
		was, there := before[path]
		switch {
		case ownOfBottle(path):
		case !there:
			changes = append(changes, SystemChange{
				Path: "/" + path, Kind: SystemAdded, Type: typeOf(now), Mode: modeOf(now), Bytes: bytesOf(now), Target: now.Target,
			})
		case differs(was, now):
			changes = append(changes, SystemChange{
				Path: "/" + path, Kind: SystemModified, Type: typeOf(now), OldMode: modeOf(was), Mode: modeOf(now),
				OldBytes: bytesOf(was), Bytes: bytesOf(now), Target: now.Target,
			})
		}
	}
	for path, was := range before {
		if _, there := after[path]; !there && !ownOfBottle(path) {
			changes = append(changes, SystemChange{
				Path: "/" + path, Kind: SystemDeleted, Type: typeOf(was), OldMode: modeOf(was), OldBytes: bytesOf(was), Target: was.Target,
			})
		}
	}
	slices.SortFunc(changes, func(a, b SystemChange) int { return cmp.Compare(a.Path, b.Path) })
	return changes
}

// differs ignores the times of directories and links: the runtime makes mount
// points in some.
func differs(was, now archive.Listed) bool {
	switch {
	case was.Mode != now.Mode || was.Target != now.Target:
		return true
	case was.Mode&unix.S_IFMT != unix.S_IFREG:
		return false
	default:
		return was.Size != now.Size || was.Mtime != now.Mtime
	}
}

// ownOfBottle says that a path is no part of the image's root file system.
func ownOfBottle(path string) bool {
	full := "/" + path
	for _, own := range []string{
		"/proc", "/sys", "/dev", "/tmp", "/var/tmp", "/run", backend.WorkspacePath, backend.HomePath,
		"/etc/passwd", "/etc/group", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname",
	} {
		if full == own || strings.HasPrefix(full, own+"/") {
			return true
		}
	}
	return false
}

func typeOf(l archive.Listed) string {
	switch l.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "file"
	case unix.S_IFDIR:
		return "directory"
	case unix.S_IFLNK:
		return "link"
	default:
		return "other"
	}
}

func modeOf(l archive.Listed) string { return fmt.Sprintf("%04o", l.Mode&0o7777) }

func bytesOf(l archive.Listed) int64 {
	if l.Mode&unix.S_IFMT == unix.S_IFREG {
		return l.Size
	}
	return 0
}
