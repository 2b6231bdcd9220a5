package runtime

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/image/bundle"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// importBound bounds an import: the stream may come from a slow network.
const importBound = 2 * time.Hour

// named is an image that was read, and what it is to be called.
type named struct {
	name   string
	target ocispec.Descriptor
}

// ImportImage takes the images of an archive, or makes one of a root file system. They
// get their names once they are whole and unpacked; of what failed nothing stays.
func (c *Client) ImportImage(ctx context.Context, wish backend.ImageImport, needed func(name, digest string) bool, progress backend.Progress) ([]backend.Image, error) {
	return c.importAs(ctx, wish, saidOf(map[string]string{backend.LabelRecipe: wish.Recipe}), needed, progress)
}

// importAs is ImportImage with these labels for the names.
func (c *Client) importAs(ctx context.Context, wish backend.ImageImport, labels map[string]string, needed func(name, digest string) bool, progress backend.Progress) (_ []backend.Image, err error) {
	if wish.Name != "" {
		if wish.Name, _, err = normalize(wish.Name); err != nil {
			return nil, err
		}
	}
	// Before the room is needed: nothing of an import can be gone on with.
	if _, dropErr := c.dropCut(ctx, importing); dropErr != nil { // they end by their own time
		log.G(ctx).WithError(dropErr).Debug("drop what was cut of imports")
	}
	ctx, held, err := c.lease(ctx, importing, moveLease)
	if err != nil {
		return nil, err
	}
	defer func() {
		err = c.NoRoom(ctx, errors.Join(err, held.release(ctx, err != nil)))
	}()
	ctx, cancel := c.boundedBy(ctx, importBound)
	defer cancel()
	list, err := c.take(ctx, wish, progress)
	if err != nil {
		return nil, c.failed(ctx, "import image", err)
	}
	var done []backend.Image
	for _, one := range list {
		if err := c.adopt(ctx, one, wish, progress); err != nil {
			return nil, c.failed(ctx, "import image "+backend.Printable(one.name), err)
		}
	}
	for _, one := range list { // all or none
		if err := c.name(ctx, one.name, one.target, labels, needed); err != nil {
			return nil, err
		}
		seen, _, err := c.look(ctx, images.Image{Name: one.name, Target: one.target, CreatedAt: time.Now()})
		if err != nil {
			return nil, c.failed(ctx, "read image "+one.name, err)
		}
		done = append(done, seen)
	}
	return done, nil
}

// take puts what the stream holds into the store, under names that only this import
// has, and says which images came.
func (c *Client) take(ctx context.Context, wish backend.ImageImport, progress backend.Progress) ([]named, error) {
	store := ownIngests{Store: c.client.ContentStore(), prefix: "import-" + rand.Text() + "-"}
	var stream io.Reader
	kind := bundle.KindImages
	if wish.Directory == "" {
		var err error
		stream = interruptible(ctx, &counted{Reader: wish.Archive, total: wish.Size, progress: progress})
		if kind, stream, err = bundle.Guess(stream); err != nil {
			return nil, err
		}
		if wish.Files {
			kind = bundle.KindFiles
		}
	}
	if kind == bundle.KindFiles {
		if wish.Name == "" {
			return nil, fmt.Errorf("it is the tar of a root file system, which says no name: add --name: %w", errdefs.ErrInvalidArgument)
		}
		target, err := c.takeFiles(ctx, store, stream, limits(wish.MaxSize))
		return []named{{wish.Name, target}}, err
	}
	reader, writer := io.Pipe()
	go func() {
		var err error
		if wish.Directory != "" {
			err = bundle.Layout(writer, wish.Directory)
		} else {
			err = bundle.Sift(writer, stream, limits(wish.MaxSize))
		}
		_ = writer.CloseWithError(err) // it never fails
	}()
	index, err := archive.ImportIndex(ctx, store, reader)
	_ = reader.CloseWithError(errImported) // it never fails
	switch {
	case err != nil && strings.Contains(err.Error(), "unrecognized image format"): // it has no kind
		return nil, fmt.Errorf("it has neither an index nor a manifest of images: --files imports the tar of a root file system: %w", errdefs.ErrInvalidArgument)
	case err != nil:
		return nil, err
	}
	return c.choose(ctx, index, wish)
}

// interruptible is a stream that ends with ctx: who reads from a terminal or a pipe may
// wait for ever.
func interruptible(ctx context.Context, stream io.Reader) io.Reader {
	reader, writer := io.Pipe()
	context.AfterFunc(ctx, func() { _ = writer.CloseWithError(context.Cause(ctx)) })
	go func() {
		_, err := io.CopyBuffer(writer, stream, make([]byte, 256<<10))
		_ = writer.CloseWithError(err) // it never fails
	}()
	return reader
}

// counted tells how much was read of a stream, each time that it is a step further.
type counted struct {
	io.Reader

	progress          backend.Progress
	read, told, total int64
}

// Read implements io.Reader.
func (c *counted) Read(buffer []byte) (int, error) {
	const step = 4 << 20
	n, err := c.Reader.Read(buffer)
	c.read += int64(n)
	if c.read-c.told >= step || c.told == 0 || err != nil {
		c.told = c.read
		c.progress.Bytes("importing", c.read, c.total)
	}
	return n, err
}

// ownIngests is a store in which no two imports take up each other's transfers: their
// names are those of the archive's files.
type ownIngests struct {
	content.Store

	prefix string
}

// Writer implements content.Ingester.
func (s ownIngests) Writer(ctx context.Context, options ...content.WriterOpt) (content.Writer, error) {
	var wish content.WriterOpts
	for _, option := range options {
		if err := option(&wish); err != nil {
			return nil, err
		}
	}
	return s.Store.Writer(ctx, content.WithRef(s.prefix+wish.Ref), content.WithDescriptor(wish.Desc))
}

// ReaderAt implements content.Provider. What is read as a description is bounded.
func (s ownIngests) ReaderAt(ctx context.Context, blob ocispec.Descriptor) (content.ReaderAt, error) {
	if described(blob.MediaType) {
		return boundedStore{s.Store}.ReaderAt(ctx, blob)
	}
	return s.Store.ReaderAt(ctx, blob)
}

// adopt checks that an image is whole and for this host, ties its parts together for
// the garbage collector, and unpacks it.
func (c *Client) adopt(ctx context.Context, one named, wish backend.ImageImport, progress backend.Progress) error {
	known, err := c.read(ctx, one.target)
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("the archive has not all of it, or nothing for this host's platform, %s: %w", HostPlatform(), err)
	}
	if err != nil {
		return err
	}
	if !hosts().Match(known.config.Platform) {
		return fmt.Errorf("it is for %s, this host is %s: %w", shownPlatform(known.config.Platform), HostPlatform(), errdefs.ErrFailedPrecondition)
	}
	missing, err := c.lacks(ctx, one.target)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("the archive lacks %s: %w", missing[0].Digest, errdefs.ErrNotFound)
	}
	store := c.client.ContentStore()
	handler := images.FilterPlatforms(images.ChildrenHandler(c.metadata()), hosts())
	if err := images.Walk(ctx, images.SetChildrenLabels(store, handler), one.target); err != nil {
		return err
	}
	progress.Bytes("unpacking "+one.name, 0, 0)
	ended := progress.Step("unpack image")
	err = c.unpack(ctx, client.NewImage(c.client, images.Image{Name: one.name, Target: one.target}), limits(wish.MaxSize))
	ended(err)
	return err
}
