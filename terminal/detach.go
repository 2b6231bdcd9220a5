package terminal

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// ErrDetached says that the keys that detach were typed.
var ErrDetached = errors.New("the keys that detach were typed")

// DefaultDetachKeys are docker's.
const DefaultDetachKeys = "ctrl-p,ctrl-q"

// ParseKeys reads keys as docker spells them: single characters, or ctrl- and one of a
// to z, @, [, \, ], ^ and _, with commas between. "" is no keys. Anything else is an
// InvalidArgument error.
func ParseKeys(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	var keys []byte
	for name := range strings.SplitSeq(text, ",") {
		letter, control := strings.CutPrefix(name, "ctrl-")
		switch {
		case control && len(letter) == 1 && (letter[0] >= 'a' && letter[0] <= 'z' || strings.Contains(`@[\]^_`, letter)):
			keys = append(keys, letter[0]&0x1f)
		case !control && len(name) == 1 && name[0] > ' ' && name[0] <= '~':
			keys = append(keys, name[0])
		default:
			return nil, fmt.Errorf("detach keys %s: give characters or ctrl-LETTER with commas between, such as %s: %w",
				backend.Printable(text), DefaultDetachKeys, errdefs.ErrInvalidArgument)
		}
	}
	return keys, nil
}

// UntilKeys reads what is typed up to keys, which are taken out; then it fails with
// ErrDetached. No keys are never typed. The first of them wait for the next key: only
// then it is known what they were.
func UntilKeys(typed io.Reader, keys []byte) io.Reader {
	if len(keys) == 0 {
		return typed
	}
	return &untilKeys{typed: typed, keys: keys}
}

type untilKeys struct {
	typed io.Reader
	keys  []byte
	// held is how many of the keys have been typed in a row, ready what is to be read
	// before anything else, err what follows that.
	held  int
	ready []byte
	err   error
}

// Read implements io.Reader.
func (u *untilKeys) Read(p []byte) (int, error) {
	for len(u.ready) == 0 {
		if u.err != nil {
			return 0, u.err
		}
		buffer := make([]byte, max(len(p), 1))
		n, err := u.typed.Read(buffer)
		for _, key := range buffer[:n] {
			if u.take(key); u.err != nil {
				break
			}
		}
		if err != nil && u.err == nil {
			u.err = err
			u.letGo()
		}
	}
	n := copy(p, u.ready)
	u.ready = u.ready[n:]
	return n, nil
}

// take sorts one key.
func (u *untilKeys) take(key byte) {
	for key != u.keys[u.held] {
		if u.held == 0 {
			u.ready = append(u.ready, key)
			return
		}
		u.shift()
	}
	if u.held++; u.held == len(u.keys) {
		u.held, u.err = 0, ErrDetached
	}
}

// shift lets go of the first of the held keys, and of as many more as it takes for the
// others to be the beginning of the keys again.
func (u *untilKeys) shift() {
	for first := 1; first <= u.held; first++ {
		if string(u.keys[first:u.held]) == string(u.keys[:u.held-first]) {
			u.ready = append(u.ready, u.keys[:first]...)
			u.held -= first
			return
		}
	}
}

// letGo gives back what was held: no key follows.
func (u *untilKeys) letGo() {
	u.ready = append(u.ready, u.keys[:u.held]...)
	u.held = 0
}
