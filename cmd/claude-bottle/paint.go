package main

import (
	"bytes"
	"io"
	"strings"

	"github.com/claude-bottle/claude-bottle/terminal"
)

// painter shows a patch on a terminal: coloured as git does, with what is no text
// spelled out.
type painter struct {
	out     io.Writer
	plain   *terminal.Plain
	colours bool
	line    []byte
	begun   bool // a part of the line is out
	heading bool
}

func newPainter(out io.Writer, colours bool) *painter {
	return &painter{out: out, plain: terminal.NewPlain(out), colours: colours}
}

// maxLine is how much of a line is held.
const maxLine = 64 << 10

// Write implements io.Writer.
func (p *painter) Write(data []byte) (int, error) {
	written := len(data)
	for len(data) > 0 {
		end := bytes.IndexByte(data, '\n') + 1
		if end == 0 {
			end = len(data)
		}
		p.line = append(p.line, data[:end]...)
		data = data[end:]
		if ended := p.line[len(p.line)-1] == '\n'; ended || len(p.line) >= maxLine {
			if err := p.paint(ended); err != nil {
				return 0, err
			}
		}
	}
	return written, nil
}

func (p *painter) flush() error {
	if len(p.line) == 0 {
		return nil
	}
	return p.paint(true)
}

// paint writes the line that is held.
func (p *painter) paint(ended bool) error {
	var before, after string
	if p.colours && !p.begun {
		before = p.colour()
	}
	if p.colours && ended {
		after = "\x1b[m"
	}
	text, newline := bytes.CutSuffix(p.line, []byte("\n"))
	if _, err := io.WriteString(p.out, before); err != nil {
		return err
	}
	if _, err := p.plain.Write(text); err != nil {
		return err
	}
	if ended {
		if err := p.plain.Flush(); err != nil {
			return err
		}
	}
	if newline {
		after += "\n"
	}
	p.line, p.begun = p.line[:0], !ended
	_, err := io.WriteString(p.out, after)
	return err
}

// colour is that of the line, by how it begins. In a hunk no line begins as a
// heading does.
func (p *painter) colour() string {
	text := string(p.line[:min(len(p.line), 16)])
	switch {
	case strings.HasPrefix(text, "diff --git "):
		p.heading = true
	case strings.HasPrefix(text, "@@"):
		p.heading = false
		return "\x1b[36m"
	}
	switch {
	case p.heading:
		return "\x1b[1m"
	case strings.HasPrefix(text, "+"):
		return "\x1b[32m"
	case strings.HasPrefix(text, "-"):
		return "\x1b[31m"
	default:
		return ""
	}
}
