package backend_test

import (
	"io"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
)

func TestAnEndingRemembersTheLastLineOfWhatWasSaid(t *testing.T) {
	for want, said := range map[string][]string{
		"":               {" \n\n"},
		"alone":          {"alone"},
		"the last":       {"first\nthe ", "last \n", "\n"},
		"behind a flood": {strings.Repeat("x", 100_000), "\nbehind a flood"},
	} {
		var passed strings.Builder
		ending := backend.NewEnding(&passed)
		for _, piece := range said {
			if n, err := io.WriteString(ending, piece); n != len(piece) || err != nil {
				t.Errorf("it took %d of %d, %v", n, len(piece), err)
			}
		}
		if got := ending.LastLine(); got != want || passed.String() != strings.Join(said, "") {
			t.Errorf("its last line is %q, want %q", got, want)
		}
	}
}
