package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
)

// files answers a request for files. It is the command of the stream's session
// itself, with the powers of the agent and no more.
func (b *bottle) files(ctx context.Context, request neck.Request, stream neck.Stream) {
	defer func() { _ = stream.Close() }()
	work, err := filesWork(request)
	if err != nil {
		_ = stream.Refuse(err)
		return
	}
	if stream.Accept() != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	command := neck.NewCommand(stream)
	input, typed := io.Pipe()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		follow(command, typed)
		cancel()
		_ = stream.SetWriteDeadline(time.Now()) // nobody reads what is still to come
	}()
	if err := work(ctx, command, input); err != nil {
		_ = command.Fail(archive.KindOf(err))
	} else {
		_ = command.Exit(neck.ExitStatus{})
	}
	_ = input.Close() // what still comes is read away
	_ = stream.Close()
	// The client ends its side once it has read the exit.
	_ = stream.SetReadDeadline(time.Now().Add(hangUpTime))
	<-gone
}

// follow passes the client's input on until it is gone.
func follow(command *neck.Command, typed *io.PipeWriter) {
	for {
		event, err := command.Next()
		if err != nil {
			_ = typed.CloseWithError(errors.Join(io.ErrUnexpectedEOF, err))
			return
		}
		if event.EOF {
			_ = typed.Close()
			continue
		}
		if len(event.Input) > 0 {
			_, _ = typed.Write(event.Input) // nobody may read any more: the end has been said
		}
	}
}

// filesWork is what a request asks for.
func filesWork(request neck.Request) (func(context.Context, *neck.Command, io.Reader) error, error) {
	if request.Kind == neck.KindList {
		return func(ctx context.Context, command *neck.Command, _ io.Reader) error {
			return list(ctx, command.Stdout())
		}, nil
	}
	if request.Files == nil || !path.IsAbs(request.Files.Path) {
		return nil, fmt.Errorf("%s without an absolute path: %w", request.Kind, errdefs.ErrInvalidArgument)
	}
	if request.Kind == neck.KindPack {
		return func(ctx context.Context, command *neck.Command, _ io.Reader) error {
			return archive.PackPath(ctx, command.Stdout(), archive.OwnFiles{}, request.Files.Path)
		}, nil
	}
	return func(ctx context.Context, _ *neck.Command, input io.Reader) error {
		if request.Files.Parents {
			way := path.Dir(path.Clean(request.Files.Path))
			if strings.HasSuffix(request.Files.Path, "/") {
				way = path.Clean(request.Files.Path)
			}
			if err := os.MkdirAll(way, 0o755); err != nil { //nolint:gosec // all users of the image pass
				return err
			}
		}
		_, err := archive.Deliver(ctx, input, archive.Delivery{
			Files: archive.OwnFiles{}, To: request.Files.Path, Name: request.Files.Name,
			Options: archive.Options{Caps: archive.CopyCaps(request.Files.Bytes, request.Files.Entries)},
		})
		return err
	}, nil
}

// list lists the root file system, and nothing that is mounted on it.
func list(ctx context.Context, w io.Writer) error {
	mounted, err := mountPoints()
	if err != nil {
		return err
	}
	root, err := os.Open("/")
	if err != nil {
		return fmt.Errorf("open root: %w", err)
	}
	defer func() { _ = root.Close() }()
	return archive.WriteListing(ctx, w, root, func(path string) bool { return mounted[path] })
}

// mountPoints are the paths, without their first slash, that something is mounted
// on. The kernel escapes white space in them by octal numbers.
func mountPoints() (map[string]bool, error) {
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	points := map[string]bool{}
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) > 1 {
			points[strings.TrimPrefix(unescape.Replace(fields[1]), "/")] = true
		}
	}
	delete(points, "")
	return points, nil
}
