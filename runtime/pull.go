package runtime

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Bounds of what a registry is asked for.
const (
	resolveBound = time.Minute
	pullBound    = time.Hour
	unpackBound  = 30 * time.Minute
	releaseBound = 20 * time.Second // a collection of garbage, after a failure
)

// resolveRemote asks the registry which digest the name stands for. Missing and mute
// begin the error of a registry that doesn't have it, and of one that can't be asked.
func (c *Client) resolveRemote(ctx context.Context, name, missing, mute, remedy string) (Image, error) {
	host, _, _ := strings.Cut(name, "/")
	ctx, cancel := context.WithTimeoutCause(ctx, resolveBound,
		fmt.Errorf("registry %s did not answer within %s: %w", host, resolveBound, context.DeadlineExceeded))
	defer cancel()
	_, descriptor, err := c.resolver(ctx).Resolve(ctx, name)
	switch {
	case err == nil:
		return Image{Reference: name, Digest: descriptor.Digest.String(), Platform: HostPlatform()}, nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errdefs.IsNotFound(err):
		return Image{}, fmt.Errorf("%s at registry %s: %s: %w", missing, host, remedy, errdefs.ErrNotFound)
	}
	return Image{}, fmt.Errorf("%s registry %s can't be asked: %s: %w", mute, host, remedy, errors.Join(err, errdefs.ErrNotFound))
}

// PullImage asks the registry what the name stands for now, and fetches what is not
// here. needed says that somebody needs the image that has had the name.
func (c *Client) PullImage(ctx context.Context, wish backend.ImagePull, needed func(name, digest string) bool, progress backend.Progress) (Image, error) {
	name, _, err := normalize(wish.Reference)
	if err != nil {
		return Image{}, err
	}
	image, err := c.resolveRemote(ctx, name, "there is no image "+name, "image "+name+" can't be pulled:", "look at its name, the network and `docker login`")
	if err != nil {
		return Image{}, err
	}
	local, cancel := c.bounded(ctx)
	defer cancel()
	if found, err := c.client.GetImage(local, name); err == nil && found.Target().Digest.String() == image.Digest {
		known, err := c.describe(local, found, image.Digest)
		if err == nil {
			var missing []ocispec.Descriptor
			if missing, err = c.lacks(local, found.Target()); err == nil && len(missing) == 0 {
				image = known
			}
		}
	}
	return c.ensure(ctx, image, fetching{most: wish.MaxSize, progress: progress, goesOn: true, needed: needed})
}

// pull fetches the image by the digest of the plan, and calls it by that digest until it
// is known to be of use. discard takes that name away again.
func (c *Client) pull(ctx context.Context, image Image, how fetching) (_ client.Image, discard func() error, err error) {
	ctx, cancel := c.boundedBy(ctx, pullBound)
	defer cancel()
	name := image.Reference
	if !strings.Contains(name, "@") {
		name += "@" + image.Digest
	}
	_, hadErr := c.client.ImageService().Get(ctx, name)
	ended := how.progress.Step("pull image")
	transfers := &transfers{most: how.most, sizes: map[string]int64{}, done: map[string]bool{}}
	stop := c.watchPull(ctx, image, transfers, how.progress)
	pulled, err := c.client.Pull(ctx, name, client.WithResolver(c.resolver(ctx)), client.WithPlatformMatcher(hosts()), client.WithImageHandlerWrapper(transfers.wrap))
	stop()
	ended(err)
	if errdefs.IsFailedPrecondition(err) {
		err = errors.Join(err, c.dropSpoiled(ctx, transfers))
	}
	if err != nil {
		return nil, nil, c.failed(ctx, "pull image "+image.Reference, err)
	}
	if _, ok := how.progress.(backend.PartProgress); ok { // the last ones have come since
		transfers.report("pulling "+image.Reference, nil, how.progress)
	}
	return pulled, func() error {
		if hadErr == nil { // it was somebody else's before
			return nil
		}
		undo, cancel := c.bounded(context.WithoutCancel(ctx))
		defer cancel()
		if err := c.client.ImageService().Delete(undo, pulled.Name()); err != nil && !errdefs.IsNotFound(err) {
			return c.failed(undo, "drop image "+pulled.Name(), err)
		}
		return nil
	}, nil
}

// watchPull reports what is under way until it is stopped.
func (c *Client) watchPull(ctx context.Context, image Image, transfers *transfers, progress backend.Progress) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			statuses, err := c.client.ContentStore().ListStatuses(ctx)
			if err == nil {
				transfers.report("pulling "+image.Reference, statuses, progress)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

// dropSpoiled removes bytes that are all here and do not fit their digest: every
// later pull would take them up, and be refused. In a store that holds nothing
// else the collector fails, and would leave them.
func (c *Client) dropSpoiled(ctx context.Context, transfers *transfers) error {
	store := c.client.ContentStore()
	statuses, err := store.ListStatuses(ctx)
	if err != nil {
		return fmt.Errorf("look for spoiled transfers: %w", err)
	}
	for _, ingest := range transfers.spoiled(statuses) {
		if abortErr := store.Abort(ctx, ingest); abortErr != nil && !errdefs.IsNotFound(abortErr) {
			err = errors.Join(err, fmt.Errorf("drop transfer %s: %w", ingest, abortErr))
		}
	}
	return err
}
