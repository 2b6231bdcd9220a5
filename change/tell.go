package change

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"

	"github.com/claude-bottle/claude-bottle/backend"
)

// toldView is a View as one process tells it to another.
type toldView struct {
	Changes []toldChange `json:"changes"`
	// Equal are paths whose state differs and whose content does not.
	Equal []State `json:"equal,omitempty"`
	// Names are files by which git takes a directory for a repository.
	Names [][]byte `json:"names,omitempty"`
	Notes []string `json:"notes,omitempty"`
}

type toldChange struct {
	Change

	Name   []byte    `json:"name"` // its path
	State  string    `json:"state"`
	Before bool      `json:"before,omitempty"`
	After  bool      `json:"after,omitempty"`
	Kept   *toldKept `json:"kept,omitempty"` // nil where what went in is not what it is compared with
}

// toldKept is content.
type toldKept struct {
	Kind      string `json:"kind"`
	Mode      uint32 `json:"mode"`
	Size      int64  `json:"size"`
	Reference []byte `json:"reference"`
}

// wanted asks for contents of one side of some changes. They come as a tar archive.
type wanted struct {
	Before bool  `json:"before,omitempty"`
	At     []int `json:"at"`
	// Largest and Left bound them, in bytes; 0 is no bound but the teller's.
	Largest int64 `json:"largest,omitempty"`
	Left    int64 `json:"left,omitempty"`
}

// Bounds of what is told, in bytes: of the questions, and of one content.
const (
	maxQuestions = 64 << 20
	maxTold      = 32 << 30
)

// absentPrefix begins the name of an entry that says why a content does not come.
const absentPrefix = "absent/"

// Tell tells a view to a process that can't read the bottle's files, and then the contents
// that it asks for, until it asks no more. Whoever asks is not trusted: it gets what the
// view holds, and nothing by a name of its own.
func (v *View) Tell(ctx context.Context, to io.ReadWriter) error {
	if err := json.NewEncoder(to).Encode(v.tell()); err != nil {
		return fmt.Errorf("tell what has changed: %w", err)
	}
	questions := json.NewDecoder(io.LimitReader(to, maxQuestions))
	for {
		var asked wanted
		if err := questions.Decode(&asked); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read question: %w", err)
		}
		room := &side{largest: asked.Largest, left: asked.Left}
		out := tar.NewWriter(to)
		for _, at := range asked.At {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if at < 0 || at >= len(v.changes) {
				return fmt.Errorf("there is no change %d", at)
			}
			if err := v.give(ctx, out, asked.Before, at, room); err != nil {
				return fmt.Errorf("tell %s: %w", backend.Printable(v.changes[at].Path), err)
			}
		}
		if err := out.Close(); err != nil {
			return fmt.Errorf("tell contents: %w", err)
		}
	}
}

func (v *View) tell() toldView {
	said := toldView{Changes: []toldChange{}, Notes: v.Notes}
	kept, _ := v.before.(*base)
	looked := map[string]bool{}
	for _, change := range v.changes {
		one := toldChange{Change: *change, Name: []byte(change.Path), State: v.mark[change.Path], Before: change.before, After: change.after}
		if kept != nil && change.before {
			of := kept.index[change.Path]
			one.Kept = &toldKept{of.kind, of.mode, of.size, []byte(of.reference)}
		}
		said.Changes = append(said.Changes, one)
		for _, dir := range append(above(change.Path), ".") {
			for _, name := range []string{"HEAD", "objects", "refs", "commondir"} {
				below := path.Join(dir, name)
				if !looked[below] && v.has(below) {
					said.Names = append(said.Names, []byte(below))
				}
				looked[below] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v.equal)) {
		said.Equal = append(said.Equal, State{[]byte(name), v.mark[name]})
	}
	return said
}

// give writes one content.
func (v *View) give(ctx context.Context, out *tar.Writer, before bool, at int, room *side) error {
	change := v.changes[at]
	from, there := v.after, change.after
	if before {
		from, there = v.before, change.before
	}
	var (
		file *os.File
		link string
		err  = errReplaced
	)
	switch from := from.(type) {
	case treeSource:
		if there {
			file, link, err = from.open(change.Path, change.modeOf(from.old))
		}
	case *base:
		if kept := from.index[change.Path]; there && kept.kind == keptFile {
			file, err = os.Open(from.file(kept))
		}
	}
	switch {
	case missing(err) || errors.Is(err, errReplaced):
		return absentEntry(out, at, noteReplaced)
	case err != nil:
		return err
	case file == nil:
		return out.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: strconv.Itoa(at), Linkname: link, Format: tar.FormatPAX})
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Size() > maxTold || !room.fits(info.Size()) {
		return absentEntry(out, at, noteLarge)
	}
	if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: strconv.Itoa(at), Size: info.Size(), Format: tar.FormatPAX}); err != nil {
		return err
	}
	n, err := io.CopyN(out, until(ctx, file), info.Size())
	if !errors.Is(err, io.EOF) {
		return err
	}
	// It has shrunk: what was announced has to come, and doesn't count.
	if _, err := io.CopyN(out, zeros{}, info.Size()-n); err != nil {
		return err
	}
	return absentEntry(out, at, noteReplaced)
}

func absentEntry(out *tar.Writer, at int, note string) error {
	if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: absentPrefix + strconv.Itoa(at), Size: int64(len(note)), Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err := io.WriteString(out, note)
	return err
}

// zeros has no end.
type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
