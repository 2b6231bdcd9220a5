package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/containerd/errdefs"
)

// takers are the ways in which a stream is taken, each leaving out what is called .git.
func takers(t *testing.T, caps archive.Caps) map[string]func(io.Reader) error {
	options := home()
	options.Caps = caps
	options.Leave = func(name string) string {
		if name == ".git" {
			return "repository"
		}
		return ""
	}
	return map[string]func(io.Reader) error{
		"deliver": func(r io.Reader) error {
			_, err := archive.Deliver(t.Context(), r, archive.Delivery{Files: archive.OwnFiles{}, To: t.TempDir(), Name: "it", Options: options})
			return err
		},
		"sift": func(r io.Reader) error {
			_, err := archive.Sift(t.Context(), io.Discard, r, archive.SiftOptions{Options: options, Single: true})
			return err
		},
		"extract": func(r io.Reader) error {
			_, err := archive.Extract(t.Context(), open(t, t.TempDir()), r, options)
			return err
		},
	}
}

// zeroFilled is a stream with a large file of zeros in .git, and what follows it.
func zeroFilled(t *testing.T, size int64) (stream []byte, behind int) {
	t.Helper()
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	for _, header := range []tar.Header{dirHeader("d"), dirHeader("d/.git"), fileHeader("d/.git/pack", size)} {
		must(t, writer.WriteHeader(&header))
	}
	_, err := writer.Write(make([]byte, size))
	must(t, err)
	must(t, writer.Flush())
	behind = buffer.Len()
	header := fileHeader("d/file", 0)
	must(t, writer.WriteHeader(&header))
	must(t, writer.Close())
	return buffer.Bytes(), behind
}

func TestALargeFileThatIsLeftOutEndsNothing(t *testing.T) {
	const size = 5 << 20
	for name, take := range takers(t, home().Caps) {
		if err := take(tarOf(t, dirHeader("d"), dirHeader("d/.git"), fileHeader("d/.git/pack", size), fileHeader("d/file", 3))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestF26_ACutBehindZerosThatAreLeftOutIsNoEnd(t *testing.T) {
	stream, behind := zeroFilled(t, 5<<20)
	for name, take := range takers(t, home().Caps) {
		if err := take(bytes.NewReader(stream)); err != nil {
			t.Errorf("%s: the whole stream: %v", name, err)
		}
		for _, cut := range []int{behind, behind - 100, behind - 1<<20} {
			if err := take(bytes.NewReader(stream[:cut])); err == nil {
				t.Errorf("%s: a stream of %d bytes, cut at %d, passed for whole", name, len(stream), cut)
			}
		}
	}
}

func TestT15_WhatIsLeftOutCountsForTheCap(t *testing.T) {
	caps := home().Caps
	caps.Bytes = 6 << 20
	for name, take := range takers(t, caps) {
		stream := tarOf(t, dirHeader("d"), dirHeader("d/.git"), fileHeader("d/.git/one", 5<<20), fileHeader("d/.git/two", 5<<20))
		if err := take(stream); !errdefs.IsResourceExhausted(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAHoleThatIsLeftOutIsEndedByTheContext(t *testing.T) {
	// A sparse file of 4 EiB without content, in the old GNU form.
	header := make([]byte, 512)
	copy(header, "d/.git")
	copy(header[100:], "0000644\x000000000\x000000000\x0000000000000\x0000000000000\x00")
	copy(header[156:], "S")
	copy(header[257:], "ustar  \x00")
	header[483] = 0x80
	header[483+4] = 0x40 // the real size, in base 256
	sum := 8 * int(' ')
	for _, b := range header {
		sum += int(b)
	}
	copy(header[148:], []byte{byte('0' + sum>>15&7), byte('0' + sum>>12&7), byte('0' + sum>>9&7), byte('0' + sum>>6&7), byte('0' + sum>>3&7), byte('0' + sum&7), 0, ' '})
	ctx, cancel := context.WithCancel(t.Context())
	options := home()
	options.Caps, options.Leave = archive.Caps{}, func(string) string { cancel(); return "all" }
	_, err := archive.Extract(ctx, open(t, t.TempDir()), bytes.NewReader(append(header, make([]byte, 1024)...)), options)
	if err == nil || ctx.Err() == nil {
		t.Errorf("it ended with %v", err)
	}
}
