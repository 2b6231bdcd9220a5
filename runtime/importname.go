package runtime

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// mostImages bounds the images of one archive.
const mostImages = 64

// choose names the images of an archive that are for this host: as the user says, else
// as the archive does.
func (c *Client) choose(ctx context.Context, index ocispec.Descriptor, wish backend.ImageImport) ([]named, error) {
	data, err := content.ReadBlob(ctx, c.metadata(), index)
	if err != nil {
		return nil, err
	}
	var read ocispec.Index
	if err := json.Unmarshal(data, &read); err != nil {
		return nil, fmt.Errorf("read the archive's index: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	list, others := sortedOut(read.Manifests)
	switch {
	case len(list) == 0 && len(others) > 0:
		return nil, fmt.Errorf("it has images for %s, this host is %s: %w", strings.Join(others, ", "), HostPlatform(), errdefs.ErrFailedPrecondition)
	case len(list) == 0:
		return nil, fmt.Errorf("it holds no image: %w", errdefs.ErrInvalidArgument)
	case len(list) > mostImages:
		return nil, fmt.Errorf("it holds %d images, at most %d are taken at a time: %w", len(list), mostImages, errdefs.ErrResourceExhausted)
	}
	if wish.Name != "" {
		return oneNamed(wish.Name, list)
	}
	return c.namedByArchive(ctx, list, wish.Replace)
}

// sortedOut are the images that are for this host, or don't say, and the platforms of
// the others.
func sortedOut(manifests []ocispec.Descriptor) (list []ocispec.Descriptor, others []string) {
	for _, manifest := range manifests {
		switch {
		case !images.IsManifestType(manifest.MediaType) && !images.IsIndexType(manifest.MediaType):
			continue
		case manifest.Platform != nil && !hosts().Match(*manifest.Platform):
			if name := backend.Printable(shownPlatform(*manifest.Platform)); !slices.Contains(others, name) && len(others) < mostImages {
				others = append(others, name)
			}
			continue
		}
		list = append(list, manifest)
	}
	return list, others
}

func oneNamed(name string, list []ocispec.Descriptor) ([]named, error) {
	for _, other := range list[1:] {
		if other.Digest != list[0].Digest {
			return nil, fmt.Errorf("it holds several images: leave --name out, and each is called as the archive says: %w", errdefs.ErrInvalidArgument)
		}
	}
	return []named{{name, plain(list[0])}}, nil
}

// plain is a descriptor without what the archive says beside it.
func plain(target ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: target.MediaType, Digest: target.Digest, Size: target.Size}
}

// namedByArchive takes the names from the annotations. Anybody can write any name
// there: one that another image has is only given with the user's word.
func (c *Client) namedByArchive(ctx context.Context, list []ocispec.Descriptor, replace bool) ([]named, error) {
	var found []named
	known := map[string]string{}
	for _, target := range list {
		text := target.Annotations[images.AnnotationImageName]
		if text == "" {
			if text = target.Annotations[ocispec.AnnotationRefName]; !strings.ContainsAny(text, "/:") {
				text = "" // a tag alone
			}
		}
		if text == "" {
			return nil, fmt.Errorf("the archive says no name for image %s: add --name: %w", target.Digest, errdefs.ErrInvalidArgument)
		}
		name, _, err := normalize(text)
		if err != nil {
			return nil, fmt.Errorf("the archive's name: %w: add --name", err)
		}
		digest := target.Digest.String()
		if other, ok := known[name]; ok {
			if other != digest {
				return nil, fmt.Errorf("the archive calls two images %s: %w", name, errdefs.ErrInvalidArgument)
			}
			continue
		}
		known[name] = digest
		here, err := c.client.ImageService().Get(ctx, name)
		switch {
		case err == nil && here.Target.Digest != target.Digest && !replace:
			return nil, fmt.Errorf("the archive calls its image %s, which is another one here, %s: add --replace if it is to have that name, or --name for one of your own: %w", name, here.Target.Digest, errdefs.ErrConflict)
		case err != nil && !errdefs.IsNotFound(err):
			return nil, err
		}
		found = append(found, named{name, plain(target)})
	}
	return found, nil
}
