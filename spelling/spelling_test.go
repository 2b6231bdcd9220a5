package spelling

import "testing"

func TestTheNearestWordIsMeant(t *testing.T) {
	known := []string{"image", "env", "egress", "pypi"}
	for word, want := range map[string]string{
		"imagee": "image", "IMAGE": "image", "egres": "egress", "evn": "", "enw": "env", "unlike": "", "": "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("%q is taken for %q, want %q", word, got, want)
		}
	}
	if got := Within("pip", known, 2); got != "pypi" {
		t.Errorf("pip is taken for %q", got)
	}
}
