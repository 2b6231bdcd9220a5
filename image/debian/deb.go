package debian

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// What a package begins with, and how long the head of each of its parts is.
const (
	arMagic    = "!<arch>\n"
	arHeader   = 60
	maxControl = 16 << 20 // unpacked
)

// part opens one of the parts of a package, whose name goes on with how it is packed.
func part(deb []byte, prefix string) (io.Reader, error) {
	rest, ok := bytes.CutPrefix(deb, []byte(arMagic))
	if !ok {
		return nil, fmt.Errorf("it is no package: %w", errdefs.ErrInvalidArgument)
	}
	for len(rest) >= arHeader {
		head := rest[:arHeader]
		size, err := strconv.Atoi(strings.TrimSpace(string(head[48:58])))
		if err != nil || size < 0 || size > len(rest)-arHeader {
			return nil, fmt.Errorf("a part of it has no length: %w", errdefs.ErrInvalidArgument)
		}
		name := strings.TrimRight(string(head[:16]), " /")
		content := rest[arHeader : arHeader+size]
		if packing, ok := strings.CutPrefix(name, prefix); ok {
			return unpack(bytes.NewReader(content), packing)
		}
		rest = rest[min(arHeader+size+size%2, len(rest)):]
	}
	return nil, fmt.Errorf("it has no %s: %w", prefix, errdefs.ErrInvalidArgument)
}

func unpack(from io.Reader, packing string) (io.Reader, error) {
	switch packing {
	case "":
		return from, nil
	case ".gz":
		return gzip.NewReader(from)
	case ".xz":
		return xz.NewReader(from)
	case ".zst":
		plain, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return plain.IOReadCloser(), nil
	default:
		return nil, fmt.Errorf("it is packed by %s: %w", backend.Printable(packing), errdefs.ErrNotImplemented)
	}
}

// control is what a package says of itself: the files that dpkg keeps, by name.
func control(deb []byte) (map[string][]byte, error) {
	plain, err := part(deb, "control.tar")
	if err != nil {
		return nil, err
	}
	found, reader := map[string][]byte{}, tar.NewReader(io.LimitReader(plain, maxControl))
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read what it says of itself: %w", err)
		}
		name := path.Base(header.Name)
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if found[name], err = io.ReadAll(reader); err != nil {
			return nil, fmt.Errorf("read its %s: %w", backend.Printable(name), err)
		}
	}
	if len(found["control"]) == 0 {
		return nil, fmt.Errorf("it has no control: %w", errdefs.ErrInvalidArgument)
	}
	return found, nil
}
