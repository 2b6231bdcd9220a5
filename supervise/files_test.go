package supervise

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
)

// packer opens the neck as a PID 1 that answers requests for files so.
func (r *running) packer(answer func(*neck.Command)) {
	r.Helper()
	r.guest(func(request neck.Request, stream neck.Stream) {
		if request.Files != nil {
			answer(neck.NewCommand(stream))
		}
	})
}

// TestF26_AStreamThatIsNotWholeIsAnError: whatever has come by then, only the last
// word of the bottle makes it a whole one.
func TestF26_AStreamThatIsNotWholeIsAnError(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(*neck.Command)
		want   func(error) bool
	}{
		"whole":   {func(c *neck.Command) { _ = c.Exit(neck.ExitStatus{}) }, func(err error) bool { return err == nil }},
		"cut":     {func(*neck.Command) {}, func(err error) bool { return errors.Is(err, neck.ErrLinkLost) }},
		"refused": {func(c *neck.Command) { _ = c.Fail(errdefs.ErrNotFound) }, errdefs.IsNotFound},
		"failed":  {func(c *neck.Command) { _ = c.Exit(neck.ExitStatus{Code: 2}) }, func(err error) bool { return err != nil }},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, nil)
			r.packer(func(c *neck.Command) {
				_, _ = c.Stdout().Write([]byte("stream"))
				test.answer(c)
			})
			var out bytes.Buffer
			if err := r.client.Pack(t.Context(), "/x", &out); !test.want(err) || out.String() != "stream" {
				t.Errorf("got %q, %v", out.String(), err)
			}
		})
	}
}

// TestT17_ASilentBottleEndsWithTheCall: nothing comes, and nothing is taken.
func TestT17_ASilentBottleEndsWithTheCall(t *testing.T) {
	r := run(t, nil)
	release := make(chan struct{})
	r.packer(func(*neck.Command) { <-release })
	defer close(release)
	cause := errors.New("no progress")
	for name, call := range map[string]func(context.Context) error{
		"pack": func(ctx context.Context) error { return r.client.Pack(ctx, "/x", io.Discard) },
		"unpack": func(ctx context.Context) error {
			return r.client.Unpack(ctx, &neck.FilesRequest{Path: "/x"}, endless{})
		},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- call(ctx) }()
		cancel(cause)
		if err := <-ended; !errors.Is(err, cause) {
			t.Errorf("%s ended with %v", name, err)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestUnpackedInputArrivesWhole(t *testing.T) {
	r := run(t, nil)
	var got bytes.Buffer
	r.packer(func(c *neck.Command) {
		for {
			event, err := c.Next()
			if err != nil || event.EOF {
				break
			}
			got.Write(event.Input)
		}
		_ = c.Exit(neck.ExitStatus{})
	})
	sent := strings.Repeat("0123456789", 200_000)
	if err := r.client.Unpack(t.Context(), &neck.FilesRequest{Path: "/x"}, strings.NewReader(sent)); err != nil {
		t.Fatal(err)
	}
	if got.String() != sent {
		t.Errorf("%d of %d bytes arrived", got.Len(), len(sent))
	}
}
