package change

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
	"golang.org/x/sys/unix"
)

// Names and marks below StateBase. The index begins with its version and ends with
// the number of its lines: one that was cut is not taken for whole.
const (
	baseIndex  = "index"
	baseFiles  = "files"
	baseHeader = "claude-bottle base 1"
	baseEnd    = "end"
)

// The ways in which the content of a file is kept.
const (
	keptBlob = "blob" // the host's repository has it under that name
	keptFile = "file" // a copy, under that number
	keptLink = "link" // the target itself
)

// content is how the content of one file that went in is kept.
type content struct {
	kind           string
	mode           uint32
	size           int64
	seconds, nanos int64
	reference      string
}

func (k content) line(path string) string {
	return fmt.Sprintf("%s %o %d %d.%09d %s %s", k.kind, k.mode, k.size, k.seconds, k.nanos, strconv.Quote(k.reference), strconv.Quote(path))
}

// matches says that it is the very content that the workspace had: a file that
// changed between the two copies has another time.
func (k content) matches(past archive.Past) bool {
	if k.mode&unix.S_IFMT != past.Kind() {
		return false
	}
	if k.kind == keptLink {
		return true
	}
	sameNanos := k.nanos == past.Nanos || past.Nanos == 0 // not every file system has them
	return k.size == past.Size && k.seconds == past.Seconds && sameNanos
}

// readBase reads the index of what went in. One that is missing, or not whole, is
// empty: then nothing is at hand.
func readBase(work *backend.Work) (map[string]content, error) {
	file, err := os.Open(filepath.Join(work.Path(backend.StateBase), baseIndex))
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]content{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what went in: %w", err)
	}
	defer func() { _ = file.Close() }()
	return parseBase(file)
}

func parseBase(r io.Reader) (map[string]content, error) {
	all := map[string]content{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16*unix.PathMax)
	if !lines.Scan() || lines.Text() != baseHeader {
		return nil, errors.New("read what went in: the index is none of this version")
	}
	for lines.Scan() {
		if count, ok := strings.CutPrefix(lines.Text(), baseEnd+" "); ok {
			if count != strconv.Itoa(len(all)) {
				break
			}
			return all, nil
		}
		path, kept, err := parseKept(lines.Text())
		if err != nil {
			return nil, err
		}
		all[path] = kept
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read what went in: %w", err)
	}
	return nil, errors.New("read what went in: the index is not whole")
}

func parseKept(line string) (path string, k content, err error) {
	garbled := fmt.Errorf("read what went in: a line is garbled")
	fields := strings.SplitN(line, " ", 5)
	if len(fields) != 5 {
		return "", k, garbled
	}
	_, err = fmt.Sscanf(strings.Join(fields[1:4], " "), "%o %d %d.%d", &k.mode, &k.size, &k.seconds, &k.nanos)
	if err != nil {
		return "", k, garbled
	}
	k.kind = fields[0]
	quoted, err := strconv.QuotedPrefix(fields[4])
	if err != nil {
		return "", k, garbled
	}
	var pathErr error
	k.reference, err = strconv.Unquote(quoted)
	path, pathErr = strconv.Unquote(strings.TrimPrefix(fields[4][len(quoted):], " "))
	if err != nil || pathErr != nil {
		return "", k, garbled
	}
	switch _, err := strconv.ParseUint(k.reference, 10, 31); {
	case k.kind == keptBlob && ledger.IsObjectName(k.reference), k.kind == keptFile && err == nil, k.kind == keptLink:
		return path, k, nil
	default:
		return "", k, garbled
	}
}
