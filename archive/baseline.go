package archive

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// gitIndex is rewritten by a mere `git status`. What is staged lies in objects,
// which are files of their own.
const gitIndex = ".git/index"

// A baseline begins with its version, and ends with the hash of all before: what
// was cut or changed is never taken for what went in.
const (
	baselineName    = "claude-bottle baseline "
	baselineVersion = "2"
	baselineEnd     = "sha256 "
)

// Baseline is what a tree held at one moment: what tells each file from what it
// was later, by its path.
type Baseline map[string]string

// StateDirectory is what a Baseline says of a directory.
const StateDirectory = "dir"

// TakeBaseline notes what the tree holds: of each file its type and mode, size,
// inode, change time and modification time. The change time is the kernel's own: no
// program inside can set it back.
func TakeBaseline(ctx context.Context, root *os.Root) (Baseline, error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("take baseline: %w", err)
	}
	defer func() { _ = dir.Close() }()
	taken := Baseline{}
	err = Walk(ctx, dir, func(entry Entry) error {
		taken[entry.Path] = state(entry)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("take baseline: %w", err)
	}
	return taken, nil
}

// Write writes the baseline, one line a file, for ReadBaseline.
func (b Baseline) Write(w io.Writer) error {
	buffered := bufio.NewWriterSize(w, 64<<10)
	sum := sha256.New()
	hashed := io.MultiWriter(buffered, sum)
	_, err := fmt.Fprintf(hashed, "%s%s\n", baselineName, baselineVersion)
	for _, path := range slices.Sorted(maps.Keys(b)) {
		if err == nil {
			_, err = io.WriteString(hashed, b[path]+" "+strconv.Quote(path)+"\n")
		}
	}
	if err == nil {
		_, err = fmt.Fprintf(buffered, "%s%x\n", baselineEnd, sum.Sum(nil))
	}
	if err != nil {
		return fmt.Errorf("write baseline: %w", err)
	}
	return buffered.Flush()
}

// Settle is the baseline after the covered part of what differs between b and now
// came home: those paths are as they are now, all others as they were.
func (b Baseline) Settle(now Baseline, covered func(path string) bool) Baseline {
	settled := maps.Clone(b)
	for path, state := range now {
		if covered(path) {
			settled[path] = state
		}
	}
	for path := range b {
		if _, there := now[path]; !there && covered(path) {
			delete(settled, path)
		}
	}
	return settled
}

// state is what tells a file from what it was. Of a directory only that it is
// one: what happens to its entries is theirs to tell.
func state(entry Entry) string {
	if entry.IsDir() {
		return StateDirectory
	}
	s := entry.Stat
	return fmt.Sprintf("%o,%d,%d,%d.%09d,%d.%09d", s.Mode, s.Size, s.Ino, s.Ctim.Sec, s.Ctim.Nsec, s.Mtim.Sec, s.Mtim.Nsec)
}

// Differ calls note with each path at which the tree differs from the baseline, and
// uses the baseline up. What a mere look by git changes is no difference.
func Differ(ctx context.Context, root *os.Root, known Baseline, note func(path string)) error {
	dir, err := root.Open(".")
	if err != nil {
		return fmt.Errorf("compare with baseline: %w", err)
	}
	defer func() { _ = dir.Close() }()
	err = Walk(ctx, dir, func(entry Entry) error {
		before, ok := known[entry.Path]
		delete(known, entry.Path)
		if entry.Path != gitIndex && (!ok || before != state(entry)) {
			note(entry.Path)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("compare with baseline: %w", err)
	}
	delete(known, gitIndex)
	for path := range known {
		note(path)
	}
	return nil
}

// ReadBaseline reads what Write wrote. One that is not whole, or of another
// version, is an error.
func ReadBaseline(r io.Reader) (Baseline, error) {
	known := Baseline{}
	sum := sha256.New()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 8*unix.PathMax)
	for number := 0; lines.Scan(); number++ {
		line := lines.Text()
		if number == 0 {
			version, ok := strings.CutPrefix(line, baselineName)
			if _, err := strconv.ParseUint(version, 10, 32); !ok || err != nil {
				return nil, errors.New("read baseline: it is none")
			}
			if version != baselineVersion {
				return nil, fmt.Errorf("read baseline: it is of version %s, known is %s", version, baselineVersion)
			}
		}
		if end, ok := strings.CutPrefix(line, baselineEnd); ok {
			if end != hex.EncodeToString(sum.Sum(nil)) || lines.Scan() {
				return nil, errors.New("read baseline: it was changed")
			}
			return known, nil
		}
		_, _ = io.WriteString(sum, line+"\n") // never fails
		if number == 0 {
			continue
		}
		state, quoted, ok := strings.Cut(line, " ")
		path, err := strconv.Unquote(quoted)
		if !ok || err != nil {
			return nil, errors.New("read baseline: a line is garbled")
		}
		known[path] = state
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read baseline: %w", err)
	}
	return nil, errors.New("read baseline: its end is missing")
}
