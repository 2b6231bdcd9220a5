package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLog bounds the log in bytes; the older one beside it is as large at most.
const maxLog = 4 << 20

func (e *Engine) olderLog() string { return e.Log() + ".1" }

func (e *Engine) openLog() (*os.File, error) {
	file, err := os.OpenFile(e.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log of the engine: %w", err)
	}
	return file, nil
}

// shortenLog makes a log that is full the older one. It is copied and cut, since the
// daemon and its shims go on writing to the very file.
func (e *Engine) shortenLog() error {
	info, err := os.Stat(e.Log())
	if err != nil || info.Size() <= maxLog {
		return nil //nolint:nilerr // somebody has removed it: nothing is too long
	}
	log, err := os.OpenFile(e.Log(), os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("open log of the engine: %w", err)
	}
	defer func() { _ = log.Close() }()
	older, err := os.OpenFile(e.olderLog(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("open older log of the engine: %w", err)
	}
	// What matters of a flood is its end.
	_, seekErr := log.Seek(-min(info.Size(), maxLog), io.SeekEnd)
	_, copyErr := io.Copy(older, io.LimitReader(log, maxLog))
	if err := errors.Join(seekErr, copyErr, older.Close(), log.Truncate(0)); err != nil {
		return fmt.Errorf("shorten log of the engine: %w", err)
	}
	return nil
}

// ReadLog shows the log from its beginning, and with follow goes on until ctx ends. A log
// that isn't there is an error of fs.ErrNotExist.
func (e *Engine) ReadLog(ctx context.Context, w io.Writer, follow bool) error {
	_, err := showFrom(w, e.olderLog(), 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	offset, err := showFrom(w, e.Log(), 0)
	for err == nil && follow {
		if sleep(ctx, 10*pause) != nil {
			return nil
		}
		if info, statErr := os.Stat(e.Log()); statErr == nil && info.Size() < offset {
			offset = 0 // it was cut
		}
		offset, err = showFrom(w, e.Log(), offset)
	}
	return err
}

func showFrom(w io.Writer, path string, offset int64) (int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return offset, fmt.Errorf("open log of the engine: %w", err)
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return offset, fmt.Errorf("read log of the engine: %w", err)
	}
	n, err := io.Copy(w, file)
	if err != nil {
		return offset + n, fmt.Errorf("show log of the engine: %w", err)
	}
	return offset + n, nil
}

// tail is the last lines of the log, to stand at the end of an error.
func (e *Engine) tail() string {
	data, err := os.ReadFile(e.Log())
	if err != nil || len(data) == 0 {
		return ""
	}
	const lines, most = 5, 2000
	data = data[max(0, len(data)-most):]
	last := strings.Split(strings.TrimSpace(string(data)), "\n")
	return ":\n" + strings.Join(last[max(0, len(last)-lines):], "\n")
}
