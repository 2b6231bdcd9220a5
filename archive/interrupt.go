package archive

import (
	"context"
	"io"
)

type readFunc func([]byte) (int, error)

// Read implements io.Reader.
func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// until reads from r as long as ctx lasts, also while r stalls. A read that is
// under way by then is left behind: it ends when the owner of r closes it.
func until(ctx context.Context, r io.Reader) io.Reader {
	type result struct {
		n   int
		err error
	}
	return readFunc(func(p []byte) (int, error) {
		done := make(chan result, 1)
		go func() {
			n, err := r.Read(p)
			done <- result{n, err}
		}()
		select {
		case got := <-done:
			return got.n, got.err
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	})
}
