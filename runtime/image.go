package runtime

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/distribution/reference"
)

// Image is an image by digest.
type Image struct {
	Reference string
	Digest    string
	Platform  string
	Size      int64 // bytes, packed; 0 while unknown
	// Claude is the version of its claude, as far as it is known.
	Claude string
	// Present says that it is in the local store, Unpacked that snapshots
	// can be made of it.
	Present  bool
	Unpacked bool
	chain    string // parent of the bottle's snapshot
	lender   string // namespace that the image is to be had from; "" is our own
}

// ResolveImage finds the image in the local store, else asks its registry for
// the digest; it never pulls. Of what the image says of itself only the platform
// is read: labels, volumes, environment and entrypoint are nobody's wish.
func (c *Client) ResolveImage(ctx context.Context, text string) (Image, error) {
	name, pinned, err := normalize(text)
	if err != nil {
		return Image{}, err
	}
	image, err := c.resolveLocal(ctx, name, pinned)
	var missing missingError
	if errors.As(err, &missing) {
		return c.resolveRemote(ctx, name, "image "+name+" is neither in the local store nor", "image "+name+" is not in the local store, and", "import it, or name another with --image")
	}
	return image, err
}

// ResolveLocalImage is ResolveImage that asks no registry: an image that is not in the
// local store is a NotFound error.
func (c *Client) ResolveLocalImage(ctx context.Context, text string) (Image, error) {
	name, pinned, err := normalize(text)
	if err != nil {
		return Image{}, err
	}
	return c.resolveLocal(ctx, name, pinned)
}

// missingError says that the local store has no such image.
type missingError struct{ error }

func (e missingError) Unwrap() error { return e.error }

func (c *Client) resolveLocal(ctx context.Context, name, pinned string) (Image, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	if c.options.Lender != "" {
		image, err := c.borrowed(ctx, name, pinned)
		var missing missingError
		if !errors.As(err, &missing) {
			return image, err
		}
	}
	found, err := c.lookUp(ctx, name, pinned)
	if err != nil {
		return Image{}, err
	}
	return c.describe(ctx, found, found.Target().Digest.String())
}

// lookUp looks for an image in the namespace of ctx.
func (c *Client) lookUp(ctx context.Context, name, pinned string) (client.Image, error) {
	found, err := c.client.GetImage(ctx, name)
	if errdefs.IsNotFound(err) && pinned != "" {
		found, err = c.findPinned(ctx, strings.TrimSuffix(name, "@"+pinned), pinned)
	}
	if errdefs.IsNotFound(err) {
		return nil, missingError{fmt.Errorf("look for image %s: %w", name, err)}
	}
	if err != nil {
		return nil, c.failed(ctx, "look for image "+name, err)
	}
	if digest := found.Target().Digest.String(); pinned != "" && pinned != digest {
		return nil, fmt.Errorf("image %s is %s here, not the pinned %s: remove it or change the pin: %w", found.Name(), digest, pinned, errdefs.ErrFailedPrecondition)
	}
	return found, nil
}

// findPinned looks for the pinned digest among the tags of the repository.
func (c *Client) findPinned(ctx context.Context, repository, pinned string) (client.Image, error) {
	list, err := c.client.ListImages(ctx, "target.digest=="+strconv.Quote(pinned))
	if err != nil {
		return nil, err
	}
	for _, image := range list {
		if strings.HasPrefix(image.Name(), repository+":") {
			return image, nil
		}
	}
	return nil, fmt.Errorf("image %s@%s: %w", repository, pinned, errdefs.ErrNotFound)
}

func (c *Client) describe(ctx context.Context, found client.Image, digest string) (Image, error) {
	image := Image{Reference: found.Name(), Digest: digest, Present: true}
	facts, err := c.read(ctx, found.Target())
	if errdefs.IsNotFound(err) {
		return Image{}, c.wrongPlatform(ctx, found, err)
	}
	if err != nil {
		return Image{}, c.failed(ctx, "read image "+image.Reference, err)
	}
	image.chain = facts.chain(0)
	image.Platform = shownPlatform(facts.config.Platform)
	image.Claude = claudeOf(found.Labels(), facts.config)
	if !hosts().Match(facts.config.Platform) {
		return Image{}, fmt.Errorf("image %s is for %s, this host is %s: choose one for this platform: %w", image.Reference, image.Platform, HostPlatform(), errdefs.ErrFailedPrecondition)
	}
	if image.Size, err = found.Size(ctx); err != nil {
		return Image{}, c.failed(ctx, "measure image "+image.Reference, err)
	}
	switch _, err := c.client.SnapshotService(snapshotter).Stat(ctx, image.chain); {
	case err == nil:
		image.Unpacked = true
	case !errdefs.IsNotFound(err):
		return Image{}, c.failed(ctx, "look for snapshots of image "+image.Reference, err)
	}
	return image, nil
}

// wrongPlatform names the platforms that the image is for.
func (c *Client) wrongPlatform(ctx context.Context, found client.Image, cause error) error {
	list, err := images.Platforms(ctx, c.metadata(), found.Target())
	if err != nil || len(list) == 0 {
		return c.failed(ctx, "read image "+found.Name(), cause)
	}
	names := make([]string, len(list))
	for i, platform := range list {
		names[i] = shownPlatform(platform)
	}
	return fmt.Errorf("image %s is for %s, this host is %s: choose one for this platform: %w", found.Name(), strings.Join(names, ", "), HostPlatform(), errdefs.ErrFailedPrecondition)
}

// EnsureImage pulls what is missing, by digest, and unpacks it. It returns the
// image as it is then. Of one that failed nothing stays.
func (c *Client) EnsureImage(ctx context.Context, image Image, progress backend.Progress) (Image, error) {
	return c.ensure(ctx, image, fetching{most: backend.DefaultImageSize, progress: progress})
}

// fetching is how an image is fetched.
type fetching struct {
	most     int64 // bytes, packed, and unpacked
	progress backend.Progress
	// goesOn leaves what has come of a pull that is cut for the next one.
	goesOn bool
	// needed says that somebody needs the image that has had the name.
	needed func(name, digest string) bool
}

func (c *Client) ensure(ctx context.Context, image Image, how fetching) (_ Image, err error) {
	if image.Present && image.Unpacked {
		return image, nil
	}
	what := "image " + image.Digest
	ctx, held, err := c.lease(ctx, what, pullLease)
	if err != nil {
		return Image{}, err
	}
	defer func() {
		switch {
		case err == nil:
			if _, dropErr := c.dropCut(ctx, what); dropErr != nil { // they end by their own time
				log.G(ctx).WithError(dropErr).Debug("drop what was cut of this image")
			}
			err = held.release(ctx, false)
		case how.goesOn && goesOn(err):
			err = fmt.Errorf("%w: what has come stays for a day: pull it again to go on, or drop it by `claude-bottle image prune`", err)
		default:
			var dropErr error
			if !goesOn(err) { // nor does what was cut before help anybody
				_, dropErr = c.dropCut(ctx, what)
			}
			err = c.NoRoom(ctx, errors.Join(err, dropErr, held.release(ctx, true)))
		}
	}()
	if image.lender != "" {
		if err := c.borrow(ctx, image); err != nil {
			return Image{}, err
		}
	}
	if image.Present {
		return c.ensureUnpacked(ctx, image, how)
	}
	pulled, discard, err := c.pull(ctx, image, how)
	if err != nil {
		return Image{}, err
	}
	ready, err := c.prepare(ctx, image, pulled, how)
	if err != nil {
		return Image{}, errors.Join(err, discard())
	}
	if pulled.Name() == image.Reference {
		return ready, nil
	}
	naming, cancel := c.bounded(ctx)
	defer cancel()
	return ready, errors.Join(c.name(naming, image.Reference, pulled.Target(), nil, how.needed), discard())
}

// ensureUnpacked unpacks what is here.
func (c *Client) ensureUnpacked(ctx context.Context, image Image, how fetching) (Image, error) {
	look, cancel := c.bounded(ctx)
	defer cancel()
	found, err := c.client.GetImage(look, image.Reference)
	if err != nil {
		return Image{}, c.failed(look, "look for image "+image.Reference, err)
	}
	if got := found.Target().Digest.String(); got != image.Digest {
		return Image{}, fmt.Errorf("image %s is %s now, the plan says %s: start again to see the new plan: %w", image.Reference, got, image.Digest, errdefs.ErrAborted)
	}
	return c.prepare(ctx, image, found, how)
}

// prepare unpacks an image, and looks at it.
func (c *Client) prepare(ctx context.Context, image Image, found client.Image, how fetching) (Image, error) {
	ctx, cancel := c.boundedBy(ctx, unpackBound)
	defer cancel()
	how.progress.Bytes("unpacking "+image.Reference, 0, 0)
	ended := how.progress.Step("unpack image")
	err := c.unpack(ctx, found, limits(how.most))
	ended(err)
	if errdefs.IsNotFound(err) {
		return Image{}, c.wrongPlatform(ctx, found, err)
	}
	if err != nil {
		return Image{}, c.failed(ctx, "unpack image "+image.Reference, err)
	}
	ready, err := c.describe(ctx, found, image.Digest)
	ready.Reference = image.Reference
	return ready, err
}

// goesOn says that a next try may do better: that nothing was wrong with what came,
// nor with where it was put.
func goesOn(err error) bool {
	return !errdefs.IsFailedPrecondition(err) && !errdefs.IsResourceExhausted(err) && !errdefs.IsInvalidArgument(err) && !errdefs.IsNotFound(err) && !diskFull(err)
}

// normalize spells a reference out as docker does, and returns its pin.
func normalize(text string) (name, pinned string, err error) {
	parsed, err := reference.ParseDockerRef(text)
	if err != nil {
		return "", "", fmt.Errorf("image reference %s: %w: %w", backend.Printable(text), err, errdefs.ErrInvalidArgument)
	}
	if digested, ok := parsed.(reference.Digested); ok {
		pinned = digested.Digest().String()
	}
	return parsed.String(), pinned, nil
}
