package backend

import (
	"io"
	"strings"
)

// Ending passes on what a program says, and remembers the end of it: why it failed mostly
// stands there. It is foreign text.
type Ending struct {
	to   io.Writer
	tail []byte
}

// NewEnding returns one that passes on to a writer.
func NewEnding(to io.Writer) *Ending { return &Ending{to: to} }

// Write implements io.Writer. It never fails: what can't be shown stops no program.
func (e *Ending) Write(data []byte) (int, error) {
	const most = 4 << 10
	e.tail = append(e.tail, data[max(0, len(data)-most):]...)
	e.tail = e.tail[max(0, len(e.tail)-most):]
	_, _ = e.to.Write(data)
	return len(data), nil
}

// LastLine is the last line that was said, "" for none.
func (e *Ending) LastLine() string {
	text := strings.TrimSpace(string(e.tail))
	return strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
}
