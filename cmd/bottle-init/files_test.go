package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
)

// asks is a link to a bottle in this process that answers requests for files.
func asks(t *testing.T) *neck.Conn {
	t.Helper()
	host, serve := linked(t, new(bottle))
	ended := make(chan struct{})
	go func() { defer close(ended); serve() }()
	t.Cleanup(func() { _ = host.Close(); <-ended })
	return host
}

// linked is a link to a bottle in this process, which serve answers until it is closed.
func linked(t *testing.T, b *bottle) (host *neck.Conn, serve func()) {
	t.Helper()
	near, far := net.Pipe()
	host, err := neck.Server(near)
	if err != nil {
		t.Fatal(err)
	}
	guest, err := neck.Client(far)
	if err != nil {
		t.Fatal(err)
	}
	return host, func() {
		_ = guest.Serve(context.WithoutCancel(t.Context()), neck.Bounds{Streams: 32, Request: 1 << 20}, b.fromHost)
	}
}

// ask makes one request, and returns what comes.
func ask(t *testing.T, link *neck.Conn, request neck.Request, in io.Reader) (string, error) {
	t.Helper()
	stream, err := link.Open(t.Context(), request)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	_, err = neck.Attach(t.Context(), stream, neck.SessionIO{In: in, Out: &out, Err: io.Discard})
	return out.String(), err
}

func TestFilesComeOutAndGoIn(t *testing.T) {
	link, dir := asks(t), t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "from/sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	content := strings.Repeat("content ", 100_000)
	if err := os.WriteFile(filepath.Join(dir, "from/sub/file"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	packed, err := ask(t, link, neck.Request{Kind: neck.KindPack, Files: &neck.FilesRequest{Path: dir + "/from"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	to := neck.FilesRequest{Path: dir, Name: "to", Bytes: 1 << 30, Entries: 10}
	if _, err := ask(t, link, neck.Request{Kind: neck.KindUnpack, Files: &to}, strings.NewReader(packed)); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "to/sub/file")); err != nil || string(data) != content {
		t.Errorf("%d bytes arrived, %v", len(data), err)
	}
	// A stream that ends early, or is too large, leaves nothing, and its sender
	// hears why while it still sends.
	small := to
	small.Name, small.Bytes = "small", 1000
	cut := to
	cut.Name = "cut"
	for _, test := range []struct {
		files neck.FilesRequest
		in    string
		want  func(error) bool
	}{
		{small, packed + strings.Repeat("\x00", 1<<20), errdefs.IsResourceExhausted},
		{cut, packed[:len(packed)/2], func(err error) bool { return err != nil }},
	} {
		if _, err := ask(t, link, neck.Request{Kind: neck.KindUnpack, Files: &test.files}, strings.NewReader(test.in)); !test.want(err) {
			t.Errorf("%s: %v", test.files.Name, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("there is %v, %v", entries, err)
	}
}

func TestRequestsForFilesThatCantBe(t *testing.T) {
	link := asks(t)
	none := filepath.Join(t.TempDir(), "none")
	for name, test := range map[string]struct {
		request neck.Request
		want    func(error) bool
	}{
		"no path":  {neck.Request{Kind: neck.KindPack}, errdefs.IsInvalidArgument},
		"relative": {neck.Request{Kind: neck.KindUnpack, Files: &neck.FilesRequest{Path: "x"}}, errdefs.IsInvalidArgument},
		"none":     {neck.Request{Kind: neck.KindPack, Files: &neck.FilesRequest{Path: none}}, errdefs.IsNotFound},
		"a device": {neck.Request{Kind: neck.KindPack, Files: &neck.FilesRequest{Path: "/dev/null"}}, errdefs.IsInvalidArgument},
	} {
		if _, err := ask(t, link, test.request, nil); !test.want(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMountPointsAreThoseOfTheKernel(t *testing.T) {
	points, err := mountPoints()
	if err != nil || !points["proc"] || points[""] {
		t.Errorf("mount points are %v, %v", points, err)
	}
}
