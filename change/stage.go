package change

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"golang.org/x/sys/unix"
)

// stage writes all new files aside, on the file system that they will lie in, and
// notes in the journal what is going to happen. Nothing else is changed.
func (x *exchange) stage(ctx context.Context, steps []*Step) (err error) {
	top := int(x.dest.dir.Fd())
	if err := unix.Mkdirat(top, x.journal.Staging, 0o700); err != nil {
		return fmt.Errorf("make %s in the destination: %w", x.journal.Staging, err)
	}
	if x.staging, err = openat(x.dest.dir, x.journal.Staging, unix.O_RDONLY|unix.O_DIRECTORY); err != nil {
		return fmt.Errorf("open %s: %w", x.journal.Staging, err)
	}
	var list strings.Builder
	list.WriteString("The originals of files that an apply was about to replace:\n")
	for _, step := range steps {
		entry := journalStep{Path: []byte(step.Path), Number: step.number, Old: step.old, Remove: step.Action == Remove}
		if !entry.Remove {
			if entry.New, err = x.stageOne(ctx, step); err != nil {
				return fmt.Errorf("write %s: %w", backend.Printable(step.Path), err)
			}
		}
		x.journal.Steps = append(x.journal.Steps, entry)
		if step.old != nil {
			fmt.Fprintf(&list, "%s %s\n", oldName(step.number), Quote(step.Path))
		}
	}
	if err := x.stageList(list.String()); err != nil {
		return err
	}
	if err := x.planDirectories(); err != nil {
		return err
	}
	// One call for all: the error of any of them comes up here.
	if err := unix.Syncfs(int(x.staging.Fd())); err != nil {
		return fmt.Errorf("write the new files to disk: %w", err)
	}
	return nil
}

// stageList says for people what the numbers mean.
func (x *exchange) stageList(text string) error {
	file, err := createAt(x.staging, "list", 0o600)
	if err != nil {
		return fmt.Errorf("write list: %w", err)
	}
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write list: %w", err)
	}
	return nil
}

func createAt(dir *os.File, name string, mode uint32) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// stageOne writes the new file of one step.
func (x *exchange) stageOne(ctx context.Context, step *Step) (_ *identity, err error) {
	uid, gid := x.owner.Uid, x.owner.Gid
	if step.old != nil {
		uid, gid = step.old.UID, step.old.GID
	}
	name := newName(step.number)
	if step.Mode == gitLink {
		target, err := os.Readlink(step.content)
		if err != nil {
			return nil, err
		}
		if err := unix.Symlinkat(target, int(x.staging.Fd()), name); err != nil {
			return nil, err
		}
		if err := owned(uid, unix.Fchownat(int(x.staging.Fd()), name, int(uid), int(gid), unix.AT_SYMLINK_NOFOLLOW)); err != nil {
			return nil, err
		}
	} else if err := x.stageFile(ctx, step, name, int(uid), int(gid)); err != nil {
		return nil, err
	}
	stat, err := lstatAt(x.staging, name)
	if err != nil {
		return nil, err
	}
	return identityOf(stat), nil
}

// owned is how it went with giving a file to its owner. Who is not root can't always give
// it a group: then it has the one that any new file of this user's gets there.
func owned(uid uint32, err error) error {
	if errors.Is(err, unix.EPERM) && os.Geteuid() != 0 && int(uid) == os.Geteuid() {
		return nil
	}
	return err
}

func (x *exchange) stageFile(ctx context.Context, step *Step, name string, uid, gid int) (err error) {
	var from *os.File
	if step.content == "" {
		from, err = x.dest.open(step.Path)
	} else {
		from, err = openSide(step.content)
	}
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	to, err := createAt(x.staging, name, 0o600)
	if err != nil {
		return err
	}
	err = copyContent(ctx, from, to)
	if err == nil {
		err = owned(uint32(uid), to.Chown(uid, gid)) //nolint:gosec // it was one
	}
	if err == nil {
		err = to.Chmod(newMode(step))
	}
	return errors.Join(err, to.Close())
}

// newMode is the mode of the new file: that of the one in its place but for the
// right to execute it, without what gives another one's rights.
func newMode(step *Step) os.FileMode {
	mode := os.FileMode(0o644)
	if step.old != nil && modeOf(step.old.Mode) != gitLink {
		mode = os.FileMode(step.old.Mode & 0o777)
	}
	switch {
	case step.executable == (mode&0o100 != 0):
		return mode
	case step.executable:
		return mode | mode&0o444>>2
	default:
		return mode &^ 0o111
	}
}

// planDirectories notes which directories are to be made.
func (x *exchange) planDirectories() error {
	known := map[string]bool{}
	for _, step := range x.journal.Steps {
		if step.Remove {
			continue
		}
		for _, dir := range above(string(step.Path)) {
			if known[dir] {
				break
			}
			known[dir] = true
			stat, err := x.dest.lstat(dir)
			switch {
			case missing(err), err == nil && stat.Mode&unix.S_IFMT != unix.S_IFDIR:
				x.journal.Directories = append(x.journal.Directories, []byte(dir))
			case err != nil:
				return fmt.Errorf("look at %s: %w", backend.Printable(dir), err)
			}
		}
	}
	return nil
}
