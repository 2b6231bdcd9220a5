package debian

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/errdefs"
)

// maxLine bounds a line of Debian's control files, in bytes.
const maxLine = 1 << 20

// stanza is one paragraph of a control file: fields and what they hold, lines that go
// on with their line breaks.
type stanza map[string]string

// stanzas reads paragraph after paragraph.
func stanzas(from io.Reader, visit func(stanza) error) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	found, last := stanza{}, ""
	flush := func() error {
		if len(found) == 0 {
			return nil
		}
		err := visit(found)
		found, last = stanza{}, ""
		return err
	}
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.TrimSpace(line) == "":
			if err := flush(); err != nil {
				return err
			}
		case strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"):
			if last != "" {
				found[last] += "\n" + line
			}
		default:
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				return fmt.Errorf("line %q has no field: %w", line[:min(len(line), 80)], errdefs.ErrInvalidArgument)
			}
			last = name
			found[name] = strings.TrimSpace(value)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return flush()
}

// oneStanza reads the only paragraph there is.
func oneStanza(from io.Reader) (stanza, error) {
	var only stanza
	err := stanzas(from, func(found stanza) error {
		if only != nil {
			return fmt.Errorf("it has two paragraphs: %w", errdefs.ErrInvalidArgument)
		}
		only = found
		return nil
	})
	if err == nil && only == nil {
		err = errors.New("it is empty")
	}
	return only, err
}
