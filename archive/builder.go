package archive

import (
	"archive/tar"
	"bytes"
	"os"
	"strings"
	"time"
)

// Builder writes a small tar stream from memory.
type Builder struct {
	buffer bytes.Buffer
	out    *writer
	err    error
	made   map[string]bool
}

// NewBuilder returns an empty stream.
func NewBuilder() *Builder {
	b := &Builder{made: map[string]bool{}}
	b.out = newWriter(&b.buffer)
	return b
}

// File adds a file, and the directories above it with mode 0700.
func (b *Builder) File(name string, mode os.FileMode, content []byte) {
	b.parents(name)
	b.add(&header{kind: tar.TypeReg, name: name, mode: uint32(mode.Perm()), size: int64(len(content)), seconds: builtTime})
	if b.err == nil {
		b.err = b.out.write(content)
	}
	if b.err == nil {
		b.err = b.out.pad(int64(len(content)))
	}
}

// Link adds a symbolic link.
func (b *Builder) Link(name, target string) {
	b.parents(name)
	b.add(&header{kind: tar.TypeSymlink, name: name, link: target, mode: 0o777, seconds: builtTime})
}

// Bytes ends the stream and returns it.
func (b *Builder) Bytes() ([]byte, error) {
	if b.err == nil {
		b.err = b.out.close()
	}
	return b.buffer.Bytes(), b.err
}

// builtTime is the modification time of all that a Builder adds, so that the
// same content has the same hash: 1 January 2026.
var builtTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Unix()

func (b *Builder) parents(name string) {
	for i := range len(name) {
		if name[i] != '/' || b.made[name[:i]] {
			continue
		}
		b.made[name[:i]] = true
		b.add(&header{kind: tar.TypeDir, name: strings.Clone(name[:i+1]), mode: 0o700, seconds: builtTime})
	}
}

func (b *Builder) add(h *header) {
	if b.err == nil {
		b.err = b.out.header(h)
	}
}
