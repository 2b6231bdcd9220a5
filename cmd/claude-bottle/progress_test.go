package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestTheBarIsDrawnWhateverIsKnownFirst(t *testing.T) {
	for name, steps := range map[string][][2]int64{
		"nothing is known at first": {{0, 0}, {300000, 1200000}, {1100000, 1200000}},
		"what was full grows":       {{1000, 1000}, {300000, 1200000}, {1100000, 1200000}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			p := &progress{out: &out, tty: true, began: time.Now()}
			for _, step := range steps {
				p.Bytes("pulling x", step[0], step[1])
			}
			if !strings.Contains(out.String(), "91%") || !strings.Contains(out.String(), "(1.1/1.2 MB") {
				t.Errorf("drawn was %q", out.String())
			}
			p.finish()
			if !strings.HasSuffix(out.String(), "\r") && !strings.HasSuffix(out.String(), "\x1b[2K\r") {
				t.Errorf("the bar is not taken away: %q", out.String())
			}
		})
	}
}
