package runtime

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// transfers are the parts of one image, by the reference of their ingest. The
// store's own list has those of other pulls too, and none that has ended.
type transfers struct {
	most  int64 // bytes, of all
	mu    sync.Mutex
	sizes map[string]int64
	done  map[string]bool
	order []string
}

// wrap notes what a handler is given and what it has finished.
func (t *transfers) wrap(next images.Handler) images.Handler {
	return images.HandlerFunc(func(ctx context.Context, part ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		ingest := remotes.MakeRefKey(ctx, part)
		if err := t.note(ingest, part.Size, false); err != nil {
			return nil, err
		}
		if described(part.MediaType) && part.Size > largestMetadata {
			return nil, fmt.Errorf("%s has %d bytes, which is too much for a description of an image: %w", part.Digest, part.Size, errdefs.ErrResourceExhausted)
		}
		children, err := next.Handle(ctx, part)
		if err == nil {
			err = t.note(ingest, part.Size, true)
		}
		return children, err
	})
}

// described says that a part is read into memory whole.
func described(mediaType string) bool {
	return images.IsManifestType(mediaType) || images.IsIndexType(mediaType) || images.IsConfigType(mediaType)
}

func (t *transfers) note(ingest string, size int64, done bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.sizes[ingest]; !known {
		t.order = append(t.order, ingest)
	}
	t.sizes[ingest] = size
	t.done[ingest] = t.done[ingest] || done
	left := t.most
	for _, size := range t.sizes {
		if size < 0 || size > left {
			return fmt.Errorf("the image has more than %d MiB: say --max-size to `claude-bottle image pull` if that is meant: %w", t.most>>20, errdefs.ErrResourceExhausted)
		}
		left -= size
	}
	return nil
}

// report says how far it has come: of each layer to who wants to know.
func (t *transfers) report(name string, statuses []content.Status, progress backend.Progress) {
	parts, ok := progress.(backend.PartProgress)
	if !ok {
		have, total := t.sum(statuses)
		progress.Bytes(name, have, total)
		return
	}
	parts.Parts(name, t.parts(statuses))
}

// parts are the layers, in the order in which they became known.
func (t *transfers) parts(statuses []content.Status) []backend.Part {
	t.mu.Lock()
	defer t.mu.Unlock()
	offsets := map[string]int64{}
	for _, status := range statuses {
		offsets[status.Ref] = status.Offset
	}
	list := make([]backend.Part, 0, len(t.order))
	for _, ingest := range t.order {
		digest, isLayer := strings.CutPrefix(ingest, "layer-")
		if !isLayer {
			continue
		}
		part := backend.Part{Name: short(digest), Total: t.sizes[ingest], Ended: t.done[ingest]}
		if part.Done = min(offsets[ingest], part.Total); part.Ended {
			part.Done = part.Total
		}
		list = append(list, part)
	}
	return list
}

// short is as much of a digest as people tell apart.
func short(digest string) string {
	_, hex, _ := strings.Cut(digest, ":")
	return hex[:min(12, len(hex))]
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
