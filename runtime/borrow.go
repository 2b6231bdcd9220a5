package runtime

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// borrowed finds an image of the lender's. One that is in our namespace with the same
// digest is ours already.
func (c *Client) borrowed(ctx context.Context, name, pinned string) (Image, error) {
	theirs := namespaces.WithNamespace(ctx, c.options.Lender)
	lent, err := c.lookUp(theirs, name, pinned)
	if err != nil {
		return Image{}, err
	}
	digest := lent.Target().Digest.String()
	if own, err := c.client.GetImage(ctx, lent.Name()); err == nil && own.Target().Digest.String() == digest {
		return c.describe(ctx, own, digest)
	}
	image, err := c.describe(theirs, lent, digest)
	if err != nil {
		return Image{}, err
	}
	image.lender, image.Unpacked = c.options.Lender, false
	return image, nil
}

// borrow makes a lender's image ours, too. Where the daemon's namespaces share contents
// nothing is copied but names.
func (c *Client) borrow(ctx context.Context, image Image) error {
	ctx, cancel := c.boundedBy(ctx, pullBound)
	defer cancel()
	theirs := namespaces.WithNamespace(ctx, image.lender)
	lent, err := c.client.GetImage(theirs, image.Reference)
	if err != nil {
		return c.failed(theirs, "look for image "+image.Reference, err)
	}
	target := lent.Target()
	if target.Digest.String() != image.Digest {
		return fmt.Errorf("image %s is %s now, the plan says %s: start again to see the new plan: %w", image.Reference, target.Digest, image.Digest, errdefs.ErrAborted)
	}
	store := c.client.ContentStore()
	take := images.HandlerFunc(func(ctx context.Context, part ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		return nil, takeContent(ctx, theirs, store, part)
	})
	children := images.FilterPlatforms(images.ChildrenHandler(store), hosts())
	if err := images.Walk(ctx, images.Handlers(take, images.SetChildrenLabels(store, children)), target); err != nil {
		return c.failed(ctx, "take image "+image.Reference+" over", err)
	}
	named := images.Image{Name: image.Reference, Target: target}
	if _, err := c.client.ImageService().Create(ctx, named); errdefs.IsAlreadyExists(err) {
		_, err = c.client.ImageService().Update(ctx, named, "target")
		return err
	} else if err != nil {
		return c.failed(ctx, "name image "+image.Reference, err)
	}
	return nil
}

// takeContent has one part of an image in the namespace of ctx, too.
func takeContent(ctx, theirs context.Context, store content.Store, part ocispec.Descriptor) error {
	reader, err := store.ReaderAt(theirs, part)
	if err != nil {
		return fmt.Errorf("read %s: %w", part.Digest, err)
	}
	defer func() { _ = reader.Close() }()
	return content.WriteBlob(ctx, store, "borrow-"+remotes.MakeRefKey(ctx, part), content.NewReader(reader), part)
}
