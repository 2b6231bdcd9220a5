package terminal

import (
	"strings"
	"testing"
	"testing/iotest"
)

func TestT25_PlainSpellsOutWhatIsNoText(t *testing.T) {
	for given, want := range map[string]string{
		"plain text\twith ünï, 漢字 and 🍾\n":    "plain text\twith ünï, 漢字 and 🍾\n",
		"\x1b[2K\x1b[1A hidden\r":             "^[[2K^[[1A hidden^M",
		"\x1b]52;c;eA==\x07 \x7f \x00":        "^[]52;c;eA==^G ^? ^@",
		"if a \u202e\u2066 then":              "if a <U+202E><U+2066> then",
		"zero\u200bwidth\ufeff \u00a0 \u3164": "zero<U+200B>width<U+FEFF> <U+00A0> <U+3164>",
		"c1 \u009b31m \xff\xc3":               "c1 <U+009B>31m <FF><C3>",
		"tag \U000e0041 variation \ufe0f":     "tag <U+E0041> variation <U+FE0F>",
	} {
		var whole, pieces strings.Builder
		p := NewPlain(&whole)
		if _, err := p.Write([]byte(given)); err != nil {
			t.Fatal(err)
		}
		if err := p.Flush(); err != nil || whole.String() != want {
			t.Errorf("%q is shown as %q, want %q", given, whole.String(), want)
		}
		p = NewPlain(iotest.TruncateWriter(&pieces, 1<<20))
		for i := range len(given) {
			if _, err := p.Write([]byte{given[i]}); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Flush(); err != nil || pieces.String() != want {
			t.Errorf("%q in pieces is shown as %q, want %q", given, pieces.String(), want)
		}
	}
}
