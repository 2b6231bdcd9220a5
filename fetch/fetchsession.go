package fetch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// Codes that fetchScript ends with.
const (
	exitNoRepository = 66
	exitNoGit        = 69
)

// outflow is what git inside says, while it says it. All of it is bounded: its
// time, its silence, and what is kept of its complaints.
type outflow struct {
	reader *bufio.Reader
	close  func() // breaks the session off, and waits for its end
}

// flow runs fetchScript.
func flow(ctx context.Context, inside backend.Inside, haves []string, thin bool, bounds limits) *outflow {
	ctx, cancel := context.WithCancelCause(ctx)
	ctx, expired := context.WithTimeoutCause(ctx, bounds.total,
		fmt.Errorf("the bottle did not bring its work out within %s: %w", bounds.total, context.DeadlineExceeded))
	argv := []string{"sh", "-c", fetchScript, "sh"}
	if thin {
		argv = append(argv, "--thin")
	}
	read, write := io.Pipe()
	watch := time.AfterFunc(bounds.idle, func() {
		cancel(fmt.Errorf("git in the bottle said nothing for %s: %w", bounds.idle, context.DeadlineExceeded))
	})
	out := &watched{to: write, touch: func() { watch.Reset(bounds.idle) }}
	complaints := &lastWords{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		code, err := inside.Exec(ctx, argv, nil, backend.Terminal{
			In:  strings.NewReader(strings.Join(haves, "\n") + "\n"),
			Out: out, Err: &watched{to: complaints, touch: out.touch},
		})
		if err = howEnded(code, err, complaints.String()); ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		_ = write.CloseWithError(err) // nil is the end of the pack
	}()
	return &outflow{reader: bufio.NewReaderSize(read, maxListingLine), close: func() {
		cancel(context.Canceled)
		_ = read.Close()
		<-ended
		watch.Stop()
		expired()
	}}
}

// howEnded turns the end of the script into an error, or nil.
func howEnded(code int, err error, said string) error {
	switch {
	case err != nil:
		return err
	case code == 0:
		return nil
	case code == exitNoRepository:
		return fmt.Errorf("the bottle's workspace is no git repository: take its files with `claude-bottle diff`, `apply` or `cp`: %w", errdefs.ErrFailedPrecondition)
	case code == exitNoGit:
		return fmt.Errorf("the bottle's image has no git: take files with `claude-bottle diff`, `apply` or `cp`: %w", errdefs.ErrFailedPrecondition)
	default:
		return fmt.Errorf("git in the bottle ended with code %d, saying %s: %w", code, backend.Printable(said), errdefs.ErrAborted)
	}
}

// watched passes on what is written, and says that something was.
type watched struct {
	to    io.Writer
	touch func()
}

// Write implements io.Writer.
func (w *watched) Write(p []byte) (int, error) {
	w.touch()
	n, err := w.to.Write(p)
	w.touch() // a slow reader is no silence of the bottle's
	return n, err
}

// maxLastWords bounds what is shown of the complaints of git inside, in bytes.
const maxLastWords = 500

// lastWords keeps the end of what is written.
type lastWords struct {
	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer.
func (l *lastWords) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p[max(0, len(p)-maxLastWords):]...)
	l.text = l.text[max(0, len(l.text)-maxLastWords):]
	return len(p), nil
}

// String is the last line of it, as a terminal would show it.
func (l *lastWords) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSpace(string(l.text))
	return strings.TrimSpace(text[strings.LastIndexAny(text, "\r\n")+1:])
}

// broken is why reading from the bottle failed, when ctx knows it better.
func broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it breaks off", errListing)
	}
	return err
}
