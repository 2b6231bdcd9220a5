package provision_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/provision"
)

// streamed is a target of directories that takes streams.
type streamed string

func (s streamed) open(place backend.Place) (*os.File, error) {
	path := filepath.Join(string(s), string(place))
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	return os.Open(path)
}

func (s streamed) Extract(ctx context.Context, place backend.Place, stream io.Reader) error {
	dir, err := s.open(place)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	_, err = archive.Extract(ctx, dir, stream, archive.Options{UID: os.Getuid(), GID: os.Getgid()})
	return err
}

// direct is one that takes trees, too.
type direct struct{ streamed }

func (d direct) CopyTree(ctx context.Context, place backend.Place, from *os.File, options archive.PackOptions) error {
	dir, err := d.open(place)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	_, err = archive.Copy(ctx, from, dir, options, archive.Options{UID: os.Getuid(), GID: os.Getgid()})
	return err
}

// listing names what a directory holds, with modes, times and content.
func (u *user) listing(path string) []string {
	u.Helper()
	dir, err := os.Open(path)
	u.must(err)
	defer func() { _ = dir.Close() }()
	var lines []string
	u.must(archive.Walk(u.Context(), dir, func(entry archive.Entry) error {
		line := fmt.Sprintf("%s %o %d.%d", entry.Path, entry.Stat.Mode, entry.Stat.Mtim.Sec, entry.Stat.Mtim.Nsec)
		if !entry.IsDir() {
			full := filepath.Join(path, entry.Path)
			target, _ := os.Readlink(full)
			data, err := os.ReadFile(full)
			if target == "" {
				u.must(err)
				line += fmt.Sprintf(" %q", data)
			}
			line += " " + target
		}
		lines = append(lines, line)
		return nil
	}))
	return lines
}

func TestAWorkingDirectoryIsTheSameByStreamAndByCopy(t *testing.T) {
	u := newUser(t)
	u.project()
	u.spec.CopyCwd = true
	things, err := u.gather()
	u.must(err)
	plan := &backend.Plan{Inputs: things.Inputs, Workspace: things.Workspace}
	byStream, byCopy := t.TempDir(), t.TempDir()
	for _, target := range []backend.Target{streamed(byStream), direct{streamed(byCopy)}} {
		_, err := provision.Provisioner{}.Provision(t.Context(), plan, target)
		u.must(err)
	}
	want, got := u.listing(filepath.Join(byStream, "workspace")), u.listing(filepath.Join(byCopy, "workspace"))
	if len(want) < 10 || !slices.Equal(want, got) {
		t.Errorf("by stream:\n%s\nby copy:\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
}
