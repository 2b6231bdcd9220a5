package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/klauspost/compress/zstd"
)

// errImported ends who still writes then.
var errImported = errors.New("the import has ended")

// MakeImage makes an image of one layer, of the tar that write writes, in place of what
// has that name. The labels are for the name. The same tar makes the same image.
func (c *Client) MakeImage(ctx context.Context, name string, most int64, labels map[string]string, write func(context.Context, io.Writer) error, progress backend.Progress) (Image, error) {
	making, cancel := context.WithCancel(ctx) // ends the writer when the import fails
	defer cancel()
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := writePacked(making, writer, write)
		_ = writer.CloseWithError(err) // it never fails
		ended <- err
	}()
	list, err := c.importAs(ctx, backend.ImageImport{Archive: reader, Files: true, Name: name, MaxSize: most, Replace: true}, labels, nil, quietBytes{progress})
	_ = reader.CloseWithError(errImported) // it never fails
	cancel()
	// What kept the tar from being written says more than that it broke off.
	if writeErr := <-ended; err != nil && writeErr != nil && !errors.Is(writeErr, errImported) && ctx.Err() == nil {
		return Image{}, writeErr
	}
	if err != nil {
		return Image{}, err
	}
	if len(list) != 1 {
		return Image{}, fmt.Errorf("make image %s: %d images came", name, len(list))
	}
	return c.ResolveLocalImage(ctx, name)
}

// writePacked packs what is written. One goroutine: the same bytes on every machine.
func writePacked(ctx context.Context, w io.Writer, write func(context.Context, io.Writer) error) error {
	encoder, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("pack files: %w", err)
	}
	return errors.Join(write(ctx, encoder), encoder.Close())
}

// quietBytes leaves the bar to who makes the tar: it knows how much is to come.
type quietBytes struct{ backend.Progress }

// Bytes implements backend.Progress.
func (quietBytes) Bytes(string, int64, int64) {}
