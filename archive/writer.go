package archive

import (
	"archive/tar"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

const blockSize = 512

// maxOctal is the largest size that the classic header holds.
const maxOctal = 1<<33 - 1

// header is what this package writes of a tar header.
type header struct {
	kind    byte
	name    string
	link    string
	mode    uint32
	size    int64
	seconds int64
	nanos   int64
}

// writer writes POSIX.1-2001 (pax) headers. It exists beside archive/tar for its
// speed: with one time to the nanosecond a file, that writer takes longer than
// the kernel takes to read the file. Headers that are not plain are left to it.
type writer struct {
	out    io.Writer
	record []byte
	block  [2 * blockSize]byte
	usual  [blockSize]byte
}

func newWriter(out io.Writer) *writer { return &writer{out: out} }

// header writes one header, with an extended one before it when a field is too
// long or too fine for the classic one.
func (w *writer) header(h *header) error {
	if !plain(h) {
		return w.unusual(h)
	}
	w.record = w.record[:0]
	if h.nanos != 0 {
		value := strconv.AppendInt(make([]byte, 0, 32), h.seconds, 10)
		value = append(value, '.')
		value = append(value, fmt.Sprintf("%09d", h.nanos)...)
		w.record = appendRecord(w.record, "mtime", strings.TrimRight(string(value), "0"))
	}
	if len(w.record) > 0 {
		extended := header{kind: tar.TypeXHeader, name: "pax", size: int64(len(w.record)), mode: 0o644}
		block := w.block[:]
		clear(block)
		formatUstar(block[:blockSize], &extended)
		copy(block[blockSize:], w.record) // one short record: it fits
		if _, err := w.out.Write(block); err != nil {
			return fmt.Errorf("write header: %w", err)
		}
	}
	clear(w.usual[:])
	formatUstar(w.usual[:], h)
	if _, err := w.out.Write(w.usual[:]); err != nil {
		return fmt.Errorf("write header: %w", err)
	}
	return nil
}

// plain says that the classic header holds all but the nanoseconds.
func plain(h *header) bool {
	return len(h.name) <= 100 && len(h.link) <= 100 && h.size <= maxOctal && h.seconds >= 0 && h.seconds <= maxOctal &&
		isASCII(h.name) && isASCII(h.link)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 || s[i] == 0 {
			return false
		}
	}
	return true
}

// unusual lets the standard library write a header with long names and the like.
func (w *writer) unusual(h *header) error {
	// A tar.Writer that is not closed adds nothing after its header.
	err := tar.NewWriter(w.out).WriteHeader(&tar.Header{
		Typeflag: h.kind, Name: h.name, Linkname: h.link, Mode: int64(h.mode), Size: h.size,
		ModTime: time.Unix(h.seconds, h.nanos), Format: tar.FormatPAX,
	})
	if err != nil {
		return fmt.Errorf("write header of %q: %w", h.name, err)
	}
	return nil
}

// formatUstar fills one block. The caller has seen to it that all fits.
func formatUstar(block []byte, h *header) {
	copy(block[0:100], h.name)
	octal(block[100:108], uint64(h.mode))
	octal(block[108:116], 0)
	octal(block[116:124], 0)
	octal(block[124:136], uint64(h.size))
	octal(block[136:148], uint64(h.seconds))
	block[156] = h.kind
	copy(block[157:257], h.link)
	copy(block[257:265], "ustar\x0000")
	for i := 148; i < 156; i++ {
		block[i] = ' '
	}
	var sum uint64
	for _, b := range block {
		sum += uint64(b)
	}
	octal(block[148:155], sum)
}

// octal writes a number with leading zeros and a zero byte behind it.
func octal(field []byte, value uint64) {
	for i := len(field) - 2; i >= 0; i-- {
		field[i] = byte('0' + value&7)
		value >>= 3
	}
	field[len(field)-1] = 0
}

// appendRecord appends "LENGTH key=value\n", the length counting itself.
func appendRecord(to []byte, key, value string) []byte {
	const overhead = 3 // space, equals sign, newline
	size := len(key) + len(value) + overhead
	size += len(strconv.Itoa(size))
	if total := len(key) + len(value) + overhead + len(strconv.Itoa(size)); total != size {
		size = total
	}
	to = strconv.AppendInt(to, int64(size), 10)
	to = append(to, ' ')
	to = append(to, key...)
	to = append(to, '=')
	to = append(to, value...)
	return append(to, '\n')
}

func (w *writer) write(p []byte) error {
	_, err := w.out.Write(p)
	return err
}

// pad fills the last block of a file.
func (w *writer) pad(size int64) error {
	if rest := size % blockSize; rest != 0 {
		clear(w.usual[:])
		return w.write(w.usual[rest:])
	}
	return nil
}

// close writes the two empty blocks that end a stream.
func (w *writer) close() error {
	clear(w.block[:])
	return w.write(w.block[:])
}
