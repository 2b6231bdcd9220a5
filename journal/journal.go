// Package journal keeps logs of JSON lines that take no more than so much of the disk:
// one that is full becomes the older one, of which there is one. What stands in the
// lines, and who may read it, is decided elsewhere.
package journal

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// olderSuffix ends the name of the older one.
const olderSuffix = ".1"

// Log is one that is written. Its methods may be called from several goroutines.
type Log struct {
	path   string
	max    int64
	mu     sync.Mutex
	file   *os.File
	size   int64
	closed bool
}

// Open opens a log for appending, for its owner alone. Max bounds the file in bytes. The
// caller closes it.
func Open(path string, most int64) (*Log, error) {
	l := &Log{path: path, max: most}
	if err := l.open(); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *Log) open() error {
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return fmt.Errorf("open log: %w", err)
	}
	l.file, l.size = file, info.Size()
	return nil
}

// Append adds the value as one line. One that could not be added is lost, and the next
// may succeed again.
func (l *Log) Append(value any) error {
	line, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode log line: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.makeRoom(int64(len(line)) + 1); err != nil {
		return err
	}
	n, err := l.file.Write(append(line, '\n'))
	l.size += int64(n)
	if err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	return nil
}

// makeRoom sees to it that there is a file that so many bytes go into.
func (l *Log) makeRoom(more int64) error {
	switch {
	case l.closed:
		return fmt.Errorf("write log: %w", os.ErrClosed)
	case l.file == nil: // its last opening failed
		return l.open()
	case l.size == 0 || l.size+more <= l.max:
		return nil
	}
	if err := os.Rename(l.path, l.path+olderSuffix); err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	_ = l.file.Close()
	l.file = nil
	return l.open()
}

// Close ends the log.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// Read gives the lines of a log to show, the oldest first. What is not whole is left out.
// A log that isn't there is an error of fs.ErrNotExist.
func Read[T any](path string, show func(T) error) error {
	older := readFile(path+olderSuffix, show)
	if older != nil && !errors.Is(older, fs.ErrNotExist) {
		return older
	}
	err := readFile(path, show)
	if errors.Is(err, fs.ErrNotExist) && older == nil {
		return nil // it has just become the older one
	}
	return err
}

func readFile[T any](path string, show func(T) error) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewReaderSize(file, 128<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // it is being written, or was cut
		}
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		var value T
		if json.Unmarshal(line, &value) != nil {
			continue // what a full disk has left of a line
		}
		if err := show(value); err != nil {
			return err
		}
	}
}
