package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/claude-bottle/claude-bottle/image/bundle"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// layerType says how a layer is packed.
func layerType(packing bundle.Packing) string {
	switch packing {
	case bundle.Gzip:
		return ocispec.MediaTypeImageLayerGzip
	case bundle.Zstd:
		return ocispec.MediaTypeImageLayerZstd
	default:
		return ocispec.MediaTypeImageLayer
	}
}

// takeFiles makes an image of a tar, which becomes its one layer, packed as it is. The
// same tar makes the same image, byte for byte.
func (c *Client) takeFiles(ctx context.Context, store content.Store, stream io.Reader, bounds bundle.Limits) (ocispec.Descriptor, error) {
	layer, diff, err := c.takeLayer(ctx, store, stream, bounds)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	platform := platforms.DefaultSpec()
	config := ocispec.Image{
		Platform: ocispec.Platform{OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{diff}},
	}
	described, err := takeJSON(ctx, store, ocispec.MediaTypeImageConfig, config)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return takeJSON(ctx, store, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: described, Layers: []ocispec.Descriptor{layer},
	})
}

// takeLayer puts the stream into the store and measures it on its way.
func (c *Client) takeLayer(ctx context.Context, store content.Store, stream io.Reader, bounds bundle.Limits) (_ ocispec.Descriptor, diff digest.Digest, err error) {
	writer, err := content.OpenWriter(ctx, store, content.WithRef("files"))
	if err != nil {
		return ocispec.Descriptor{}, "", fmt.Errorf("open the store: %w", err)
	}
	defer func() { err = errors.Join(err, writer.Close()) }()
	var (
		packing  bundle.Packing
		unpacked = digest.Canonical.Digester()
		size     int64
	)
	reader, copied := io.Pipe()
	var group errgroup.Group
	group.Go(func() (err error) {
		_, packing, err = bundle.Measure(reader, bounds, unpacked.Hash())
		if err == nil { // what stands behind the end of what is packed is no part of it
			_, err = io.Copy(io.Discard, reader)
		}
		_ = reader.CloseWithError(err) // it never fails
		return err
	})
	group.Go(func() (err error) {
		size, err = io.Copy(io.MultiWriter(writer, copied), stream)
		_ = copied.CloseWithError(err) // it never fails
		return err
	})
	if err := group.Wait(); err != nil {
		return ocispec.Descriptor{}, "", err
	}
	layer := ocispec.Descriptor{MediaType: layerType(packing), Digest: writer.Digest(), Size: size}
	if err := writer.Commit(ctx, size, layer.Digest); err != nil && !errdefs.IsAlreadyExists(err) {
		return ocispec.Descriptor{}, "", fmt.Errorf("store the files: %w", err)
	}
	return layer, unpacked.Digest(), nil
}

func takeJSON(ctx context.Context, store content.Store, mediaType string, value any) (ocispec.Descriptor, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("describe the image: %w", err)
	}
	blob := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if err := content.WriteBlob(ctx, store, blob.Digest.String(), bytes.NewReader(data), blob); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("describe the image: %w", err)
	}
	return blob, nil
}
