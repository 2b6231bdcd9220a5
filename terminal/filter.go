package terminal

import (
	"io"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"
)

// Filter passes on what draws, and drops what makes a terminal do more: titles,
// clipboards, files, reports, keys. It knows by allow-list; a sequence that
// comes in pieces is held until it is whole.
type Filter struct {
	mu  sync.Mutex
	out io.Writer
	raw bool

	state    state
	sequence []byte   // the escape sequence at hand, from its ESC
	rune     []byte   // the character at hand
	clean    []byte   // what goes out with this Write
	modes    []int    // private modes that are set now
	keyboard bool     // the key protocol was changed
	later    []string // undoes settings that are no modes
	asked    bool     // a question was passed on, to which the terminal answers
}

type state int

const (
	ground   state = iota
	escape         // after ESC
	charset        // after ESC and an intermediate
	control        // in a CSI sequence
	command        // in an OSC string
	overlong       // in an OSC string that is dropped, being too long
	ignored        // in a string that is dropped whole: DCS, APC, PM, SOS
)

// maxSequence bounds a sequence that is held; the longest allowed one is a link.
const maxSequence = 4096

// NewFilter returns a filter in front of out.
func NewFilter(out io.Writer) *Filter { return newFilter(out, false) }

func newFilter(out io.Writer, raw bool) *Filter { return &Filter{out: out, raw: raw} }

// Write implements io.Writer. It never writes a part of a sequence or of a
// character.
func (f *Filter) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clean = f.clean[:0]
	for _, b := range p {
		f.step(b)
	}
	output := f.clean
	if f.raw {
		output = p
	}
	if len(output) == 0 {
		return len(p), nil
	}
	if _, err := f.out.Write(output); err != nil {
		return 0, err
	}
	return len(p), nil
}

const (
	esc = 0x1b
	bel = 0x07
	can = 0x18
	sub = 0x1a
	del = 0x7f
)

func (f *Filter) step(b byte) {
	switch {
	case b == esc && f.state >= command:
		f.endString(b)
		return
	case b == esc:
		f.begin()
		return
	case (b == can || b == sub) && f.state != ground:
		f.drop()
		return
	}
	switch f.state {
	case ground:
		f.text(b)
	case escape:
		f.afterEscape(b)
	case charset:
		f.sequence = append(f.sequence, b)
		if b == '0' {
			f.undoLater("\x1b" + string(f.sequence[1:2]) + "B")
		}
		f.end(b == 'B' || b == '0')
	case control:
		f.inControl(b)
	case command:
		if b == bel {
			f.sequence = append(f.sequence, b)
			f.end(isLink(f.sequence))
			return
		}
		f.hold(b)
	case overlong:
		if b == bel {
			f.drop()
		}
	case ignored: // until its end
	}
}

// begin starts a sequence, in place of one that was not ended.
func (f *Filter) begin() {
	f.brokenRune()
	f.sequence = append(f.sequence[:0], esc)
	f.state = escape
}

// drop forgets the sequence at hand.
func (f *Filter) drop() { f.state, f.sequence = ground, f.sequence[:0] }

// end finishes the sequence at hand, and passes it on when it is allowed.
func (f *Filter) end(allowed bool) {
	if allowed {
		f.clean = append(f.clean, f.sequence...)
	}
	f.drop()
}

// hold takes one more byte of a string. One that is too long is dropped to its
// end.
func (f *Filter) hold(b byte) {
	if len(f.sequence) >= maxSequence {
		f.state, f.sequence = overlong, f.sequence[:0]
		return
	}
	f.sequence = append(f.sequence, b)
}

// undoLater notes what brings back a setting that is no mode.
func (f *Filter) undoLater(sequence string) {
	if !slices.Contains(f.later, sequence) {
		f.later = append(f.later, sequence)
	}
}

// endString meets an ESC inside a string: with a backslash behind it it is the
// string's end, else the beginning of something new. The backslash is waited for
// in the escape state, with the string still held.
func (f *Filter) endString(b byte) {
	if f.state != command {
		f.sequence = f.sequence[:0]
	}
	f.sequence = append(f.sequence, b)
	f.state = escape
}

func (f *Filter) afterEscape(b byte) {
	if inString := len(f.sequence) > 1; inString {
		if b == '\\' {
			f.sequence = append(f.sequence, b)
			f.end(isLink(f.sequence))
			return
		}
		f.sequence = append(f.sequence[:0], esc) // the string was abandoned
	}
	switch b {
	case '[':
		f.state = control
	case ']':
		f.state = command
	case 'P', '_', '^', 'X':
		f.state = ignored
		return
	case '(', ')':
		f.state = charset
	case '7', '8', '=', '>', 'D', 'E', 'H', 'M':
		if b == '=' {
			f.undoLater("\x1b>")
		}
		f.sequence = append(f.sequence, b)
		f.end(true)
		return
	default:
		f.drop()
		return
	}
	f.sequence = append(f.sequence, b)
}

// inControl takes a byte of a CSI sequence.
func (f *Filter) inControl(b byte) {
	switch {
	case b >= 0x40 && b <= 0x7e:
		f.sequence = append(f.sequence, b)
		f.end(f.allowedControl(f.sequence[2:]))
	case b < 0x20:
		// A terminal would obey it in the middle; no program needs that.
	case b >= del || len(f.sequence) > 256:
		f.drop()
	default:
		f.sequence = append(f.sequence, b)
	}
}

// text takes a byte outside of sequences.
func (f *Filter) text(b byte) {
	if len(f.rune) > 0 || b >= utf8.RuneSelf {
		f.utf8(b)
		return
	}
	switch {
	case b >= 0x20 && b != del:
	case b == '\n', b == '\r', b == '\t', b == '\b', b == bel:
	default:
		return
	}
	f.clean = append(f.clean, b)
}

// utf8 collects a character. Bytes that are none become the replacement
// character; the C1 controls, in either spelling, vanish.
func (f *Filter) utf8(b byte) {
	if len(f.rune) > 0 && (b < 0x80 || b > 0xbf) {
		f.brokenRune()
		f.step(b)
		return
	}
	f.rune = append(f.rune, b)
	if !utf8.FullRune(f.rune) {
		return
	}
	r, size := utf8.DecodeRune(f.rune)
	switch {
	case r == utf8.RuneError && size <= 1:
		f.brokenRune()
	case r < 0xa0:
		f.rune = f.rune[:0]
	default:
		f.clean = append(f.clean, f.rune...)
		f.rune = f.rune[:0]
	}
}

func (f *Filter) brokenRune() {
	if len(f.rune) > 0 {
		f.clean = utf8.AppendRune(f.clean, utf8.RuneError)
		f.rune = f.rune[:0]
	}
}

// finish says what undoes the modes that are still set, and whether the terminal
// may have answers under way.
func (f *Filter) finish() (undo []byte, asked bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drop()
	if f.keyboard {
		undo = append(undo, "\x1b[<u\x1b[>4;0m"...)
	}
	for _, mode := range slices.Backward(f.modes) {
		if end, ok := endings[mode]; ok {
			undo = append(undo, "\x1b[?"+strconv.Itoa(mode)+end...)
		}
	}
	for _, sequence := range f.later {
		undo = append(undo, sequence...)
	}
	if len(undo) > 0 {
		undo = append(undo, "\x1b[0m\x1b[?25h"...)
	}
	f.modes, f.keyboard, f.later = nil, false, nil
	return undo, f.asked
}

// endings are how modes that are not in their usual state go back to it.
var endings = map[int]string{
	1: "l", 7: "h", 9: "l", 25: "h", 47: "l", 1000: "l", 1002: "l", 1003: "l", 1004: "l", 1005: "l", 1006: "l", 1007: "l", 1015: "l",
	1047: "l", 1048: "l", 1049: "l", 2004: "l", 2026: "l", 2027: "l", 2031: "l", 2048: "l",
}
