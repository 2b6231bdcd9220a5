package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/rootfs"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Bounds of what a commit takes.
const (
	commitBound = 30 * time.Minute
	maxDocument = 4 << 20 // manifest and configuration of an image, in bytes
	watchPause  = 200 * time.Millisecond
)

// labelUncompressed is where the daemon looks for the digest of what a layer unpacks to.
const labelUncompressed = "containerd.io/uncompressed"

// Step is one layer that is to be put onto an image.
type Step struct {
	Parent   Image
	Snapshot string // frozen
	// Name is that of the new image, Labels are for it.
	Name   string
	Labels map[string]string
	// CreatedBy and Created stand in the image's history, Env in its configuration.
	CreatedBy string
	Created   time.Time
	Env       []string
	// Rewrite makes the layer out of the difference, both as tar streams.
	Rewrite func(difference io.Reader, layer io.Writer) error
	// Bytes bounds the difference.
	Bytes int64
}

// Freeze makes a writable snapshot one that nobody can take away any more: whoever
// takes its bottle down finds none. What is written to it until then is in it. ctx
// has a lease, which holds it.
func (c *Client) Freeze(ctx context.Context, key, frozen string) error {
	ctx, cancel := c.boundedBy(context.WithoutCancel(ctx), removeBound) // its size is counted
	defer cancel()
	if err := c.client.SnapshotService(snapshotter).Commit(ctx, frozen, key); err != nil {
		return c.failed(ctx, "freeze snapshot "+key, err)
	}
	return nil
}

// Written is how much a snapshot takes of the disk, beside what it was made of.
func (c *Client) Written(ctx context.Context, key string) (int64, error) {
	ctx, cancel := c.boundedBy(ctx, removeBound)
	defer cancel()
	usage, err := c.client.SnapshotService(snapshotter).Usage(ctx, key)
	if err != nil {
		return 0, c.failed(ctx, "measure snapshot "+key, err)
	}
	return usage.Size, nil
}

// CommitStep makes an image of its parent and one layer more, and unpacks it. ctx has
// a lease; the name of the image is made last.
func (c *Client) CommitStep(ctx context.Context, step Step) (Image, error) {
	ctx, cancel := c.boundedBy(ctx, commitBound)
	defer cancel()
	manifest, config, err := c.documents(ctx, step.Parent)
	if err != nil {
		return Image{}, err
	}
	difference, err := c.difference(ctx, step)
	if err != nil {
		return Image{}, err
	}
	packed, plain, err := c.writeLayer(ctx, step, difference)
	if err != nil {
		return Image{}, err
	}
	manifest.Layers = append(manifest.Layers, packed)
	config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, plain)
	config.History = append(config.History, ocispec.History{Created: &step.Created, CreatedBy: step.CreatedBy})
	config.Created = &step.Created
	// All that a hostile parent says of itself ends here.
	config.Author, config.Config = "", ocispec.ImageConfig{Env: step.Env, Cmd: []string{"sh"}}
	target, err := c.writeImage(ctx, step, manifest, config)
	if err != nil {
		return Image{}, err
	}
	if err := c.NameImage(ctx, step.Name, target.Digest.String(), step.Labels); err != nil {
		return Image{}, err
	}
	found, err := c.client.GetImage(ctx, step.Name)
	if err != nil {
		return Image{}, c.failed(ctx, "look for image "+step.Name, err)
	}
	if err := c.unblocked(ctx, func() error { return found.Unpack(ctx, snapshotter) }); err != nil {
		return Image{}, c.failed(ctx, "unpack image "+step.Name, err)
	}
	return c.describe(ctx, found, target.Digest.String())
}

// documents reads the manifest of an image for this platform, and its configuration.
func (c *Client) documents(ctx context.Context, image Image) (ocispec.Manifest, ocispec.Image, error) {
	var config ocispec.Image
	store := c.client.ContentStore()
	target, err := c.client.ImageService().Get(ctx, image.Reference)
	if err != nil {
		return ocispec.Manifest{}, config, c.failed(ctx, "look for image "+image.Reference, err)
	}
	manifest, err := images.Manifest(ctx, store, target.Target, hosts())
	if err != nil {
		return ocispec.Manifest{}, config, c.failed(ctx, "read manifest of "+image.Reference, err)
	}
	if manifest.Config.Size > maxDocument {
		return ocispec.Manifest{}, config, fmt.Errorf("the configuration of image %s has %d bytes: %w", image.Reference, manifest.Config.Size, errdefs.ErrResourceExhausted)
	}
	data, err := content.ReadBlob(ctx, store, manifest.Config)
	if err != nil {
		return ocispec.Manifest{}, config, c.failed(ctx, "read configuration of "+image.Reference, err)
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return ocispec.Manifest{}, config, fmt.Errorf("read configuration of %s: %w", image.Reference, errors.Join(err, errdefs.ErrInvalidArgument))
	}
	for i := range manifest.Layers {
		manifest.Layers[i] = ocispec.Descriptor{MediaType: ociLayerType(manifest.Layers[i].MediaType), Digest: manifest.Layers[i].Digest, Size: manifest.Layers[i].Size}
	}
	return manifest, config, nil
}

// ociLayerType is the OCI's word for a kind of layer.
func ociLayerType(kind string) string {
	switch kind {
	case images.MediaTypeDockerSchema2Layer:
		return ocispec.MediaTypeImageLayer
	case images.MediaTypeDockerSchema2LayerGzip:
		return ocispec.MediaTypeImageLayerGzip
	case images.MediaTypeDockerSchema2LayerZstd:
		return ocispec.MediaTypeImageLayerZstd
	default:
		return kind
	}
}

// difference has the daemon write down what the snapshot changes. It is broken off
// when it grows too large: a file that is a hole takes nothing up to here.
func (c *Client) difference(ctx context.Context, step Step) (ocispec.Descriptor, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ingest := "claude-bottle-difference-" + step.Snapshot
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		tick := time.NewTicker(watchPause)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if status, err := c.client.ContentStore().Status(ctx, ingest); err == nil && status.Offset > step.Bytes {
				cancel(fmt.Errorf("the files of the step are more than %s: %w", backend.Bytes(step.Bytes), errdefs.ErrResourceExhausted))
			}
		}
	}()
	found, err := rootfs.CreateDiff(ctx, step.Snapshot, c.client.SnapshotService(snapshotter), c.client.DiffService(),
		diff.WithMediaType(ocispec.MediaTypeImageLayer), diff.WithReference(ingest))
	if err != nil {
		err = c.failed(ctx, "compare snapshot "+step.Snapshot, err)
		undo, done := c.bounded(context.WithoutCancel(ctx))
		defer done()
		if abortErr := c.client.ContentStore().Abort(undo, ingest); abortErr != nil && !errdefs.IsNotFound(abortErr) {
			err = errors.Join(err, fmt.Errorf("drop difference: %w", abortErr))
		}
	}
	cancel(nil)
	<-watched
	return found, err
}

// writeLayer rewrites and packs the difference.
func (c *Client) writeLayer(ctx context.Context, step Step, difference ocispec.Descriptor) (packed ocispec.Descriptor, plain digest.Digest, err error) {
	store := c.client.ContentStore()
	reader, err := store.ReaderAt(ctx, difference)
	if err != nil {
		return packed, "", c.failed(ctx, "read difference", err)
	}
	defer func() { _ = reader.Close() }()
	ingest := "claude-bottle-layer-" + step.Snapshot
	writer, err := content.OpenWriter(ctx, store, content.WithRef(ingest))
	if err != nil {
		return packed, "", c.failed(ctx, "write layer", err)
	}
	defer func() {
		_ = writer.Close()
		if err != nil {
			undo, done := c.bounded(context.WithoutCancel(ctx))
			defer done()
			_ = store.Abort(undo, ingest)
		}
	}()
	sums := digest.SHA256.Digester()
	// One goroutine: the same bytes on every machine.
	encoder, err := zstd.NewWriter(writer, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return packed, "", fmt.Errorf("pack layer: %w", err)
	}
	err = step.Rewrite(content.NewReader(reader), io.MultiWriter(encoder, sums.Hash()))
	if err := errors.Join(err, encoder.Close()); err != nil {
		return packed, "", fmt.Errorf("make layer: %w", err)
	}
	packed = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerZstd, Digest: writer.Digest()}
	status, err := writer.Status()
	if err != nil {
		return packed, "", c.failed(ctx, "write layer", err)
	}
	packed.Size = status.Offset
	err = writer.Commit(ctx, packed.Size, packed.Digest, content.WithLabels(map[string]string{labelUncompressed: sums.Digest().String()}))
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return packed, "", c.failed(ctx, "write layer", err)
	}
	return packed, sums.Digest(), nil
}

// writeImage writes both documents. What they name is held by their labels.
func (c *Client) writeImage(ctx context.Context, step Step, manifest ocispec.Manifest, config ocispec.Image) (ocispec.Descriptor, error) {
	chain := identity.ChainID(config.RootFS.DiffIDs).String()
	var err error
	manifest = ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Layers: manifest.Layers}
	manifest.Config, err = c.writeDocument(ctx, ocispec.MediaTypeImageConfig, config, map[string]string{"containerd.io/gc.ref.snapshot." + snapshotter: chain})
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("write configuration of %s: %w", step.Name, err)
	}
	labels := map[string]string{"containerd.io/gc.ref.content.config": manifest.Config.Digest.String()}
	for i, layer := range manifest.Layers {
		labels[fmt.Sprintf("containerd.io/gc.ref.content.l.%d", i)] = layer.Digest.String()
	}
	target, err := c.writeDocument(ctx, ocispec.MediaTypeImageManifest, manifest, labels)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("write manifest of %s: %w", step.Name, err)
	}
	return target, nil
}

func (c *Client) writeDocument(ctx context.Context, kind string, value any, labels map[string]string) (ocispec.Descriptor, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("encode: %w", err)
	}
	document := ocispec.Descriptor{MediaType: kind, Digest: digest.FromBytes(data), Size: int64(len(data))}
	err = content.WriteBlob(ctx, c.client.ContentStore(), "claude-bottle-"+document.Digest.String(), bytes.NewReader(data), document, content.WithLabels(labels))
	if err != nil {
		return ocispec.Descriptor{}, c.failed(ctx, "store", err)
	}
	return document, nil
}
