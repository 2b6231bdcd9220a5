package terminal

import (
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"
)

// Plain passes text on and spells out all else: controls, escapes, what turns the
// direction of writing or is not seen at all, and bytes that are no characters. So
// what is shown is what there is, where a Filter lets a program draw.
type Plain struct {
	out  io.Writer
	rest []byte // the beginning of a character
	text []byte
}

// NewPlain returns a writer in front of out.
func NewPlain(out io.Writer) *Plain { return &Plain{out: out} }

// Write implements io.Writer. A character that comes in pieces is held until it is
// whole.
func (p *Plain) Write(data []byte) (int, error) {
	p.text = p.text[:0]
	pending := append(p.rest, data...)
	for len(pending) > 0 && utf8.FullRune(pending) {
		r, size := utf8.DecodeRune(pending)
		p.spell(r, pending[:size])
		pending = pending[size:]
	}
	p.rest = append(p.rest[:0:0], pending...)
	if len(p.text) == 0 {
		return len(data), nil
	}
	if _, err := p.out.Write(p.text); err != nil {
		return 0, err
	}
	return len(data), nil
}

// Flush writes what was held.
func (p *Plain) Flush() error {
	p.text = p.text[:0]
	for _, b := range p.rest {
		p.spell(utf8.RuneError, []byte{b})
	}
	p.rest = nil
	_, err := p.out.Write(p.text)
	return err
}

func (p *Plain) spell(r rune, raw []byte) {
	switch {
	case r == utf8.RuneError && len(raw) == 1:
		p.text = fmt.Appendf(p.text, "<%02X>", raw[0])
	case r == '\n' || r == '\t':
		p.text = append(p.text, raw...)
	case r < 0x20:
		p.text = append(p.text, '^', byte(r)+'@')
	case r == del:
		p.text = append(p.text, "^?"...)
	case r == ' ' || unicode.IsGraphic(r) && !unicode.Is(unicode.Cf, r) && !unicode.Is(unicode.Variation_Selector, r) && !blank(r):
		p.text = append(p.text, raw...)
	default:
		p.text = fmt.Appendf(p.text, "<U+%04X>", r)
	}
}

// blank are letters that look like nothing, and spaces that look like another.
func blank(r rune) bool {
	return r != ' ' && unicode.IsSpace(r) || r == 0x115f || r == 0x1160 || r == 0x3164 || r == 0xffa0 || r == 0x2800
}
