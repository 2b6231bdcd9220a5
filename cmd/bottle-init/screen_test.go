package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/neck"
)

// drawnAgain is what a terminal shows that was sent what screen draws of another.
func drawnAgain(t testing.TB, columns, rows int, written ...string) (before, after *screen) {
	t.Helper()
	before, after = newScreen(columns, rows), newScreen(columns, rows)
	t.Cleanup(func() { before.close(); after.close() })
	for _, piece := range written {
		before.write([]byte(piece))
	}
	after.write(before.draw())
	return before, after
}

func TestAScreenIsDrawnAsItWas(t *testing.T) {
	for name, written := range map[string][]string{
		"text":             {"one\r\ntwo\r\n\x1b[31mred\x1b[m plain"},
		"scrolled":         {strings.Repeat("line\r\n", 30), "last"},
		"alternate screen": {"shell$ ", "\x1b[?1049h\x1b[2J\x1b[5;7Hin the middle\x1b[?25l"},
		"and back":         {"shell$ ", "\x1b[?1049h\x1b[2Jeditor", "\x1b[?1049l", "ls"},
		"modes":            {"\x1b[?1h\x1b[?1000h\x1b[?1006h\x1b[?2004h\x1b[?1000lkeys"},
		"full lines":       {strings.Repeat("x", 40), "\x1b[10;1H" + strings.Repeat("y", 40)},
		"wide":             {"日本語 ünïcode 🎉\r\nb"},
		"split sequences":  {"a\x1b", "[3", "2mgreen\x1b[", "m\xe6\x97", "\xa5"},
	} {
		before, after := drawnAgain(t, 40, 10, written...)
		if before.broken || after.broken {
			t.Errorf("%s: the emulator broke", name)
			continue
		}
		if before.emulator.Render() != after.emulator.Render() {
			t.Errorf("%s: it was\n%q\nand is\n%q", name, before.emulator.Render(), after.emulator.Render())
		}
		if before.emulator.CursorPosition() != after.emulator.CursorPosition() || before.emulator.CursorHidden() != after.emulator.CursorHidden() || before.emulator.IsAltScreen() != after.emulator.IsAltScreen() {
			t.Errorf("%s: the cursor was at %v, and is at %v", name, before.emulator.CursorPosition(), after.emulator.CursorPosition())
		}
		for _, mode := range redrawn {
			if before.modes[mode] != after.modes[mode] {
				t.Errorf("%s: mode %d was %t", name, mode, before.modes[mode])
			}
		}
	}
}

func TestAClientThatComesLaterSeesTheScreen(t *testing.T) {
	i := newInside(t)
	i.begin("claude", `printf '\033[2J\033[3;4Hhere'; read line; stty size; read more`, true)
	heard, err := i.attach(neck.AttachRequest{Name: "claude", From: -1, Size: neck.Size{Columns: 60, Rows: 20}}, "go\nend\n")
	if err != nil || heard.status.Code != 0 || !heard.positions[0].TTY {
		t.Fatalf("%+v, %v", heard, err)
	}
	if !strings.Contains(heard.out.String(), "20 60") {
		t.Errorf("it heard %q", heard.out.String())
	}
	heard, err = i.attach(neck.AttachRequest{Name: "claude", From: -1}, "")
	if err != nil || !bytes.Contains(heard.out.Bytes(), []byte("\x1b[3;1H   here")) {
		t.Errorf("later it heard %q, %v", heard.out.String(), err)
	}
}

// FuzzScreen wants no sequence to end the process, and every screen to be drawn the
// same by what it draws, but for what the emulator itself can't.
func FuzzScreen(f *testing.F) {
	f.Add([]byte("\x1b[?1049h\x1b[5;5Hx\x1b]8;;http://a\x07link\x1b]8;;\x07"), uint8(40), uint8(10))
	f.Add([]byte("\x1bP+q544e\x1b\\\x1b[999999999;999999999H\x1b[65535L\x1b[65535@"), uint8(1), uint8(1))
	f.Add([]byte("\x1b[3;2r\x1b[?69h\x1b[5;2s\x1b[6n\x1b[c\x1b[>q\x1b#8"), uint8(7), uint8(3))
	f.Fuzz(func(t *testing.T, written []byte, columns, rows uint8) {
		s := newScreen(int(columns), int(rows))
		defer s.close()
		s.write(written)
		s.resize(int(rows), int(columns))
		s.write(written)
		if drawn := s.draw(); len(drawn) > 1<<20 && !s.broken {
			t.Errorf("%d bytes draw %d of a screen of %d by %d", len(drawn), len(written), columns, rows)
		}
	})
}
