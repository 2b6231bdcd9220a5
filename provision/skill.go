package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// maxSkillBytes bounds a skill: it is held in memory until launch.
const maxSkillBytes = 64 << 20

// skillRoots are where skills are looked for, below the home directory.
var skillRoots = []string{".claude-bottle/skills", ".claude/skills"}

// skillInput packs one skill. A link in it that leads out of it, and whatever is
// no file, directory or link, is refused: what it shows would be the host's.
func skillInput(ctx context.Context, home, name string) (backend.Input, error) {
	if err := backend.ValidateName("skill", name); err != nil {
		return backend.Input{}, err
	}
	root, path, err := openSkill(home, name)
	if err != nil {
		return backend.Input{}, err
	}
	defer func() { _ = root.Close() }()
	input := backend.Input{Kind: backend.InputSkill, Name: "skill " + name, From: path, Place: backend.PlaceClaude}
	described := false
	var stream bytes.Buffer
	err = archive.Pack(ctx, &stream, root, archive.PackOptions{
		Prefix: "skills/" + name + "/",
		Visit: func(entry archive.Entry) error {
			described = described || entry.Path == "SKILL.md"
			if entry.Kind() == unix.S_IFREG {
				input.Files++
				input.Bytes += entry.Stat.Size
			}
			if input.Bytes > maxSkillBytes {
				return fmt.Errorf("it is larger than %s: %w", backend.Bytes(maxSkillBytes), errdefs.ErrInvalidArgument)
			}
			return checkSkillEntry(entry)
		},
	})
	if err != nil {
		return backend.Input{}, fmt.Errorf("skill %s: %w", name, err)
	}
	if !described {
		return backend.Input{}, fmt.Errorf("skill %s: %s holds no SKILL.md: %w", name, path, errdefs.ErrInvalidArgument)
	}
	return backend.NewInput(input, stream.Bytes()), nil
}

func openSkill(home, name string) (*os.File, string, error) {
	var tried []string
	for _, below := range skillRoots {
		path := filepath.Join(home, below, name)
		tried = append(tried, path)
		root, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
			return nil, "", fmt.Errorf("skill %s: %s is not a directory but a link or a file: copy the skill there: %w", name, path, errdefs.ErrInvalidArgument)
		case err != nil:
			return nil, "", fmt.Errorf("skill %s: %w", name, err)
		}
		return root, path, nil
	}
	return nil, "", fmt.Errorf("skill %s: not found, looked for %s: put it there or take it out of the agent file: %w",
		name, strings.Join(tried, " and "), errdefs.ErrNotFound)
}

func checkSkillEntry(entry archive.Entry) error {
	switch entry.Kind() {
	case unix.S_IFREG, unix.S_IFDIR:
		return nil
	case unix.S_IFLNK:
		return fmt.Errorf("%s is a link: put the file itself there: %w", entry.Path, errdefs.ErrInvalidArgument)
	default:
		return fmt.Errorf("%s is a socket, device or FIFO: %w", entry.Path, errdefs.ErrInvalidArgument)
	}
}
