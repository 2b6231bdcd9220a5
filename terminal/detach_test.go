package terminal

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/containerd/errdefs"
)

func TestKeysEndWhatIsTyped(t *testing.T) {
	for name, test := range map[string]struct{ keys, typed, want string }{
		"nothing":         {"ctrl-p,ctrl-q", "hello", "hello"},
		"the keys":        {"ctrl-p,ctrl-q", "ab\x10\x11cd", "ab!"},
		"the first alone": {"ctrl-p,ctrl-q", "a\x10b\x10\x10c", "a\x10b\x10\x10c"},
		"twice the first": {"ctrl-p,ctrl-q", "\x10\x10\x11", "\x10!"},
		"at the end":      {"ctrl-p,ctrl-q", "a\x10", "a\x10"},
		"one key":         {"ctrl-]", "a\x1db", "a!"},
		"itself in it":    {"a,a,b", "aaab", "a!"},
		"and again":       {"a,b,a,b,c", "ababababc", "abab!"},
		"off":             {"", "a\x10\x11b", "a\x10\x11b"},
	} {
		keys, err := ParseKeys(test.keys)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for how, typed := range map[string]io.Reader{
			"at once": strings.NewReader(test.typed), "key by key": iotest.OneByteReader(strings.NewReader(test.typed)),
			"with its end": iotest.DataErrReader(strings.NewReader(test.typed)),
		} {
			got, err := io.ReadAll(UntilKeys(typed, keys))
			text := string(got)
			if errors.Is(err, ErrDetached) {
				text += "!"
			} else if err != nil {
				t.Errorf("%s, %s: %v", name, how, err)
			}
			if text != test.want {
				t.Errorf("%s, %s: %q came of %q, wanted is %q", name, how, text, test.typed, test.want)
			}
		}
	}
	for _, text := range []string{"ctrl-", "ctrl-pq", "ctrl-1", "pq", ",", "a,", "ctrl-ü", "\x10"} {
		if _, err := ParseKeys(text); !errdefs.IsInvalidArgument(err) {
			t.Errorf("keys %q: %v", text, err)
		}
	}
}
