package egress

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Tail reads an audit log from its oldest line on, and goes on reading while it
// grows and is replaced by a new one.
type Tail struct {
	path   string
	older  *os.File // read first; nil when there is none, or no longer
	file   *os.File // nil while there is none
	reader *bufio.Reader
	begun  []byte // a line whose end is not written yet
}

// OpenTail opens the log at path, which need not be there yet. The caller closes
// it.
func OpenTail(path string) (*Tail, error) {
	t := &Tail{path: path}
	// The present one first: when it becomes the older one meanwhile, it is
	// found there, and not read twice.
	present, err := openLog(path)
	if err != nil {
		return nil, err
	}
	older, err := openLog(path + ".1")
	if err != nil {
		closeLog(present)
		return nil, err
	}
	switch {
	case older == nil:
		t.use(present)
	case same(older, present):
		closeLog(present)
		t.use(older)
	default:
		t.older = older
		t.file = present
		t.reader = bufio.NewReader(older)
	}
	return t, nil
}

func openLog(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	return file, nil
}

func closeLog(file *os.File) {
	if file != nil {
		_ = file.Close()
	}
}

func same(a, b *os.File) bool {
	if a == nil || b == nil {
		return false
	}
	infoA, errA := a.Stat()
	infoB, errB := b.Stat()
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

func (t *Tail) use(file *os.File) {
	t.file, t.reader = file, nil
	if file != nil {
		t.reader = bufio.NewReader(file)
	}
}

// Next returns the next event. io.EOF says that there is none yet.
func (t *Tail) Next() (Event, error) {
	for {
		line, err := t.line()
		if err != nil {
			return Event{}, err
		}
		var event Event
		if json.Unmarshal(line, &event) == nil {
			return event, nil
		}
		// A line that a crash has cut short is passed over.
	}
}

func (t *Tail) line() ([]byte, error) {
	for {
		if t.reader != nil {
			piece, err := t.reader.ReadBytes('\n')
			t.begun = append(t.begun, piece...)
			if err == nil {
				line := t.begun
				t.begun = nil
				return line, nil
			}
			if !errors.Is(err, io.EOF) {
				return nil, fmt.Errorf("read audit log: %w", err)
			}
		}
		more, err := t.turn()
		if err != nil {
			return nil, err
		}
		if !more {
			return nil, io.EOF
		}
	}
}

// turn goes on to the file that follows the one that was read to its end.
func (t *Tail) turn() (bool, error) {
	if t.older != nil {
		closeLog(t.older)
		t.older = nil
		t.use(t.file)
		return t.file != nil, nil
	}
	next, err := openLog(t.path)
	if next == nil || err != nil {
		return false, err
	}
	if same(next, t.file) {
		closeLog(next)
		return false, nil
	}
	// Nothing is written to a log once there is a new one, but it may have been
	// after its end was seen: so it is read once more before it is left.
	if t.file != nil {
		t.older, t.file = t.file, next
		return true, nil
	}
	t.use(next)
	return true, nil
}

// Close closes the files.
func (t *Tail) Close() {
	closeLog(t.older)
	closeLog(t.file)
}
