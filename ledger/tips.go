package ledger

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/pattern"
)

// maxTips bounds what is read of tips, in bytes: a million names.
const maxTips = 64 << 20

var objectName = pattern.Lazy(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// IsObjectName says that a text is git's name of an object, in full.
func IsObjectName(text string) bool { return objectName().MatchString(text) }

// Tips are the names of objects that the host has, as far as they were noted.
func Tips(work *backend.Work) (map[string]bool, error) {
	known := map[string]bool{}
	file, err := os.Open(work.Path(backend.StateTips))
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read tips: %w", err)
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxTips))
	if err != nil {
		return nil, fmt.Errorf("read tips: %w", err)
	}
	for line := range bytes.Lines(data) {
		if name := strings.TrimSpace(string(line)); IsObjectName(name) {
			known[name] = true
		}
	}
	return known, nil
}

// AddTips notes objects that the host has, beside those that were noted before.
func AddTips(work *backend.Work, names []string) error {
	known, err := Tips(work)
	if err != nil {
		return err
	}
	for _, name := range names {
		known[name] = true
	}
	err = WriteFile(work.Path(backend.StateTips), func(w io.Writer) error {
		buffered := bufio.NewWriter(w)
		for _, name := range slices.Sorted(maps.Keys(known)) {
			_, _ = buffered.WriteString(name + "\n") // said by Flush
		}
		return buffered.Flush()
	})
	if err != nil {
		return fmt.Errorf("note tips: %w", err)
	}
	return nil
}
