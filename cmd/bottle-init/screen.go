package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
)

// maxCells bounds either side of the screen: nothing draws on more.
const maxCells = 1000

// screen is what the terminal of a kept session shows, so that it can be drawn for a
// client that comes later. A nil one shows nothing. The caller sees to it that one
// method runs at a time.
type screen struct {
	emulator *vt.Emulator
	modes    map[ansi.Mode]bool
	answered chan struct{} // closed when nobody reads the emulator's answers any more
	broken   bool
}

func newScreen(columns, rows int) *screen {
	columns, rows = bounded(columns, 80), bounded(rows, 24)
	s := &screen{emulator: vt.NewEmulator(columns, rows), modes: map[ansi.Mode]bool{}, answered: make(chan struct{})}
	s.emulator.SetScrollbackSize(1)
	s.emulator.SetCallbacks(vt.Callbacks{
		EnableMode:  func(mode ansi.Mode) { s.modes[mode] = true },
		DisableMode: func(mode ansi.Mode) { delete(s.modes, mode) },
	})
	go func() {
		defer close(s.answered)
		// The terminal that answers questions is the client's.
		_, _ = io.Copy(io.Discard, s.emulator)
	}()
	return s
}

func bounded(cells, fallback int) int {
	if cells <= 0 {
		return fallback
	}
	return min(cells, maxCells)
}

// guard keeps a fault of the emulator, which draws whatever the agent writes, from
// ending more than the picture.
func (s *screen) guard(do func()) {
	if s == nil || s.broken {
		return
	}
	defer func() { s.broken = recover() != nil }()
	do()
}

func (s *screen) write(data []byte) {
	s.guard(func() { _, _ = s.emulator.Write(data) })
}

func (s *screen) resize(columns, rows int) {
	s.guard(func() { s.emulator.Resize(bounded(columns, s.emulator.Width()), bounded(rows, s.emulator.Height())) })
}

// redrawn are the modes that a client's terminal must have for keys and pictures to
// mean the same: application keys and keypad, mouse, focus and paste reports.
var redrawn = []ansi.DECMode{1, 66, 9, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 2004}

// draw returns the bytes that make a terminal show the same.
func (s *screen) draw() []byte {
	var drawn bytes.Buffer
	s.guard(func() {
		alternate := "\x1b[?1049l"
		if s.emulator.IsAltScreen() {
			alternate = "\x1b[?1049h"
		}
		drawn.WriteString(alternate + "\x1b[r\x1b[m\x1b[H\x1b[2J")
		for row, line := range strings.Split(s.emulator.Render(), "\n") {
			if line = strings.TrimRight(line, "\r"); line != "" {
				fmt.Fprintf(&drawn, "\x1b[%d;1H%s\x1b[m", row+1, line)
			}
		}
		for _, mode := range redrawn {
			if s.modes[mode] {
				fmt.Fprintf(&drawn, "\x1b[?%dh", int(mode))
			}
		}
		position := s.emulator.CursorPosition()
		fmt.Fprintf(&drawn, "\x1b[%d;%dH", position.Y+1, position.X+1)
		cursor := "\x1b[?25h"
		if s.emulator.CursorHidden() {
			cursor = "\x1b[?25l"
		}
		drawn.WriteString(cursor)
	})
	return drawn.Bytes()
}

// close ends the emulator.
func (s *screen) close() {
	if s == nil {
		return
	}
	// Its own Close may not come while somebody reads.
	if answers, ok := s.emulator.InputPipe().(io.Closer); ok {
		_ = answers.Close()
		<-s.answered
	}
	_ = s.emulator.Close()
}
