package runtime

import (
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
)

func TestANameStandsForAnImage(t *testing.T) {
	digest, other := "sha256:"+strings.Repeat("a", 64), "sha256:"+strings.Repeat("b", 64)
	for _, test := range []struct {
		text, name string
		want       bool
	}{
		{"claude:1", "docker.io/library/claude:1", true},
		{"claude", "docker.io/library/claude:latest", true},
		{"claude:2", "docker.io/library/claude:1", false},
		{"claude:1@" + digest, "docker.io/library/claude:1", true},
		{"claude:2@" + digest, "docker.io/library/claude:1", true}, // a pin finds it by any tag
		{"claude@" + digest, "docker.io/library/claude@" + digest, true},
		{"claude:1@" + other, "docker.io/library/claude:1", false},
		{"other:1@" + digest, "docker.io/library/claude:1", false},
		{"reg.example:5000/claude@" + digest, "reg.example:5000/claude:1", true},
		{"not a reference", "docker.io/library/claude:1", false},
	} {
		if got := Uses(test.text, backend.Image{Name: test.name, Digest: digest}); got != test.want {
			t.Errorf("%s for %s: %v", test.text, test.name, got)
		}
	}
}

func TestTheHolderOfALeaseIsKnownToLiveOrToBeGone(t *testing.T) {
	us, err := thisProcess()
	if err != nil || gone(us) {
		t.Errorf("we are gone: %q, %v", us, err)
	}
	fields := strings.Fields(us)
	changed := func(field int, value string) string {
		other := append([]string(nil), fields...)
		other[field] = value
		return strings.Join(other, " ")
	}
	for holder, want := range map[string]bool{
		changed(0, "another-boot"):     true,
		changed(1, "pid:[7]"):          false, // who knows
		changed(2, "4194999"):          true,  // above any number that Linux gives
		changed(3, "1"):                true,  // the number was given again
		changed(2, "no-number"):        false,
		"":                             false,
		"of a form that came later on": false,
	} {
		if got := gone(holder); got != want {
			t.Errorf("%q is gone: %v", holder, got)
		}
	}
}
