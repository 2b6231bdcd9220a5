package change

import (
	"fmt"
	"strings"
)

// Quote is a path as git prints it: in quotes and with escapes when it holds
// anything but plain ASCII.
func Quote(path string) string {
	var b strings.Builder
	plain := true
	for i := range len(path) {
		c := path[i]
		switch at := strings.IndexByte("\a\b\t\n\v\f\r\"\\", c); {
		case at >= 0:
			b.WriteByte('\\')
			b.WriteByte("abtnvfr\"\\"[at])
			plain = false
		case c < 0x20 || c >= 0x7f:
			fmt.Fprintf(&b, "\\%03o", c)
			plain = false
		default:
			b.WriteByte(c)
		}
	}
	if plain {
		return path
	}
	return `"` + b.String() + `"`
}
