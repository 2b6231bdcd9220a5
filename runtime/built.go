package runtime

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// labelBuild marks the leases of builds; its value is whose builds they are.
const labelBuild = backend.LabelPrefix + "build"

// buildLease is how long what a build has begun is kept when nobody goes on with it.
const buildLease = time.Hour

// LeaseBuild keeps what a build makes until it is released, or, after a crash, for an
// hour or until the next build of that owner.
func (c *Client) LeaseBuild(ctx context.Context, owner string) (_ context.Context, release func() error, err error) {
	bounded, cancel := c.bounded(context.WithoutCancel(ctx))
	defer cancel()
	lease, err := c.client.LeasesService().Create(bounded, leases.WithRandomID(), leases.WithExpiration(buildLease), leases.WithLabel(labelBuild, owner))
	if err != nil {
		return nil, nil, c.failed(bounded, "lease the build", err)
	}
	return leases.WithLease(ctx, lease.ID), func() error {
		return c.dropLease(context.WithoutCancel(ctx), lease.ID)
	}, nil
}

// dropLease ends it, and has what it held collected.
func (c *Client) dropLease(ctx context.Context, id string) error {
	ctx, cancel := c.boundedBy(ctx, 6*releaseBound) // it deletes files
	defer cancel()
	err := c.client.LeasesService().Delete(ctx, leases.Lease{ID: id}, leases.SynchronousDelete)
	if err != nil && !errdefs.IsNotFound(err) {
		return c.failed(ctx, "release the build", err)
	}
	return nil
}

// BuildLeases are the leases of that owner's builds, by their ids.
func (c *Client) BuildLeases(ctx context.Context, owner string) ([]string, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	list, err := c.client.LeasesService().List(ctx, `labels."`+labelBuild+`"==`+strconv.Quote(owner))
	if err != nil {
		return nil, c.failed(ctx, "list leases of builds", err)
	}
	ids := make([]string, len(list))
	for i, lease := range list {
		ids[i] = lease.ID
	}
	return ids, nil
}

// DropBuildLeases ends those of builds that were killed. The caller knows that no
// build of that owner is under way.
func (c *Client) DropBuildLeases(ctx context.Context, owner string) error {
	list, err := c.BuildLeases(ctx, owner)
	for _, id := range list {
		err = errors.Join(err, c.dropLease(ctx, id))
	}
	return err
}

// NamedImage is an image of the local store with the labels of its name.
type NamedImage struct {
	Name, Digest string
	Labels       map[string]string
}

// NamedImages lists those whose name has the label.
func (c *Client) NamedImages(ctx context.Context, label string) ([]NamedImage, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	found, err := c.client.ImageService().List(ctx, `labels.`+strconv.Quote(label))
	if err != nil {
		return nil, c.failed(ctx, "list images", err)
	}
	list := make([]NamedImage, len(found))
	for i, image := range found {
		list[i] = NamedImage{Name: image.Name, Digest: image.Target.Digest.String(), Labels: image.Labels}
	}
	return list, nil
}

// NameImage gives a name to the manifest with that digest, in place of what had it.
func (c *Client) NameImage(ctx context.Context, name, manifest string, labels map[string]string) error {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	for key := range labels {
		if !strings.HasPrefix(key, backend.LabelPrefix) {
			return fmt.Errorf("name image: label %q is not ours: %w", key, errdefs.ErrInvalidArgument)
		}
	}
	info, err := c.client.ContentStore().Info(ctx, digest.Digest(manifest))
	if err != nil {
		return c.failed(ctx, "look for image "+manifest, err)
	}
	image := images.Image{
		Name: name, Labels: maps.Clone(labels),
		Target: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: info.Digest, Size: info.Size},
	}
	store := c.client.ImageService()
	if _, err = store.Create(ctx, image); errdefs.IsAlreadyExists(err) {
		_, err = store.Update(ctx, image)
	}
	if err != nil {
		return c.failed(ctx, "name image "+name, err)
	}
	return nil
}

// RemoveName takes the name off an image. One that is gone is fine.
func (c *Client) RemoveName(ctx context.Context, name string) error {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	if err := c.client.ImageService().Delete(ctx, name); err != nil && !errdefs.IsNotFound(err) {
		return c.failed(ctx, "remove image name "+name, err)
	}
	return nil
}

// HasImage says whether an image of that name is in the local store.
func (c *Client) HasImage(ctx context.Context, text string) (bool, error) {
	name, pinned, err := normalize(text)
	if err != nil {
		return false, err
	}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	found, err := c.client.ImageService().Get(ctx, name)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, c.failed(ctx, "look for image "+name, err)
	}
	return pinned == "" || found.Target.Digest.String() == pinned, nil
}

// Normalize spells the reference of an image out.
func Normalize(text string) (string, error) {
	name, pinned, err := normalize(text)
	if err == nil && pinned != "" {
		err = fmt.Errorf("image %s: a name with a digest can't be given to an image: %w", backend.Printable(text), errdefs.ErrInvalidArgument)
	}
	return name, err
}
