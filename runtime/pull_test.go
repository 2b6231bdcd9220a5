package runtime

import (
	"context"
	"errors"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestTransfersCountWhatIsOfThisImage(t *testing.T) {
	part := func(text string, size int64) ocispec.Descriptor {
		return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerZstd, Digest: digest.FromString(text), Size: size}
	}
	whole, begun, refused := part("whole", 10), part("begun", 100), part("refused", 1000)
	transfers := &transfers{most: 1 << 20, sizes: map[string]int64{}, done: map[string]bool{}}
	broken := errors.New("broken off")
	handler := transfers.wrap(images.HandlerFunc(func(_ context.Context, part ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		if part.Digest == whole.Digest {
			return nil, nil
		}
		return nil, broken
	}))
	for _, part := range []ocispec.Descriptor{whole, begun, refused, whole} {
		if _, err := handler.Handle(t.Context(), part); err != nil && !errors.Is(err, broken) {
			t.Fatal(err)
		}
	}
	ingest := func(part ocispec.Descriptor, offset int64) content.Status {
		return content.Status{Ref: "layer-" + part.Digest.String(), Offset: offset}
	}
	statuses := []content.Status{ingest(begun, 40), ingest(refused, 2000), ingest(whole, 5), ingest(part("another's", 7), 7)}
	if have, total := transfers.sum(statuses); have != 10+40+1000 || total != 10+100+1000 {
		t.Errorf("%d of %d bytes, want 1050 of 1110", have, total)
	}
	spoiled := transfers.spoiled(statuses)
	if len(spoiled) != 1 || spoiled[0] != ingest(refused, 0).Ref {
		t.Errorf("spoiled are %v", spoiled)
	}
}
