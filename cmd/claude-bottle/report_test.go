package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
)

func TestT25_TheHintIsOneBoundedLineOfPlainText(t *testing.T) {
	files := []backend.ManifestFile{{Kind: "agent", Path: "/a.md"}, {Kind: "bottle", Path: "/b.md"}, {Kind: "bottle", Path: "/base.md"}}
	denials := backend.Denials{Hosts: []backend.Denial{{Host: "a.example", Port: 443, Count: 3}, {Host: "b.example", Count: 1}}}
	if got := hintLine(denials, files); got != "claude-bottle: denied: a.example:443 (3), b.example; to allow it, add it to egress.allow in /b.md" {
		t.Errorf("got %s", got)
	}
	if got := hintLine(backend.Denials{}, files); got != "" {
		t.Errorf("with nothing denied: %s", got)
	}
	hostile := backend.Denials{More: 1000}
	for range 64 {
		hostile.Hosts = append(hostile.Hosts, backend.Denial{Host: "\x1b[2J\n\u202e" + strings.Repeat("x", 300), Count: 1})
	}
	got := hintLine(hostile, nil)
	if len(got) > 1000 || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r > '~' }) || !strings.Contains(got, "1059 more; to allow it, add it to egress.allow in the bottle file") {
		t.Errorf("got %d bytes: %q", len(got), got)
	}
}

func TestT25_EventsAreLinesOfPlainText(t *testing.T) {
	var out bytes.Buffer
	for _, event := range []egress.Event{
		{Kind: egress.KindDial, Host: "a.example", Port: 443, Allowed: true, Rule: "a.example (egress.allow)", Sent: 2048, Received: 1, Millis: 1500},
		{Kind: egress.KindName, Host: "b.example", Rule: "no rule allows it", Reason: "why"},
		{Kind: egress.KindRequest, Method: "POST", Path: "/v1/messages", Status: 200, Allowed: true},
		{Kind: egress.KindChange, Host: "c.example", Rule: "egress deny"},
		{Kind: egress.KindDial, Host: "\x1b[2J\n\u202e", Port: 1, Reason: "\r\x07", Time: time.Unix(0, 0)},
	} {
		if err := printEvent(&out, event); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 5 || strings.ContainsFunc(out.String(), func(r rune) bool { return r < ' ' && r != '\n' || r > '~' }) {
		t.Fatalf("got %q", out.String())
	}
	for i, words := range [][]string{
		{"allowed", "a.example:443", "a.example (egress.allow)", "2.0 KiB", "1 B", "1.5s"},
		{"denied", "b.example (name)", "no rule allows it", "why"},
		{"allowed", "POST /v1/messages 200"},
		{"denied", "c.example", "egress deny"},
		{"1970-01-01T00:00:00Z", "denied"},
	} {
		for _, word := range words {
			if !strings.Contains(lines[i], word) {
				t.Errorf("%q is missing in %q", word, lines[i])
			}
		}
	}
	if strings.Contains(lines[3], "c.example:0") {
		t.Errorf("a change has no port: %q", lines[3])
	}
}

func TestTargets(t *testing.T) {
	for text, want := range map[string]string{"a.example": "a.example 443", "a.example:22": "a.example 22", "10.0.0.1": "10.0.0.1 443"} {
		if host, port, err := target(text); err != nil || fmt.Sprint(host, " ", port) != want {
			t.Errorf("%s is %s %d, %v", text, host, port, err)
		}
	}
	for _, bad := range []string{"a.example:0", "a.example:x", "a.example:70000"} {
		if _, _, err := target(bad); exitCode(nil, err) != exitUsage {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
