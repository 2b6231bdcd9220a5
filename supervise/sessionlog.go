package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/journal"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/log"
)

// maxSessionLog bounds the log of a session, in bytes.
const maxSessionLog = 16 << 20

// Said is a piece of what claude has said in a session that goes on without a client:
// one line of the log in its JSON form.
type Said struct {
	Time time.Time `json:"time"`
	// Offset counts the bytes of the session up to the end of this piece. It begins anew
	// when claude is started again.
	Offset int64  `json:"offset"`
	Stream string `json:"stream"` // stdout or stderr; all of a terminal is stdout
	Data   []byte `json:"data,omitempty"`
	// Lost are bytes before this piece that nobody has taken down.
	Lost int64 `json:"lost,omitempty"`
}

// sessionLog takes down what claude says. A disk that is full loses pieces, and does not
// hold claude back.
type sessionLog struct {
	log    *journal.Log
	logger *log.Entry
	mu     sync.Mutex
	offset int64
	failed bool
}

// openSessionLog goes on with the log that is there. With again the session goes on,
// too: its offset is where the log ends.
func openSessionLog(ctx context.Context, state string, again bool) (*sessionLog, error) {
	l := &sessionLog{logger: log.G(ctx)}
	if again {
		err := ReadSessionLog(state, func(piece Said) error {
			l.offset = piece.Offset
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	opened, err := journal.Open(filepath.Join(state, backend.StateLog), maxSessionLog)
	if err != nil {
		return nil, fmt.Errorf("take down session: %w", err)
	}
	l.log = opened
	return l, nil
}

func (l *sessionLog) close() { _ = l.log.Close() }

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

// begins notes that a session begins, and with it the count of its bytes.
func (l *sessionLog) begins() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.offset = 0
	l.add(Said{Time: time.Now().UTC(), Stream: "stdout"})
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
	err := l.log.Append(piece)
	if err != nil && !l.failed {
		l.logger.WithError(err).Error("write session log")
	}
	l.failed = err != nil
}

// ReadSessionLog gives what a bottle has said to show, in order. State is its state
// directory. A bottle that has no such log is a NotFound error of io/fs.
func ReadSessionLog(state string, show func(Said) error) error {
	return journal.Read(filepath.Join(state, backend.StateLog), show)
}
