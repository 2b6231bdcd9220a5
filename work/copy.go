package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/hostgit"
	"github.com/containerd/errdefs"
)

// CopyOptions bound a copy of files to or from a bottle.
type CopyOptions struct {
	// Bytes and Entries are the most that is taken.
	Bytes   int64
	Entries int
	// Stall is how long the bottle may neither give nor take anything.
	Stall time.Duration
	// Git takes repositories of the bottle's home, too.
	Git bool
	// Done hears how many bytes have passed; nil hears nothing.
	Done func(bytes int64)
}

// Packer writes files as a tar stream. No error says that it is whole.
type Packer func(ctx context.Context, w io.Writer) error

// FromFiles packs what has that path.
func FromFiles(files archive.Files, path string) Packer {
	return func(ctx context.Context, w io.Writer) error { return archive.PackPath(ctx, w, files, path) }
}

// FromStream passes on a tar stream from elsewhere.
func FromStream(r io.Reader) Packer {
	return func(_ context.Context, w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	}
}

// CopyHome makes files of the host of those that pack writes: all that may come
// home, or none.
func CopyHome(ctx context.Context, pack Packer, to archive.Delivery, options CopyOptions) (archive.Summary, error) {
	to.Options, to.Flush = options.home(), true
	return carry(ctx, pack, options, func(ctx context.Context, r io.Reader) (archive.Summary, error) {
		return archive.Deliver(ctx, r, to)
	})
}

// CopyOut writes what may come home as a tar stream, below that name.
func CopyOut(ctx context.Context, pack Packer, w io.Writer, name string, options CopyOptions) (archive.Summary, error) {
	sift := archive.SiftOptions{Options: options.home(), Single: true, Name: name}
	return carry(ctx, pack, options, func(ctx context.Context, r io.Reader) (archive.Summary, error) {
		return archive.Sift(ctx, w, r, sift)
	})
}

// headName is the file without which git takes no directory for a repository.
const headName = "HEAD"

// home says what comes home: what can neither lead nor act by itself.
func (o CopyOptions) home() archive.Options {
	options := archive.Options{Caps: archive.CopyCaps(o.Bytes, o.Entries), Symlinks: archive.SymlinksInside}
	if !o.Git {
		options.Leave = func(name string) string {
			if hostgit.MeansRepository(name) {
				return "a repository of the bottle's"
			}
			if name == headName {
				return "git would take its directory for a repository"
			}
			return ""
		}
	}
	return options
}

// carry has take read what pack writes, until either ends.
func carry(ctx context.Context, pack Packer, options CopyOptions, take func(context.Context, io.Reader) (archive.Summary, error)) (archive.Summary, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := newStall(options, cancel)
	reader, writer := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := pack(ctx, watch.writer(writer))
		watch.end()
		_ = writer.CloseWithError(err)
		packed <- err
	}()
	summary, err := take(ctx, reader)
	if err != nil {
		cancel(err)
	}
	_ = reader.CloseWithError(errTaken)
	// When the source has failed the reader of the stream has no more to say.
	if packErr := <-packed; packErr != nil && errors.Is(err, packErr) {
		return summary, packErr
	}
	return summary, err
}

var errTaken = errors.New("no more is taken")

// CopyIn has unpack, which is the bottle's side, read what pack writes: below the
// name alone when the stream is to have one. The summary is of what goes in.
func CopyIn(ctx context.Context, pack Packer, name string, unpack func(context.Context, io.Reader) error, options CopyOptions) (archive.Summary, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	raw, packing := io.Pipe()
	sifted, sifting := io.Pipe()
	var summary archive.Summary
	ended := make(chan struct{})
	go func() { _ = packing.CloseWithError(pack(ctx, packing)) }()
	go func() {
		defer close(ended)
		var err error
		summary, err = archive.Sift(ctx, sifting, raw, archive.SiftOptions{
			Options: archive.Options{Caps: archive.CopyCaps(options.Bytes, options.Entries)}, Name: name,
		})
		_ = sifting.CloseWithError(err)
	}()
	watch := newStall(options, cancel)
	err := unpack(ctx, watch.reader(sifted, cancel))
	watch.end()
	if err != nil {
		cancel(err)
	}
	_ = sifted.CloseWithError(errTaken)
	<-ended
	_ = raw.CloseWithError(errTaken)
	return summary, err
}

// stall ends a copy whose bottle neither gives nor takes anything for too long.
// The time that the other end takes doesn't count.
type stall struct {
	limit time.Duration
	timer *time.Timer
	done  func(int64)
	bytes int64
	ended atomic.Bool
}

func newStall(options CopyOptions, cancel context.CancelCauseFunc) *stall {
	return &stall{limit: options.Stall, done: options.Done, timer: time.AfterFunc(options.Stall, func() {
		cancel(fmt.Errorf("the bottle has done nothing for %s: %w", options.Stall, errdefs.ErrUnavailable))
	})}
}

func (s *stall) end() {
	s.ended.Store(true)
	s.timer.Stop()
}

// other is time of the other end's.
func (s *stall) other(transfer func() (int, error)) (int, error) {
	s.timer.Stop()
	n, err := transfer()
	s.bytes += int64(n)
	if s.ended.Load() {
		return n, err
	}
	if s.done != nil {
		s.done(s.bytes)
	}
	s.timer.Reset(s.limit)
	return n, err
}

type writerFunc func([]byte) (int, error)

// Write implements io.Writer.
func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

type readerFunc func([]byte) (int, error)

// Read implements io.Reader.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func (s *stall) writer(w io.Writer) io.Writer {
	return writerFunc(func(p []byte) (int, error) {
		return s.other(func() (int, error) { return w.Write(p) })
	})
}

// reader reads from r. The first error that is not its end ends the copy.
func (s *stall) reader(r io.Reader, cancel context.CancelCauseFunc) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		n, err := s.other(func() (int, error) { return r.Read(p) })
		if err != nil && !errors.Is(err, io.EOF) {
			cancel(err)
		}
		return n, err
	})
}
