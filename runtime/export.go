package runtime

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
)

// ExportImage writes an archive of the OCI, which docker reads too. It has this host's
// platform alone, and the index as it is: the digest stays the same.
func (c *Client) ExportImage(ctx context.Context, reference string, w io.Writer) error {
	ctx, cancel := c.boundedBy(ctx, importBound)
	defer cancel()
	image, err := c.find(ctx, reference)
	if err != nil {
		return err
	}
	// What is removed meanwhile stays until the archive is whole.
	ctx, held, err := c.lease(ctx, exporting, moveLease)
	if err != nil {
		return err
	}
	defer func() { _ = held.release(ctx, false) }() // it ends by itself
	target := leases.Resource{ID: image.Target.Digest.String(), Type: "content"}
	if err := c.client.LeasesService().AddResource(ctx, held.lease, target); err != nil {
		return c.failed(ctx, "hold image "+image.Name, err)
	}
	if _, err := c.read(ctx, image.Target); err != nil {
		return c.failed(ctx, "read image "+image.Name, err)
	}
	switch missing, err := c.lacks(ctx, image.Target); {
	case err != nil:
		return c.failed(ctx, "read image "+image.Name, err)
	case len(missing) > 0:
		return fmt.Errorf("image %s can't be exported: %s is not here: pull it again: %w", image.Name, missing[0].Digest, errdefs.ErrFailedPrecondition)
	}
	var names []string
	if !strings.Contains(image.Name, "@") { // docker has no such names
		names = append(names, image.Name)
	}
	err = archive.Export(ctx, c.client.ContentStore(), w, archive.WithPlatform(hosts()), archive.WithManifest(plain(image.Target), names...))
	if err != nil {
		return c.failed(ctx, "export image "+image.Name, err)
	}
	return nil
}
