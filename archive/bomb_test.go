package archive_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/containerd/errdefs"
)

// maxHeap is what a bomb may make the program hold, in bytes.
const maxHeap = 128 << 20

// endless is a stream that goes on until nobody reads it. It looks at the heap
// now and then.
type endless struct {
	next  func(number int) []byte
	left  []byte
	count int
	read  int64
	heap  uint64
}

// Read implements io.Reader.
func (e *endless) Read(p []byte) (int, error) {
	if len(e.left) == 0 {
		e.left = e.next(e.count)
		if e.count%500 == 0 {
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats)
			e.heap = max(e.heap, stats.HeapAlloc)
		}
		e.count++
	}
	n := copy(p, e.left)
	e.left = e.left[n:]
	e.read += int64(n)
	return n, nil
}

// one is the entry of a stream, without its end. It is made while the stream is
// read, where no test can fail.
func one(header tar.Header) []byte {
	var stream bytes.Buffer
	writer := tar.NewWriter(&stream)
	if err := writer.WriteHeader(&header); err != nil {
		panic(err)
	}
	if err := writer.Flush(); err != nil {
		panic(err)
	}
	return stream.Bytes()
}

// TestT16BombsEndAtACap feeds streams without end, to a delivery and to a sieve: each
// is refused by a cap, in bounded memory, and leaves nothing.
func TestT16BombsEndAtACap(t *testing.T) {
	long := strings.Repeat("n/", 1900)
	wide := strings.Repeat("w", 200)
	headers := func(make func(number int) tar.Header) func(int) []byte {
		return func(number int) []byte { return one(make(number)) }
	}
	fifo := one(device(tar.TypeFifo, "d/"+strings.Repeat("f", 3800)))
	megabyte := bytes.Repeat([]byte("b"), 1<<20)
	for name, bomb := range map[string]struct {
		caps archive.Caps // more than those of home
		next func(number int) []byte
	}{
		"empty files": {archive.Caps{Entries: 2000}, headers(func(i int) tar.Header { return fileHeader(fmt.Sprint("d/", i), 0) })},
		"directories": {archive.Caps{Held: 1 << 18, Entries: 5000}, headers(func(i int) tar.Header { return dirHeader(fmt.Sprint("d/", wide, i)) })},
		"links with long targets": {archive.Caps{Held: 8 << 20, Entries: 5000}, headers(func(i int) tar.Header {
			return symlinkHeader(fmt.Sprint("d/", i), long[:3799])
		})},
		"hard links": {archive.Caps{Entries: 2000}, headers(func(i int) tar.Header {
			if i == 0 {
				return fileHeader("d/file", 0)
			}
			return link(fmt.Sprint("d/", i), "d/file")
		})},
		"FIFOs with long names": {archive.Caps{Entries: 5000}, func(int) []byte { return fifo }},
		"pax headers": {archive.Caps{}, func(int) []byte {
			return extended('x', record("comment", strings.Repeat("c", 1<<19)))
		}},
		"global headers": {archive.Caps{Entries: 100}, func(int) []byte {
			return extended('g', record("comment", strings.Repeat("c", 1<<19)))
		}},
		"content": {archive.Caps{Bytes: 64 << 20}, func(i int) []byte {
			return joined(block(tar.TypeReg, fmt.Sprint("d/", i%3), 1<<20, nil), megabyte)
		}},
		"one file": {archive.Caps{}, func(i int) []byte {
			if i == 0 {
				return block(tar.TypeReg, "x", 0, binarySize(1<<60))
			}
			return megabyte
		}},
		"padding": {archive.Caps{}, func(int) []byte { return make([]byte, 1<<20) }},
	} {
		t.Run(name, func(t *testing.T) {
			parent := memoryDir(t)
			options := home()
			for _, cap := range []struct{ to, from *int64 }{{&options.Caps.Bytes, &bomb.caps.Bytes}, {&options.Caps.Held, &bomb.caps.Held}} {
				if *cap.from != 0 {
					*cap.to = *cap.from
				}
			}
			if bomb.caps.Entries != 0 {
				options.Caps.Entries = bomb.caps.Entries
			}
			for how, take := range map[string]func(io.Reader) error{
				"deliver": func(r io.Reader) error {
					_, err := deliver(t.Context(), parent, "new", r, options)
					return err
				},
				"sift": func(r io.Reader) error {
					_, err := sift(t.Context(), io.Discard, "new", r, options)
					return err
				},
			} {
				explode(t, how, &endless{next: bomb.next}, take)
				if got := names(t, parent); len(got) != 0 {
					t.Errorf("T16: %s: %v is left", how, got)
				}
			}
		})
	}
}

// explode wants a stream without end to be refused by a cap, and little to be held.
func explode(t *testing.T, how string, stream *endless, take func(io.Reader) error) {
	t.Helper()
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	err := take(stream)
	if !errdefs.IsResourceExhausted(err) {
		t.Errorf("T16: %s: error is %v", how, err)
	}
	if stream.heap > before.HeapAlloc+maxHeap {
		t.Errorf("T16: %s: the heap grew to %d bytes", how, stream.heap)
	}
	t.Logf("%s: %d MiB read, heap at most %d MiB: %.150v", how, stream.read>>20, stream.heap>>20, err)
}

// TestF26ACutAnywhereIsNeverAWhole cuts a small stream at many of its bytes, also
// between two entries and before its end.
func TestF26ACutAnywhereIsNeverAWhole(t *testing.T) {
	parent := memoryDir(t)
	stream := tarOf(t, dirHeader("d"), fileHeader("d/a", 700), symlinkHeader("d/l", "a"), fileHeader("d/b", 3)).Bytes()
	content := len(stream) - 1024 // two empty blocks end it
	for cut := 0; cut <= content; cut += 32 {
		_, err := deliver(t.Context(), parent, "new", bytes.NewReader(stream[:cut]), home())
		if left := names(t, parent); !errors.Is(err, io.ErrUnexpectedEOF) || len(left) != 0 {
			t.Fatalf("after %d bytes: error is %v, and %v is left", cut, err, left)
		}
		if _, err := sift(t.Context(), io.Discard, "new", bytes.NewReader(stream[:cut]), home()); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("sifted after %d bytes: error is %v", cut, err)
		}
	}
}
