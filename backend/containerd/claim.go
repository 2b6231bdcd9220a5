package containerd

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// Every bottle gets a range of host ids of its own, far above the users of the
// host: slot n has uidCount ids from uidFirst+n*uidCount on.
const (
	uidFirst    = 1 << 29
	uidCount    = 1 << 16
	slotCount   = 1 << 13
	bottleUID   = 1000 // of the agent, within its range
	suffixBase  = 36
	suffixWidth = 5
)

// suffixSpan is how many different suffixes there are; the slot is the suffix
// as a number modulo slotCount.
const suffixSpan = suffixBase * suffixBase * suffixBase * suffixBase * suffixBase

// hostID is the first host id of the bottle's range.
func hostID(id backend.ID) (uint32, error) {
	number, err := strconv.ParseUint(id.Suffix, suffixBase, 32)
	if err != nil || len(id.Suffix) != suffixWidth {
		return 0, fmt.Errorf("bottle id %+q has no such suffix: %w", id.String(), errdefs.ErrInvalidArgument)
	}
	return uidFirst + uint32(number%slotCount)*uidCount, nil
}

// claim is the pair of directories of a new bottle, with its lock held.
type claim struct {
	places
	lock *lock
	// adopted says that the state directory was there before: it is a kept
	// bottle's, and never undone.
	adopted bool
}

// claim picks an unused id for name and makes its directories. The short lock
// keeps two starts from taking the same range of ids, and a cleanup from taking
// a half-made claim for a dead one.
func (l layout) claim(name string) (_ *claim, err error) {
	guard, err := acquire(l.claimLock(), true)
	if err != nil {
		return nil, fmt.Errorf("claim bottle: %w", err)
	}
	defer guard.release()
	used, err := l.slots()
	if err != nil {
		return nil, err
	}
	id, err := newID(name, used)
	if err != nil {
		return nil, err
	}
	made := &claim{places: l.bottle(id)}
	defer func() {
		if err != nil {
			made.abandon()
		}
	}()
	for _, dir := range []string{made.run, made.state} {
		if err := makeDirectory(dir, wayThrough); err != nil {
			return nil, fmt.Errorf("make bottle directory: %w", err)
		}
	}
	// Whoever only asks has it for a moment; nobody else can want it.
	made.lock, err = acquire(made.places.lock(), true)
	return made, err
}

// claimed says that a living bottle other than this one has its name.
func (l layout) claimed(id backend.ID) (bool, error) {
	ids, err := l.ids()
	if err != nil {
		return false, err
	}
	for _, other := range ids {
		if other.Name != id.Name || other == id {
			continue
		}
		where := l.bottle(other)
		if taken, err := exists(where.taken()); err == nil && taken {
			continue // dead, and being taken down
		}
		// A lock that can't be asked for may be held.
		if alive, err := held(where.lock()); err != nil || alive {
			return true, nil //nolint:nilerr // what may live is let be
		}
	}
	return false, nil
}

// abandon undoes a claim that never got a record. Kept work stays as it is.
func (c *claim) abandon() {
	if c.adopted {
		_ = os.Remove(c.resuming())
	} else {
		_ = os.RemoveAll(c.state)
	}
	_ = os.RemoveAll(c.run)
	c.lock.release()
}

// slots are the id ranges in use, by living bottles and by kept workspaces, also those of
// other namespaces: they may be another user's.
func (l layout) slots() (map[uint32]bool, error) {
	all := []layout{l}
	others, err := filepath.Glob(filepath.Join(filepath.Dir(l.root), "*", "bottles"))
	if err != nil {
		return nil, fmt.Errorf("list bottles: %w", err)
	}
	for _, other := range others {
		key := filepath.Base(filepath.Dir(other))
		all = append(all, layout{root: filepath.Dir(other), runRoot: filepath.Join(filepath.Dir(l.runRoot), key)})
	}
	var ids []backend.ID
	for _, each := range all {
		more, err := each.ids()
		if err != nil {
			return nil, err
		}
		ids = append(ids, more...)
	}
	used := make(map[uint32]bool, len(ids))
	for _, id := range ids {
		first, err := hostID(id)
		if err == nil {
			used[first] = true
		}
	}
	return used, nil
}

// ids lists the bottles that have a directory, living or dead.
func (l layout) ids() ([]backend.ID, error) {
	var ids []backend.ID
	seen := map[string]bool{}
	for _, dir := range []string{l.bottles(), l.runBottles()} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("list bottles: %w", err)
		}
		for _, entry := range entries {
			id, err := backend.ParseID(entry.Name())
			if err != nil || seen[entry.Name()] {
				continue
			}
			if _, err := hostID(id); err != nil {
				continue
			}
			seen[entry.Name()] = true
			ids = append(ids, id)
		}
	}
	return ids, nil
}

func newID(name string, used map[uint32]bool) (backend.ID, error) {
	if len(used) >= slotCount/2 {
		return backend.ID{}, fmt.Errorf("claim bottle: %d bottles and kept workspaces exist already: remove some: %w", len(used), errdefs.ErrResourceExhausted)
	}
	for {
		var random [4]byte
		if _, err := rand.Read(random[:]); err != nil {
			return backend.ID{}, fmt.Errorf("pick bottle id: %w", err)
		}
		suffix := strconv.FormatUint(uint64(binary.LittleEndian.Uint32(random[:])%suffixSpan), suffixBase)
		id := backend.ID{Name: name, Suffix: strings.Repeat("0", suffixWidth-len(suffix)) + suffix}
		first, err := hostID(id)
		if err != nil {
			return backend.ID{}, err
		}
		if !used[first] {
			return id, nil
		}
	}
}
