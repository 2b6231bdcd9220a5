package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
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

func TestEachLayerHasItsBarOnATerminalAndItsLineElsewhere(t *testing.T) {
	before := []backend.Part{{Name: "aaa", Done: 50, Total: 100}, {Name: "bbb", Done: 0, Total: 2 << 20}}
	after := []backend.Part{{Name: "aaa", Done: 100, Total: 100, Ended: true}, {Name: "bbb", Done: 1 << 20, Total: 2 << 20}}
	for _, tty := range []bool{true, false} {
		var out bytes.Buffer
		p := &partsProgress{progress: &progress{out: &out, tty: tty, began: time.Now()}, ended: map[string]bool{}}
		for _, parts := range [][]backend.Part{before, after, after} {
			p.Parts("pulling x", parts)
		}
		text := out.String()
		if !tty {
			if text != "pulling x\naaa: 100 B\n" {
				t.Errorf("said was %q", text)
			}
			continue
		}
		if strings.Count(text, "1 of 2 layers") != 1 || !strings.Contains(text, "1.0 MiB of 2.0 MiB") || !strings.Contains(text, "\x1b[3A\x1b[J") {
			t.Errorf("drawn was %q", text)
		}
		p.finish()
		if !strings.HasSuffix(out.String(), "\x1b[2A\x1b[J") {
			t.Errorf("the bars are not taken away: %q", out.String())
		}
		p.Parts("pulling x", before)
		if strings.HasSuffix(out.String(), "layers\n") || strings.Contains(out.String()[len(text):], "layers") {
			t.Errorf("a bar has come since: %q", out.String())
		}
	}
}
