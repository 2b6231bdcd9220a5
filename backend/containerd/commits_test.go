package containerd

import (
	"strings"
	"testing"
)

func TestT17_AnAnswerFromInsideIsCut(t *testing.T) {
	var answer shortText
	for range 1000 {
		if n, err := answer.Write([]byte(strings.Repeat("9", 100))); n != 100 || err != nil {
			t.Fatal(n, err)
		}
	}
	if answer.text.Len() != 256 {
		t.Errorf("%d bytes are kept", answer.text.Len())
	}
}
