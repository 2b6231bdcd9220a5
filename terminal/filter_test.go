package terminal

import (
	"bytes"
	"errors"
	"flag"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// filtered is what comes out when the pieces go in.
func filtered(pieces ...string) string {
	var out bytes.Buffer
	f := NewFilter(&out)
	for _, piece := range pieces {
		_, _ = f.Write([]byte(piece))
	}
	return out.String()
}

// passing are sequences and texts that go through as they are.
func passing() []string {
	return []string{
		"plain text\r\n\tand a tab\b\a", "Grüße, 世界 🧞", "\x1b[1;31mred\x1b[0m", "\x1b[38;2;1;2;3m", "\x1b[4:3m", "\x1b[2J\x1b[H", "\x1b[10;20H",
		"\x1b[K", "\x1b[?25l\x1b[?25h", "\x1b[?1049h\x1b[?1049l", "\x1b[?1000;1006h", "\x1b[?2004h", "\x1b[?2026h\x1b[?2026l", "\x1b7\x1b8",
		"\x1b[6n", "\x1b[5n", "\x1b[c", "\x1b[0c", "\x1b[>0q", "\x1b[?u", "\x1b[>1u\x1b[<u", "\x1b[>4;2m", "\x1b[?2026$p",
		"\x1b[ q", "\x1b[2 q", "\x1b[!p", "\x1b(0\x1b(B", "\x1b=\x1b>", "\x1bM", "\x1b[3b", "\x1b[1;20r", "\x1b[4h\x1b[4l",
		"\x1b]8;;https://example.com/a?b=c\x1b\\link\x1b]8;;\x1b\\", "\x1b]8;id=1;http://example.com\alink\x1b]8;;\a",
	}
}

func TestWhatDrawsGoesThrough(t *testing.T) {
	for _, text := range passing() {
		if got := filtered(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestT22_WhatDoesMoreThanDrawIsDropped(t *testing.T) {
	for name, sequence := range map[string]string{
		"clipboard":              "\x1b]52;c;ZXZpbA==\a",
		"clipboard, read":        "\x1b]52;c;?\x1b\\",
		"title":                  "\x1b]0;evil\a",
		"title, other end":       "\x1b]2;evil\x1b\\",
		"title report":           "\x1b[21t",
		"window operation":       "\x1b[8;50;200t",
		"directory":              "\x1b]7;file:///etc\a",
		"notification":           "\x1b]9;evil\a",
		"notification, rxvt":     "\x1b]777;notify;evil;x\a",
		"iTerm file":             "\x1b]1337;File=inline=1:AAAA\a",
		"colour report":          "\x1b]11;?\a",
		"palette":                "\x1b]4;1;red\a",
		"kitty graphics, a file": "\x1b_Gt=f,f=100;L2V0Yy9wYXNzd2Q=\x1b\\",
		"sixel":                  "\x1bPq#0;2;0;0;0\x1b\\",
		"user keys":              "\x1bP0;1|17/6c73\x1b\\",
		"settings report":        "\x1bP$qm\x1b\\",
		"termcap report":         "\x1bP+q544e\x1b\\",
		"privacy message":        "\x1b^evil\x1b\\",
		"start of string":        "\x1bXevil\x1b\\",
		"tmux passthrough":       "\x1bPtmux;\x1b\x1b]52;c;ZXZpbA==\a\x1b\\",
		"full reset":             "\x1bc",
		"identify":               "\x1bZ",
		"media copy":             "\x1b[5i",
		"checksum report":        "\x1b[1;1;1;1;1;1*y",
		"presentation report":    "\x1b[1$w",
		"terminal parameters":    "\x1b[x",
		"other status":           "\x1b[15n",
		"132 columns":            "\x1b[?3h",
		"mode among bad ones":    "\x1b[?25;3h",
		"unknown mode":           "\x1b[?9999h",
		"echo off":               "\x1b[12h",
		"keyboard locked":        "\x1b[2h",
		"other charset":          "\x1b(K",
		"link to a file":         "\x1b]8;;file:///etc/passwd\a",
		"link to a program":      "\x1b]8;;vscode://x\a",
		"link with a control":    "\x1b]8;;https://a\x01b\a",
		"answerback":             "\x05",
		"shift out":              "\x0e",
		"nul":                    "\x00",
		"delete":                 "\x7f",
	} {
		if got := filtered("<" + sequence + ">"); got != "<>" {
			t.Errorf("%s: %q came out as %q", name, sequence, got)
		}
	}
}

func TestBrokenSequencesEndWhereATerminalEndsThem(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"\x1b[31\x1b[32mgreen", "\x1b[32mgreen"},
		{"\x1b]0;title\x1b[32mgreen", "\x1b[32mgreen"},
		{"\x1bPdevice\x1b[32mgreen", "\x1b[32mgreen"},
		{"\x1b]0;title\x18text", "text"},
		{"\x1b[31\x1atext", "text"},
		{"\x1b]0;" + strings.Repeat("x", 10_000) + "\atext", "text"},
		{"\x1b]8;;https://" + strings.Repeat("x", 10_000) + "\x1b\\text", "text"},
		{"\xc3(", "\ufffd("},
		{"\xff\xfe", "\ufffd\ufffd"},
		{"\xe2\x82\x1b[m", "\ufffd\x1b[m"},
		{"a\xc2\x9bb", "ab"},
	} {
		if got := filtered(test.in); got != test.want {
			t.Errorf("%q became %q, want %q", test.in, got, test.want)
		}
	}
}

func TestPiecesMakeNoDifference(t *testing.T) {
	text := strings.Join(passing(), "") + "\x1b]52;c;ZXZpbA==\a\x1bPq#0\x1b\\end"
	whole := filtered(text)
	for i := range text {
		if got := filtered(text[:i], text[i:]); got != whole {
			t.Fatalf("cut at %d it became %q", i, got)
		}
	}
	if got := filtered(strings.Split(text, "")...); got != whole {
		t.Errorf("character by character it became %q", got)
	}
}

// harmless is the whole language that may come out, written apart from the
// filter.
var harmless = regexp.MustCompile(`^(?:[\x20-\x7e\n\r\t\x08\x07]|[^\x00-\x{9f}]` +
	`|\x1b[78=>DEHM]|\x1b[()][B0]` +
	"|\x1b\\[[0-9;:]*[@A-LMPSTXZ`abdefgmrsu]" +
	`|\x1b\[0?c|\x1b\[[56]n|\x1b\[4[hl]|\x1b\[[0-9;:]* q|\x1b\[[0-9;:]*!p` +
	`|\x1b\[\?[0-9;]*[hl]|\x1b\[\?[0-9;:]*[JK]|\x1b\[\?[0-9;:]*\$p|\x1b\[\?[0-9;:]*u|\x1b\[>0?q|\x1b\[[<>=][0-9;:]*u|\x1b\[>4[0-9;:]*m` +
	`|\x1b\]8;[\x21-\x7e]*;(?:https?://[\x21-\x7e]*)?(?:\x07|\x1b\\))*$`)

var fuzzed = flag.Int("sequences", 1_000_000, "how many random sequences go through the filter")

func TestT22_AMillionRandomSequencesComeOutHarmless(t *testing.T) {
	fragments := []string{
		"\x1b", "\x1b[", "\x1b]", "\x1bP", "\x1b_", "\x1b^", "\x1bX", "\x1b\\", "\a", "\x9b", "\x9d", "\x90", "\x9c", "\u009b", "\u009d", "?", ">", "<", "=", "!", " ", "$",
		"0;", "1", "4", "8;;", "8;;https://a", "52;c;", "25", "1049", "2004", "h", "l", "m", "t", "n", "c", "u", "q", "p", "r", "i", "text", "\n", "\x18", "\x1a", "\x00", "\xe2", "\x82", "é",
	}
	const perStream = 1000
	for seed := range uint64(*fuzzed / perStream) {
		random := rand.New(rand.NewPCG(seed, 22))
		var out bytes.Buffer
		f := NewFilter(&out)
		for range perStream {
			fragment := fragments[random.IntN(len(fragments))]
			if random.IntN(20) == 0 {
				fragment = string([]byte{byte(random.Uint32())})
			}
			_, _ = f.Write([]byte(fragment))
		}
		if !harmless.Match(out.Bytes()) {
			t.Fatalf("seed %d: not harmless: %q", seed, out.Bytes())
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, text := range passing() {
		f.Add([]byte(text), 1)
	}
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		var out bytes.Buffer
		filter := NewFilter(&out)
		at := min(max(cut, 0), len(data))
		for _, piece := range [][]byte{data[:at], data[at:]} {
			if n, err := filter.Write(piece); n != len(piece) || err != nil {
				t.Fatalf("Write = %d, %v", n, err)
			}
		}
		if !utf8.Valid(out.Bytes()) || !harmless.Match(out.Bytes()) {
			t.Errorf("%q became %q", data, out.Bytes())
		}
		undo, _ := filter.finish()
		if !harmless.Match(undo) {
			t.Errorf("%q is undone by %q", data, undo)
		}
	})
}

func TestT23_WhatIsStillSetIsUndone(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"text", ""},
		{"\x1b[?1049h\x1b[?25l text \x1b[?25h\x1b[?1049l", ""},
		{"\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l\x1b[0m\x1b[?25h"},
		{"\x1b[?1000;1006h", "\x1b[?1006l\x1b[?1000l\x1b[0m\x1b[?25h"},
		{"\x1b[?2004h\x1b[>1u", "\x1b[<u\x1b[>4;0m\x1b[?2004l\x1b[0m\x1b[?25h"},
		{"\x1b[>1u\x1b[<u", ""},
		{"\x1b[?7l", "\x1b[?7h\x1b[0m\x1b[?25h"},
		{"\x1b(0", "\x1b(B\x1b[0m\x1b[?25h"},
		{"\x1b[2 q\x1b[4h\x1b[2;5r\x1b=", "\x1b[0 q\x1b[4l\x1b7\x1b[r\x1b8\x1b>\x1b[0m\x1b[?25h"},
	} {
		f := NewFilter(&bytes.Buffer{})
		_, _ = f.Write([]byte(test.in))
		if undo, _ := f.finish(); string(undo) != test.want {
			t.Errorf("%q is undone by %q, want %q", test.in, undo, test.want)
		}
	}
}

func TestQuestionsAreNoticed(t *testing.T) {
	for text, want := range map[string]bool{"text\x1b[m": false, "\x1b[6n": true, "\x1b[c": true, "\x1b[>0q": true, "\x1b[?u": true, "\x1b[21t": false} {
		f := NewFilter(&bytes.Buffer{})
		_, _ = f.Write([]byte(text))
		if _, asked := f.finish(); asked != want {
			t.Errorf("%q: asked is %v", text, asked)
		}
	}
}

func TestRawOutputIsNotTouchedButStillWatched(t *testing.T) {
	var out bytes.Buffer
	f := newFilter(&out, true)
	text := "\x1b]0;title\a\x1b[?1049h\xff\x00"
	_, _ = f.Write([]byte(text))
	if out.String() != text {
		t.Errorf("came out as %q", out.String())
	}
	if undo, _ := f.finish(); !strings.Contains(string(undo), "\x1b[?1049l") {
		t.Errorf("undone by %q", undo)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space") }

func TestAFailedWriteIsToldTheWriter(t *testing.T) {
	if _, err := NewFilter(full{}).Write([]byte("text")); err == nil {
		t.Error("no error")
	}
}

func BenchmarkFilter(b *testing.B) {
	text := []byte(strings.Repeat("\x1b[38;5;1mGrüße, 世界\x1b[0m and some plain text\r\n", 1000))
	f := NewFilter(&bytes.Buffer{})
	f.out = discard{}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		_, _ = f.Write(text)
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
