package bundle

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
)

// Limits bound what is read of a stream, unpacked.
type Limits struct {
	Bytes   int64
	Entries int
}

// longestName is the most that the kernel takes for a path.
const longestName = 4096

// blockSize is what a header takes of a tar, and what contents are filled up to.
const blockSize = 512

// Size is what a stream of files has of them.
type Size struct {
	Bytes   int64
	Entries int
}

// add counts an entry in, or says which bound it breaks. A sparse file counts with
// all of its length: that is what it may become.
func (s *Size) add(header *tar.Header, limits Limits) error {
	s.Entries++
	switch {
	case s.Entries > limits.Entries:
		return fmt.Errorf("it has more than %d entries: %w", limits.Entries, errdefs.ErrResourceExhausted)
	case len(header.Name) > longestName || len(header.Linkname) > longestName:
		return fmt.Errorf("a name in it is longer than %d bytes: %w", longestName, errdefs.ErrResourceExhausted)
	case header.Size < 0 || header.Size > limits.Bytes-s.Bytes:
		return errTooLarge(limits)
	}
	s.Bytes += header.Size
	return nil
}

func errTooLarge(limits Limits) error {
	return fmt.Errorf("it holds more than %d MiB: say --max-size if that is meant: %w", limits.Bytes>>20, errdefs.ErrResourceExhausted)
}

// bounded fails where a reader gives more than a tar within the limits can have.
type bounded struct {
	io.Reader

	left   int64
	limits Limits
}

func newBounded(r io.Reader, limits Limits) *bounded {
	// An entry takes a header, those that extend it, and what fills the last block.
	const overhead = 16 * blockSize
	return &bounded{Reader: r, left: limits.Bytes + int64(limits.Entries)*overhead, limits: limits}
}

// Read implements io.Reader.
func (b *bounded) Read(buffer []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge(b.limits)
	}
	n, err := b.Reader.Read(buffer[:min(int64(len(buffer)), b.left)])
	b.left -= int64(n)
	return n, err
}

// Measure reads a layer to its end and says how large it is unpacked. What breaks
// the limits is a ResourceExhausted error, as soon as it does. Each byte of the
// unpacked tar is written to copied.
func Measure(layer io.Reader, limits Limits, copied io.Writer) (_ Size, packing Packing, err error) {
	plain, packing, err := unpacked(layer)
	if err != nil {
		return Size{}, packing, err
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	all := io.TeeReader(newBounded(plain, limits), copied)
	reader := tar.NewReader(all)
	var size Size
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return size, packing, fmt.Errorf("read tar: %w", err)
		}
		if err := size.add(header, limits); err != nil {
			return size, packing, err
		}
	}
	// What stands behind the end of the tar is part of the layer.
	if _, err := io.Copy(io.Discard, all); err != nil {
		return size, packing, fmt.Errorf("read tar: %w", err)
	}
	return size, packing, nil
}
