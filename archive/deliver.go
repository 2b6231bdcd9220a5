package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Delivery says where Deliver puts what one stream holds.
type Delivery struct {
	// Files are where To is looked up.
	Files Files
	// To is a directory to put it into, or the name that it gets; with a slash at
	// its end it is a directory.
	To string
	// Name is what it is called in a directory. With "" what it holds is put
	// there: its entries, one by one.
	Name string
	// Options are for its extraction. Whoever owns the directory owns what is put
	// there, when we are root; else we do.
	Options Options
	// Flush has it on the disk before it is put in place.
	Flush bool
}

// Deliver makes files of a stream that holds one file or one directory, as cp
// would, but whole or not at all. In a directory that is there already, files of
// the same name are replaced and directories are merged; a directory never takes
// the place of anything else, nor the other way round. Links at the destination are
// replaced, not followed, but for one that To is itself. An error leaves all as it
// was; a crash may leave a directory called .claude-bottle-* with what was replaced.
func Deliver(ctx context.Context, r io.Reader, to Delivery) (_ Summary, err error) {
	at, err := to.open()
	if err != nil {
		return Summary{}, err
	}
	defer func() { _ = at.dir.Close() }()
	if to.Options, err = ownedAs(at.dir, to.Options); err != nil {
		return Summary{}, err
	}
	waiting, err := newStage(at.dir)
	if err != nil {
		return Summary{}, KindOf(err)
	}
	m := &merger{staged: waiting.tree, dir: at.dir}
	defer func() {
		if m.stuck {
			return // what was replaced is in there
		}
		if removeErr := waiting.remove(); err == nil {
			err = removeErr
		}
	}()
	e := newExtractor(waiting.tree, to.Options)
	defer e.closeStack()
	e.single = true
	if err := e.run(ctx, r); err != nil {
		return e.summary, fmt.Errorf("%s: %w", at.dir.Name(), KindOf(err))
	}
	what, err := waiting.result(e)
	if err == nil && to.Flush {
		err = unix.Syncfs(int(waiting.tree.Fd()))
	}
	if err != nil {
		return e.summary, fmt.Errorf("%s: %w", at.dir.Name(), err)
	}
	err = m.deliver(ctx, what, at)
	if err == nil && to.Flush {
		err = at.dir.Sync()
	}
	if err != nil {
		return e.summary, errors.Join(err, m.undo())
	}
	return e.summary, nil
}

// destination is an open directory and what is put into it: under a name, or with
// "" what it holds.
type destination struct {
	dir  *os.File
	name string
	// mustBeDirectory says that the user has asked for one.
	mustBeDirectory bool
}

func (d Delivery) open() (destination, error) {
	info, err := d.Files.Stat(d.To)
	slash := strings.HasSuffix(d.To, "/")
	directory, found := d.To, destination{name: d.Name, mustBeDirectory: d.Name == ""}
	switch {
	case err == nil && info.IsDir():
	case err == nil && slash:
		return destination{}, fmt.Errorf("%s is no directory: %w", d.To, errdefs.ErrFailedPrecondition)
	case err == nil, errors.Is(err, fs.ErrNotExist):
		clean := path.Clean(d.To)
		directory, found.name = path.Dir(clean), path.Base(clean)
		found.mustBeDirectory = found.mustBeDirectory || slash
	default:
		return destination{}, KindOf(err)
	}
	found.dir, err = d.Files.OpenFile(directory, os.O_RDONLY|unix.O_DIRECTORY, 0)
	return found, KindOf(err)
}

// ownedAs has the directory's owner own what is put into it.
func ownedAs(dir *os.File, options Options) (Options, error) {
	options.UID, options.GID = os.Geteuid(), os.Getegid()
	if options.UID != 0 {
		return options, nil
	}
	var stat unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &stat); err != nil {
		return options, fmt.Errorf("look at %s: %w", dir.Name(), err)
	}
	options.UID, options.GID = int(stat.Uid), int(stat.Gid)
	return options, nil
}
