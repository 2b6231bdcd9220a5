package change

import (
	"archive/tar"
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// teller is the other end of a view.
type teller struct {
	to      io.ReadWriteCloser
	from    *bufio.Reader
	names   map[string]bool
	changed map[string]string // states by path
	equal   []State
	settle  func(context.Context, []State) error
}

// Hear makes a view of what another process tells of the work of a bottle. It owns the
// connection. settle has it noted there what is at home.
func Hear(ctx context.Context, work *backend.Work, conn io.ReadWriteCloser, settle func(context.Context, []State) error) (_ *View, err error) {
	t := &teller{to: conn, from: bufio.NewReaderSize(conn, 64<<10), names: map[string]bool{}, changed: map[string]string{}, settle: settle}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer func() {
		if err != nil {
			_ = conn.Close()
		}
	}()
	var said toldView
	line, err := t.from.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &said)
	}
	if err != nil {
		return nil, t.broken(ctx, err)
	}
	t.equal = said.Equal
	for _, name := range said.Names {
		t.names[string(name)] = true
	}
	v := &View{work: work, told: t, Notes: said.Notes, closer: []func(){t.close}}
	index := map[string]content{}
	for at, one := range said.Changes {
		change := one.Change
		change.Path, change.before, change.after, change.at = string(one.Name), one.Before, one.After, at
		if kept := one.Kept; kept != nil {
			index[change.Path] = content{kind: kept.Kind, mode: kept.Mode, size: kept.Size, reference: string(kept.Reference)}
		}
		t.changed[change.Path] = one.State
		v.changes = append(v.changes, &change)
	}
	v.after, v.before = toldSource{told: t}, toldSource{told: t, before: true, base: &base{work: work, index: index}}
	return v, nil
}

func (t *teller) close() { _ = t.to.Close() }

// hangUp lets the other process go: nothing more is asked.
func (v *View) hangUp() {
	if v.told != nil {
		v.told.close()
	}
}

// broken is why the other process can't be understood.
func (t *teller) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("read what has changed from the controller: %w: %w", err, errdefs.ErrUnavailable)
}

// states are those of the covered changes, and of all that is equal.
func (t *teller) states(covered map[string]bool) []State {
	states := t.equal
	for path := range covered {
		if state, ok := t.changed[path]; ok {
			states = append(states, State{[]byte(path), state})
		}
	}
	return states
}

// toldSource has contents told, but for those that went in from the user's own repository:
// they are read here, with the rights of the user.
type toldSource struct {
	told   *teller
	before bool
	base   *base // nil for the side that is now
}

// fetch implements source.
func (s toldSource) fetch(ctx context.Context, changes []*Change, numbers []int, to *side, absent func(int, string)) error {
	var blobs []int
	ask := wanted{Before: s.before}
	places := map[int]int{}
	for _, number := range numbers {
		change := changes[number]
		var kept content
		if s.base != nil {
			kept = s.base.index[change.Path]
		}
		switch {
		case kept.kind == keptLink:
			if err := os.Symlink(kept.reference, to.path(number)); err != nil {
				return fmt.Errorf("read what went in: %w", err)
			}
		case kept.kind == keptBlob && !to.fits(kept.size):
			absent(number, noteLarge)
		case kept.kind == keptBlob:
			blobs = append(blobs, number)
		default:
			places[change.at] = number
			ask.At = append(ask.At, change.at)
		}
	}
	if len(blobs) > 0 {
		if err := s.base.fetchBlobs(ctx, changes, blobs, to, absent); err != nil {
			return err
		}
	}
	if len(ask.At) == 0 {
		return nil
	}
	ask.Largest, ask.Left = to.largest, to.left
	stop := context.AfterFunc(ctx, s.told.close)
	defer stop()
	if err := json.NewEncoder(s.told.to).Encode(ask); err != nil {
		return s.told.broken(ctx, err)
	}
	if err := s.take(changes, places, to, absent); err != nil {
		return s.told.broken(ctx, err)
	}
	return nil
}

// take reads the contents that were asked for.
func (s toldSource) take(changes []*Change, places map[int]int, to *side, absent func(int, string)) error {
	archive := tar.NewReader(s.told.from)
	came := map[int]bool{}
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		name, gone := strings.CutPrefix(header.Name, absentPrefix)
		at, err := strconv.Atoi(name)
		number, ok := places[at]
		if err != nil || !ok || came[at] && !gone {
			return fmt.Errorf("%+q was not asked for", header.Name)
		}
		came[at] = true
		switch {
		case gone:
			note, err := io.ReadAll(io.LimitReader(archive, 256))
			if err != nil {
				return err
			}
			_ = os.Remove(to.path(number)) // it has come in part
			absent(number, string(note))
		case header.Typeflag == tar.TypeSymlink:
			err = os.Symlink(header.Linkname, to.path(number))
		case header.Typeflag == tar.TypeReg:
			to.left -= header.Size
			err = s.write(archive, to.path(number), changes[number])
		default:
			err = fmt.Errorf("%+q is no file", header.Name)
		}
		if err != nil {
			return err
		}
	}
	if len(came) != len(places) {
		return io.ErrUnexpectedEOF
	}
	return nil
}

func (s toldSource) write(from io.Reader, to string, change *Change) (err error) {
	mode := os.FileMode(0o644)
	if change.modeOf(s.before) == gitExecutable {
		mode = 0o755
	}
	file, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, from)
	return errors.Join(err, file.Close())
}
