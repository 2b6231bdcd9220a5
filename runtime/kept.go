package runtime

import (
	"context"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// defaultTitle is what the images say of themselves that hack/default-image.sh makes:
// their version is that of claude.
const defaultTitle = "claude-bottle/default"

// claudeOf is the version of an image's claude: what its recipe has put in, or what an
// image of this project's says. Of other images nobody knows.
func claudeOf(labels map[string]string, config ocispec.Image) string {
	if version := labels[backend.LabelClaude]; version != "" {
		return version
	}
	if config.Config.Labels[ocispec.AnnotationTitle] != defaultTitle {
		return ""
	}
	return config.Config.Labels[ocispec.AnnotationVersion]
}

// saidOf is what labels say of an image under whatever name: what it was built of, and
// which claude is in it.
func saidOf(labels map[string]string) map[string]string {
	said := map[string]string{}
	for _, key := range []string{backend.LabelRecipe, backend.LabelClaude} {
		if labels[key] != "" {
			said[key] = labels[key]
		}
	}
	return said
}

// KeepOld gives the image that has the name its digest for one, when it is another than
// next and is needed.
func (c *Client) KeepOld(ctx context.Context, name, next string, needed func(name, digest string) bool) error {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	store := c.client.ImageService()
	old, err := store.Get(ctx, name)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return c.failed(ctx, "look for image "+name, err)
	}
	digest := old.Target.Digest.String()
	if digest == next || !needed(name, digest) {
		return nil
	}
	kept := images.Image{Name: withDigest(name, digest), Target: old.Target, Labels: map[string]string{}}
	if version := old.Labels[backend.LabelClaude]; version != "" {
		kept.Labels[backend.LabelClaude] = version
	}
	if _, err := store.Create(ctx, kept); err != nil && !errdefs.IsAlreadyExists(err) {
		return c.failed(ctx, "name image "+kept.Name, err)
	}
	return nil
}
