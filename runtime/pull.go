package runtime

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Bounds of what a registry is asked for.
const (
	resolveBound = time.Minute
	pullBound    = time.Hour
	releaseBound = 20 * time.Second // a collection of garbage, after a failure
)

// resolveRemote asks the registry which digest the name stands for.
func (c *Client) resolveRemote(ctx context.Context, name string) (Image, error) {
	host, _, _ := strings.Cut(name, "/")
	ctx, cancel := context.WithTimeoutCause(ctx, resolveBound,
		fmt.Errorf("registry %s did not answer within %s: %w", host, resolveBound, context.DeadlineExceeded))
	defer cancel()
	_, descriptor, err := resolver().Resolve(ctx, name)
	const remedy = "import it, or name another with --image"
	switch {
	case err == nil:
		return Image{Reference: name, Digest: descriptor.Digest.String(), Platform: platforms.DefaultString()}, nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errdefs.IsNotFound(err):
		return Image{}, fmt.Errorf("image %s is neither in the local store nor at registry %s: %s: %w", name, host, remedy, errdefs.ErrNotFound)
	}
	return Image{}, fmt.Errorf("image %s is not in the local store, and registry %s can't be asked: %s: %w", name, host, remedy, errors.Join(err, errdefs.ErrNotFound))
}

// resolver talks plain HTTP to registries on this host only. Elsewhere it takes
// the token that a registry gives to everybody: it has no credentials.
func resolver() remotes.Resolver {
	return docker.NewResolver(docker.ResolverOptions{
		Hosts: docker.ConfigureDefaultRegistries(docker.WithPlainHTTP(docker.MatchLocalhost), docker.WithAuthorizer(docker.NewDockerAuthorizer())),
	})
}

// lease keeps what is pulled and unpacked from the garbage collector until it is
// released; of an image that failed nothing is kept. The client makes leases of
// its own where there is none, and leaves them when ctx ends.
func (c *Client) lease(ctx context.Context) (_ context.Context, release func(failed bool) error, err error) {
	bounded, cancel := c.bounded(context.WithoutCancel(ctx))
	defer cancel()
	leased, _, err := c.client.WithLease(bounded)
	if err != nil {
		return nil, nil, c.failed(bounded, "lease the image", err)
	}
	id, _ := leases.FromContext(leased)
	return leases.WithLease(ctx, id), func(failed bool) error {
		undo, cancel := c.boundedBy(context.WithoutCancel(ctx), releaseBound)
		defer cancel()
		var options []leases.DeleteOpt
		if failed {
			options = append(options, leases.SynchronousDelete)
		}
		err := c.client.LeasesService().Delete(undo, leases.Lease{ID: id}, options...)
		if err != nil && !errdefs.IsNotFound(err) {
			return c.failed(undo, "release the image", err)
		}
		return nil
	}, nil
}

// pull fetches the image by the digest of the plan, and names it as the plan
// does.
func (c *Client) pull(ctx context.Context, image Image, progress backend.Progress) error {
	ctx, cancel := c.boundedBy(ctx, pullBound)
	defer cancel()
	ended := progress.Step("pull image")
	transfers := &transfers{sizes: map[string]int64{}, done: map[string]bool{}}
	stop := c.watchPull(ctx, image, transfers, progress)
	name := image.Reference
	if !strings.Contains(name, "@") {
		name += "@" + image.Digest
	}
	pulled, err := c.client.Pull(ctx, name, client.WithResolver(resolver()), client.WithPlatformMatcher(platforms.Default()), client.WithImageHandlerWrapper(transfers.wrap))
	stop()
	ended(err)
	if errdefs.IsFailedPrecondition(err) {
		err = errors.Join(err, c.dropSpoiled(ctx, transfers))
	}
	if err != nil {
		return c.failed(ctx, "pull image "+image.Reference, err)
	}
	if pulled.Name() == image.Reference {
		return nil
	}
	store := c.client.ImageService()
	named := images.Image{Name: image.Reference, Target: pulled.Target()}
	if _, err := store.Create(ctx, named); errdefs.IsAlreadyExists(err) {
		_, err = store.Update(ctx, named)
		return err
	} else if err != nil {
		return c.failed(ctx, "name image "+image.Reference, err)
	}
	return store.Delete(ctx, pulled.Name())
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
				have, total := transfers.sum(statuses)
				progress.Bytes("pulling "+image.Reference, have, total)
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

// transfers are the parts of one image, by the reference of their ingest. The
// store's own list has those of other pulls too, and none that has ended.
type transfers struct {
	mu    sync.Mutex
	sizes map[string]int64
	done  map[string]bool
}

// wrap notes what a handler is given and what it has finished.
func (t *transfers) wrap(next images.Handler) images.Handler {
	return images.HandlerFunc(func(ctx context.Context, part ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		ingest := remotes.MakeRefKey(ctx, part)
		t.note(ingest, part.Size, false)
		children, err := next.Handle(ctx, part)
		if err == nil {
			t.note(ingest, part.Size, true)
		}
		return children, err
	})
}

func (t *transfers) note(ingest string, size int64, done bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sizes[ingest] = size
	t.done[ingest] = t.done[ingest] || done
}

// spoiled are the ingests that have all their bytes and were not taken.
func (t *transfers) spoiled(statuses []content.Status) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []string
	for _, status := range statuses {
		if size, ours := t.sizes[status.Ref]; ours && !t.done[status.Ref] && status.Offset >= size {
			list = append(list, status.Ref)
		}
	}
	return list
}

// sum is how many bytes are here, and of how many.
func (t *transfers) sum(statuses []content.Status) (have, total int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ingest, size := range t.sizes {
		total += size
		if t.done[ingest] {
			have += size
		}
	}
	for _, status := range statuses {
		if size, ours := t.sizes[status.Ref]; ours && !t.done[status.Ref] {
			have += min(status.Offset, size)
		}
	}
	return have, total
}
