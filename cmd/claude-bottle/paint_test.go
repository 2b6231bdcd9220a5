package main

import (
	"strings"
	"testing"
)

func TestT22_APaintedPatchCannotPaint(t *testing.T) {
	patch := "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1,2 @@\n--- gone \x1b[31m\n+\x1b[1A\x1b[2K hidden \u202e\n+" + strings.Repeat("y", 3*maxLine) + "\x1b[0m\n\\ No newline at end of file\n"
	var shown strings.Builder
	p := newPainter(&shown, true)
	for len(patch) > 0 {
		n := min(len(patch), 777)
		if _, err := p.Write([]byte(patch[:n])); err != nil {
			t.Fatal(err)
		}
		patch = patch[n:]
	}
	if err := p.flush(); err != nil {
		t.Fatal(err)
	}
	want := "\x1b[1mdiff --git a/x b/x\x1b[m\n\x1b[1m--- a/x\x1b[m\n\x1b[1m+++ b/x\x1b[m\n\x1b[36m@@ -1 +1,2 @@\x1b[m\n" +
		"\x1b[31m--- gone ^[[31m\x1b[m\n\x1b[32m+^[[1A^[[2K hidden <U+202E>\x1b[m\n\x1b[32m+" + strings.Repeat("y", 3*maxLine) + "^[[0m\x1b[m\n\\ No newline at end of file\x1b[m\n"
	if shown.String() != want {
		t.Errorf("shown is %.600q", shown.String())
	}
}
