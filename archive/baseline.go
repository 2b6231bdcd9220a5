package archive

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Changes say how a tree differs from its baseline.
type Changes struct {
	Count int
	Paths []string // the first few
}

// maxChanges bounds the paths that are named.
const maxChanges = 20

// gitIndex is rewritten by a mere `git status`. What is staged lies in objects,
// which are files of their own.
const gitIndex = ".git/index"

// WriteBaseline notes what the tree holds, for Compare: one line a file with its
// type and mode, size, inode, change time and path. The change time is the
// kernel's own: no program inside can set it back.
func WriteBaseline(ctx context.Context, w io.Writer, root *os.Root) error {
	dir, err := root.Open(".")
	if err != nil {
		return fmt.Errorf("write baseline: %w", err)
	}
	defer func() { _ = dir.Close() }()
	buffered := bufio.NewWriterSize(w, 64<<10)
	err = Walk(ctx, dir, func(entry Entry) error {
		_, err := fmt.Fprintf(buffered, "%s %s\n", state(entry), strconv.Quote(entry.Path))
		return err
	})
	if err != nil {
		return fmt.Errorf("write baseline: %w", err)
	}
	return buffered.Flush()
}

// state is what tells a file from what it was. Of a directory only that it is
// one: what happens to its entries is theirs to tell.
func state(entry Entry) string {
	if entry.IsDir() {
		return "dir"
	}
	s := entry.Stat
	return fmt.Sprintf("%o,%d,%d,%d.%09d", s.Mode, s.Size, s.Ino, s.Ctim.Sec, s.Ctim.Nsec)
}

// Compare says how the tree differs from the baseline: what is new, changed or
// gone.
func Compare(ctx context.Context, root *os.Root, baseline io.Reader) (Changes, error) {
	known, err := readBaseline(baseline)
	if err != nil {
		return Changes{}, err
	}
	dir, err := root.Open(".")
	if err != nil {
		return Changes{}, fmt.Errorf("compare with baseline: %w", err)
	}
	defer func() { _ = dir.Close() }()
	var changes Changes
	note := func(path string) {
		changes.Count++
		if len(changes.Paths) < maxChanges {
			changes.Paths = append(changes.Paths, path)
		}
	}
	err = Walk(ctx, dir, func(entry Entry) error {
		before, ok := known[entry.Path]
		delete(known, entry.Path)
		if entry.Path != gitIndex && (!ok || before != state(entry)) {
			note(entry.Path)
		}
		return nil
	})
	if err != nil {
		return Changes{}, fmt.Errorf("compare with baseline: %w", err)
	}
	delete(known, gitIndex)
	for path := range known {
		note(path)
	}
	return changes, nil
}

func readBaseline(r io.Reader) (map[string]string, error) {
	known := map[string]string{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 8*unix.PathMax)
	for lines.Scan() {
		state, quoted, ok := strings.Cut(lines.Text(), " ")
		path, err := strconv.Unquote(quoted)
		if !ok || err != nil {
			return nil, errors.New("read baseline: a line is garbled")
		}
		known[path] = state
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read baseline: %w", err)
	}
	return known, nil
}
