package change

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// rename passes a patch on with the changes' own names in the place of their
// numbers. Names stand in the lines between "diff --git" and the first hunk alone,
// and no line of a hunk begins as these do.
func rename(w io.Writer, r io.Reader, changes []*Change) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	p := &patchNames{changes: changes}
	for begins := true; ; {
		// A long line comes in pieces; only its first can be a heading.
		piece, err := lines.ReadSlice('\n')
		if len(piece) > 0 {
			text := piece
			if begins {
				var nameErr error
				if text, nameErr = p.line(piece); nameErr != nil {
					return nameErr
				}
			}
			if _, err := w.Write(text); err != nil {
				return err
			}
			begins = piece[len(piece)-1] == '\n'
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}

type patchNames struct {
	changes []*Change
	change  *Change
	heading bool
}

// line returns the line as it goes on.
func (p *patchNames) line(piece []byte) ([]byte, error) {
	text := strings.TrimSuffix(string(piece[:min(len(piece), 256)]), "\n")
	switch {
	case strings.HasPrefix(text, "diff --git "):
		number, ok := numberOf(text, len(p.changes))
		if !ok {
			return nil, fmt.Errorf("git prints a heading that is none: %+q", text)
		}
		p.change, p.heading = p.changes[number], true
		return []byte("diff --git " + Quote("a/"+p.change.Path) + " " + Quote("b/"+p.change.Path) + "\n"), nil
	case strings.HasPrefix(text, "@@"):
		p.heading = false
	case p.heading && (strings.HasPrefix(text, "--- ") || strings.HasPrefix(text, "+++ ")):
		name, tab := strings.CutSuffix(text[4:], "\t")
		name = p.side(name)
		if tab || strings.Contains(name, " ") && name[0] != '"' { // as git ends a name that holds a space
			name += "\t"
		}
		return []byte(text[:4] + name + "\n"), nil
	case p.heading && strings.HasPrefix(text, "Binary files "):
		one, two, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(text, "Binary files "), " differ"), " and ")
		return []byte("Binary files " + p.side(one) + " and " + p.side(two) + " differ\n"), nil
	}
	return piece, nil
}

// side is the name of one side of the change at hand.
func (p *patchNames) side(name string) string {
	if name == "/dev/null" {
		return name
	}
	return Quote(name[:1] + "/" + p.change.Path)
}
