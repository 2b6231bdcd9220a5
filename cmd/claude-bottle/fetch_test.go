package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/fetch"
)

const object = "0123456789012345678901234567890123456789"

func TestT25_WhatCameIsPrintedWithoutTheBottlesSequences(t *testing.T) {
	fetched := &fetch.Fetched{
		Name: "lamp", Handle: "lamp@00001", Repository: "/tmp/a b\x1b[2J",
		Refs:    []fetch.Ref{{Name: "heads/main", Ref: "refs/bottle/lamp/heads/main", New: object, How: fetch.RefNew}},
		Skipped: []fetch.Skipped{{Name: "heads/\x1b]0;owned\x07", Reason: "its name holds what can't be shown"}},
		Nested:  []string{"dir\x1b[31m"},
		Left:    12, LeftPaths: []string{"file\x9b31m", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"},
	}
	var out bytes.Buffer
	printFetched(&out, fetched)
	if strings.ContainsAny(out.String(), "\x1b\x07\u009b") {
		t.Errorf("it prints %q", out.String())
	}
	for _, want := range []string{"[new branch]", "[not fetched]", "owned", "12 files", "and 2 more"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
}

func TestTheCommandThatMergesCanBeCopied(t *testing.T) {
	ref := func(name string) fetch.Ref {
		return fetch.Ref{Name: name, Ref: "refs/bottle/lamp/" + name, New: object}
	}
	fetched := &fetch.Fetched{Name: "lamp", Handle: "lamp", Branch: "refs/bottle/lamp/heads/main", Refs: []fetch.Ref{
		ref("heads/main"), ref("heads/side"), ref("heads/a;touch${IFS}x"), ref("heads/$(id)"), ref("HEAD"), ref("uncommitted"),
	}}
	for asked, want := range map[string]string{
		"": "refs/bottle/lamp/heads/main", "side": "refs/bottle/lamp/heads/side", "a;touch${IFS}x": object, "$(id)": object, "none": "", "../HEAD": "",
	} {
		if got, err := mergeFrom(fetched, asked); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", asked, got, err)
		}
	}
	fetched.Branch = ""
	if got, err := mergeFrom(fetched, ""); err != nil || got != "refs/bottle/lamp/HEAD" {
		t.Errorf("detached: %q, %v", got, err)
	}
	if _, err := mergeFrom(&fetch.Fetched{Name: "lamp"}, ""); err == nil {
		t.Error("nothing can be merged")
	}
	if got := gitCommand("/a b'c", "merge", "x"); got != `git -C '/a b'\''c' merge x` {
		t.Errorf("the command is %s", got)
	}
}
