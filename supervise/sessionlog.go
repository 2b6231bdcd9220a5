package supervise

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// maxSessionLog bounds the log of a session, in bytes; when it is full it becomes the
// older one, of which there is one.
const maxSessionLog = 16 << 20

// Said is a piece of what claude has said in a session that goes on without a client:
// one line of the log in its JSON form.
type Said struct {
	Time time.Time `json:"time"`
	// Offset counts the bytes of the session up to the end of this piece.
	Offset int64  `json:"offset"`
	Stream string `json:"stream"` // stdout or stderr; all of a terminal is stdout
	Data   []byte `json:"data,omitempty"`
	// Lost are bytes before this piece that nobody has taken down.
	Lost int64 `json:"lost,omitempty"`
}

// sessionLog takes down what claude says. A disk that is full loses pieces, and does not
// hold claude back.
type sessionLog struct {
	path   string
	logger *log.Entry
	mu     sync.Mutex
	file   *os.File
	size   int64
	offset int64
	failed bool
}

// openSessionLog goes on with the log that is there. With again the session goes on,
// too: its offset is where the log ends.
func openSessionLog(ctx context.Context, state string, again bool) (*sessionLog, error) {
	l := &sessionLog{path: filepath.Join(state, backend.StateLog), logger: log.G(ctx)}
	if again {
		err := ReadSessionLog(state, func(piece Said) error {
			l.offset = piece.Offset
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return l, l.open()
}

func (l *sessionLog) open() error {
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("open session log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return fmt.Errorf("open session log: %w", err)
	}
	l.file, l.size = file, info.Size()
	return nil
}

func (l *sessionLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.file.Close()
}

// outlet is a writer of one stream.
func (l *sessionLog) outlet(stream string) io.Writer { return outlet{l, stream} }

type outlet struct {
	log    *sessionLog
	stream string
}

// Write implements io.Writer. It never fails.
func (o outlet) Write(data []byte) (int, error) {
	o.log.mu.Lock()
	defer o.log.mu.Unlock()
	o.log.offset += int64(len(data))
	o.log.add(Said{Time: time.Now().UTC(), Offset: o.log.offset, Stream: o.stream, Data: data})
	return len(data), nil
}

// goesOn notes where what follows begins.
func (l *sessionLog) goesOn(at neck.Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.offset = at.Offset
	if at.Lost > 0 {
		l.add(Said{Time: time.Now().UTC(), Offset: at.Offset, Stream: "stdout", Lost: at.Lost})
	}
}

func (l *sessionLog) add(piece Said) {
	line, err := json.Marshal(piece)
	if err == nil && l.size > maxSessionLog {
		_ = l.file.Close()
		err = errors.Join(os.Rename(l.path, l.path+".1"), l.open())
	}
	if err == nil {
		var n int
		n, err = l.file.Write(append(line, '\n'))
		l.size += int64(n)
	}
	if err != nil && !l.failed {
		l.logger.WithError(err).Error("write session log")
	}
	l.failed = err != nil
}

// ReadSessionLog gives what a bottle has said to show, in order. State is its state
// directory. A bottle that has no such log is a NotFound error of io/fs.
func ReadSessionLog(state string, show func(Said) error) error {
	path := filepath.Join(state, backend.StateLog)
	older := readLog(path+".1", show)
	if older != nil && !errors.Is(older, fs.ErrNotExist) {
		return older
	}
	err := readLog(path, show)
	if errors.Is(err, fs.ErrNotExist) && older == nil {
		return nil // it has just become the older one
	}
	return err
}

func readLog(path string, show func(Said) error) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open session log: %w", err)
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewReaderSize(file, 128<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // what is not whole is being written, or was cut
		}
		if err != nil {
			return fmt.Errorf("read session log: %w", err)
		}
		var piece Said
		if json.Unmarshal(line, &piece) != nil {
			continue // what a full disk has left of a line
		}
		if err := show(piece); err != nil {
			return err
		}
	}
}
