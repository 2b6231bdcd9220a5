package bundle

import (
	"bufio"
	"bytes"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Packing is how a stream is packed.
type Packing string

// The packings that are read.
const (
	Plain Packing = ""
	Gzip  Packing = "gzip"
	Zstd  Packing = "zstd"
)

// window is the most memory that a zstd stream may ask of its reader. The format's
// own tools stop there, too, unless they are told otherwise.
const window = 128 << 20

// unpacked reads what a stream holds, by its first bytes. The caller closes it.
func unpacked(r io.Reader) (io.ReadCloser, Packing, error) {
	buffered := bufio.NewReaderSize(r, 64<<10)
	magic, _ := buffered.Peek(6) // what is shorter is neither
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		reader, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, Gzip, fmt.Errorf("unpack gzip: %w", err)
		}
		return reader, Gzip, nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		reader, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window))
		if err != nil {
			return nil, Zstd, fmt.Errorf("unpack zstd: %w", err)
		}
		return reader.IOReadCloser(), Zstd, nil
	case bytes.HasPrefix(magic, []byte("BZh")), bytes.Equal(magic, []byte{0xfd, '7', 'z', 'X', 'Z', 0}), bytes.HasPrefix(magic, []byte("PK\x03\x04")):
		return nil, Plain, fmt.Errorf("it is packed with bzip2, xz or zip: unpack it, or pack it with gzip or zstd: %w", errdefs.ErrInvalidArgument)
	}
	return io.NopCloser(buffered), Plain, nil
}
