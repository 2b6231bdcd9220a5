// Package hunt looks for secrets where none may be: in files, and in what
// processes were started with and have in memory. It knows nothing of bottles,
// so that the same hunt can be made on the host and inside.
package hunt

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
)

// pieceSize is how much is looked at in one go, in bytes.
const pieceSize = 1 << 20

// Hunt is one search for some secrets. It is not for use by many at a time.
type Hunt struct {
	// Hits say which secret is where. It never holds the secret itself.
	Hits []string
	// Files, Processes and Memory are what was looked at; Memory is in bytes.
	Files, Processes int
	Memory           int64

	forms   []form
	longest int
	buffer  []byte
}

// form is one spelling of a secret.
type form struct {
	name, how string
	text      []byte
}

// New returns a hunt for secrets, by name.
func New(secrets map[string]string) *Hunt {
	h := &Hunt{}
	for name, value := range secrets {
		for how, text := range spellings(value) {
			h.forms = append(h.forms, form{name, how, text})
			h.longest = max(h.longest, len(text))
		}
	}
	h.buffer = make([]byte, pieceSize+h.longest)
	return h
}

// spellings are what a secret is known by: as it is, and as programs carry it.
func spellings(value string) map[string][]byte {
	wide := make([]byte, 0, 2*len(value))
	for _, c := range []byte(value) {
		wide = append(wide, c, 0)
	}
	forms := map[string][]byte{"plain": []byte(value), "hex": []byte(hex.EncodeToString([]byte(value))), "UTF-16": wide}
	if escaped := url.QueryEscape(value); escaped != value {
		forms["escaped"] = []byte(escaped)
	}
	// Base64 of something with the secret in it: at its edges stand bits of what
	// is beside it.
	for offset := range 3 {
		text := base64.RawStdEncoding.EncodeToString([]byte("###"[:offset] + value))
		from, to := (offset*8+5)/6, len(text)-1
		forms[fmt.Sprintf("base64 at %d", offset)] = []byte(text[from:to])
	}
	return forms
}

// search reads all of r, and notes which secrets it holds.
func (h *Hunt) search(r io.Reader, where string) error {
	kept := 0
	for {
		n, err := io.ReadFull(r, h.buffer[kept:])
		seen := h.buffer[:kept+n]
		for _, form := range h.forms {
			if bytes.Contains(seen, form.text) {
				h.hit(form, where)
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil
			}
			return err
		}
		// What lies across two pieces is found in the next.
		kept = copy(h.buffer, seen[len(seen)-h.longest:])
	}
}

func (h *Hunt) hit(found form, where string) {
	if text := fmt.Sprintf("%s (%s) is in %s", found.name, found.how, where); !slices.Contains(h.Hits, text) {
		h.Hits = append(h.Hits, text)
	}
}

// Tree looks through the regular files below root, and at their names and where
// links lead, but for what skip says.
func (h *Hunt) Tree(root string, skip func(path string, entry fs.DirEntry) bool) {
	_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil //nolint:nilerr // what is gone, or closed to us, can't be looked at
		case skip(path, entry):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		target := ""
		if entry.Type()&fs.ModeSymlink != 0 {
			target, _ = os.Readlink(path)
		}
		_ = h.search(bytes.NewReader([]byte(path+" "+target)), "the name of "+filepath.Dir(path)+"/…")
		// A device may be bound over a file: what the directory says is not enough.
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
			h.file(path)
		}
		return nil
	})
}

func (h *Hunt) file(path string) {
	file, err := os.Open(path)
	if err != nil {
		return
	}
	defer func() { _ = file.Close() }()
	if h.search(file, path) == nil {
		h.Files++
	}
}
