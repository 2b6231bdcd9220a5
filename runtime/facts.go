package runtime

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/claude-bottle/claude-bottle/image/bundle"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// What an image may have, whoever made it. Indices, manifests and configurations are
// read into memory whole.
const (
	largestMetadata = 8 << 20 // bytes, of each
	mostLayers      = 512
	mostEntries     = 2_000_000 // files and the like, of all layers
)

// facts are what an image says of itself, for this host's platform.
type facts struct {
	manifest ocispec.Manifest
	config   ocispec.Image
	layers   []ocispec.Descriptor // those that hold files, lowest first
}

// boundedStore reads what is small.
type boundedStore struct{ content.Provider }

// ReaderAt implements content.Provider.
func (s boundedStore) ReaderAt(ctx context.Context, blob ocispec.Descriptor) (content.ReaderAt, error) {
	reader, err := s.Provider.ReaderAt(ctx, blob)
	if err != nil {
		return nil, err
	}
	if size := reader.Size(); size > largestMetadata {
		_ = reader.Close() // nothing was read
		return nil, fmt.Errorf("%s has %d bytes, which is too much for a description of an image: %w", blob.Digest, size, errdefs.ErrResourceExhausted)
	}
	return reader, nil
}

// metadata is the content store for what is read whole.
func (c *Client) metadata() content.Provider { return boundedStore{c.client.ContentStore()} }

// read reads what an image says of itself. A NotFound error says that there is nothing
// for this platform, or that not all of it is here.
func (c *Client) read(ctx context.Context, target ocispec.Descriptor) (facts, error) {
	store := c.metadata()
	var found facts
	var err error
	if found.manifest, err = images.Manifest(ctx, store, target, hosts()); err != nil {
		return facts{}, err
	}
	data, err := content.ReadBlob(ctx, store, found.manifest.Config)
	if err != nil {
		return facts{}, fmt.Errorf("read configuration: %w", err)
	}
	if err := json.Unmarshal(data, &found.config); err != nil {
		return facts{}, fmt.Errorf("read configuration: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	for _, layer := range found.manifest.Layers {
		if images.IsLayerType(layer.MediaType) {
			found.layers = append(found.layers, layer)
		}
	}
	switch diffs := len(found.config.RootFS.DiffIDs); {
	case diffs == 0:
		return facts{}, fmt.Errorf("it holds no files: it is no image that a bottle can run: %w", errdefs.ErrInvalidArgument)
	case diffs != len(found.layers) || diffs > mostLayers:
		return facts{}, fmt.Errorf("it has %d layers and names %d of them, at most %d: %w", len(found.layers), diffs, mostLayers, errdefs.ErrInvalidArgument)
	}
	return found, nil
}

// lacks names what is not here of an image that was read.
func (c *Client) lacks(ctx context.Context, target ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	_, _, _, missing, err := images.Check(ctx, c.client.ContentStore(), target, hosts())
	return missing, err
}

// chain names the snapshot of the lowest so many layers; 0 is all of them.
func (f facts) chain(layers int) string {
	if layers == 0 {
		layers = len(f.config.RootFS.DiffIDs)
	}
	return identity.ChainID(f.config.RootFS.DiffIDs[:layers:layers]).String()
}

// limits are those of an image of at most so many bytes.
func limits(most int64) bundle.Limits { return bundle.Limits{Bytes: most, Entries: mostEntries} }

// unpack makes the snapshots of an image. The daemon takes any size, so that each layer
// is measured first: a small one may hold more than any disk.
func (c *Client) unpack(ctx context.Context, found client.Image, bounds bundle.Limits) error {
	image, err := c.read(ctx, found.Target())
	if err != nil {
		return err
	}
	snapshots := c.client.SnapshotService(snapshotter)
	for i, layer := range image.layers {
		if _, err := snapshots.Stat(ctx, image.chain(i+1)); err == nil {
			continue
		}
		size, err := c.measure(ctx, layer, bounds)
		if err != nil {
			return fmt.Errorf("layer %s: %w", layer.Digest, err)
		}
		bounds.Bytes -= size.Bytes
		bounds.Entries -= size.Entries
	}
	return c.unblocked(ctx, func() error { return found.Unpack(ctx, snapshotter) })
}

func (c *Client) measure(ctx context.Context, layer ocispec.Descriptor, bounds bundle.Limits) (bundle.Size, error) {
	reader, err := c.client.ContentStore().ReaderAt(ctx, layer)
	if err != nil {
		return bundle.Size{}, err
	}
	defer func() { _ = reader.Close() }() // it was read only
	const chunk = 1 << 20                 // each read is a call to the daemon
	size, _, err := bundle.Measure(bufio.NewReaderSize(content.NewReader(reader), chunk), bounds, io.Discard)
	return size, err
}
