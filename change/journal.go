package change

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// journal is what an apply is about to do. It lies in the bottle's state directory:
// what lies in the destination could be anybody's word. Paths are bytes, for not
// every one is UTF-8.
type journal struct {
	Into    []byte
	Device  uint64
	Inode   uint64
	Staging string
	Steps   []journalStep
	// Directories are to be made, the nearest first.
	Directories [][]byte
	// Done says that everything is in place.
	Done bool
}

type journalStep struct {
	Path   []byte
	Number int
	Remove bool
	Old    *identity // of the file that was there
	New    *identity
}

// is says that it is still the same file. Who owns it and what links there are
// does not count.
func (i *identity) is(stat unix.Stat_t) bool {
	return i.Inode == stat.Ino && i.Mode == stat.Mode && i.Size == stat.Size && i.Seconds == stat.Mtim.Sec && i.Nanos == stat.Mtim.Nsec
}

// write writes the journal whole or not at all, and onto the disk.
func (a *area) write(j *journal) error {
	return ledger.WriteFile(a.path(backend.ApplyJournal), func(w io.Writer) error { return json.NewEncoder(w).Encode(j) })
}

// forget removes the journal.
func (a *area) forget() error {
	if err := os.Remove(a.path(backend.ApplyJournal)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove journal: %w", err)
	}
	return nil
}

// recover finishes an apply that was cut, or rolls it back, and says what it did.
func (a *area) recover() (note string, err error) {
	data, err := os.ReadFile(a.path(backend.ApplyJournal))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	var j journal
	if err == nil {
		err = json.Unmarshal(data, &j)
	}
	if err != nil {
		return "", fmt.Errorf("read journal of an apply that was cut: %w", err)
	}
	into := backend.Printable(string(j.Into))
	gone := func(err error) error {
		return fmt.Errorf("an apply to %s was cut, and that directory can't be found again: bring it back, or remove %s: %w (%w)", into, a.path(backend.ApplyJournal), errdefs.ErrFailedPrecondition, err)
	}
	dest, err := openTree(string(j.Into))
	if err != nil {
		return "", gone(err)
	}
	defer dest.close()
	x := &exchange{dest: dest, journal: &j}
	if err := unix.Fstat(int(dest.dir.Fd()), &x.owner); err != nil || x.owner.Dev != j.Device || x.owner.Ino != j.Inode {
		return "", gone(errors.Join(err, errors.New("it is another one")))
	}
	if x.staging, err = openat(dest.dir, j.Staging, unix.O_RDONLY|unix.O_DIRECTORY); errors.Is(err, unix.ENOENT) {
		return "", a.forget() // it had not begun, or had ended
	} else if err != nil {
		return "", fmt.Errorf("open what an apply to %s left: %w", into, err)
	}
	defer x.close()
	var stat unix.Stat_t
	if err := unix.Fstat(int(x.staging.Fd()), &stat); err != nil || int(stat.Uid) != os.Geteuid() {
		return "", fmt.Errorf("%s in %s is not what an apply has made: remove it: %w", j.Staging, into, errors.Join(errdefs.ErrFailedPrecondition, err))
	}
	note = "an earlier apply to " + into + " was cut: it is undone"
	if j.Done {
		note, err = "an earlier apply to "+into+" was cut at its very end: it is finished", x.finish()
	} else if left := x.rollBack(); len(left) > 0 {
		err = fmt.Errorf("an earlier apply to %s was cut; %v can't be put back and lie in %s: move them away by hand: %w", into, left, j.Staging, errdefs.ErrFailedPrecondition)
	} else {
		err = x.clear()
	}
	if err != nil {
		return "", err
	}
	return note, a.forget()
}

// flock takes a lock without waiting.
func flock(file *os.File) error { return unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) }
