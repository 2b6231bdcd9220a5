package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Images lists the images of the store by name.
func (c *Client) Images(ctx context.Context) ([]backend.Image, error) {
	ctx, cancel := c.boundedBy(ctx, 3*c.options.Timeout) // each is looked at
	defer cancel()
	list, err := c.client.ImageService().List(ctx)
	if err != nil {
		return nil, c.failed(ctx, "list images", err)
	}
	found := make([]backend.Image, 0, len(list))
	for _, image := range list {
		seen, _, err := c.look(ctx, image)
		if ctx.Err() != nil {
			return nil, c.failed(ctx, "look at image "+image.Name, err)
		}
		found = append(found, seen)
	}
	slices.SortFunc(found, func(a, b backend.Image) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}

// look reads an image. What it can't read is the image's problem.
func (c *Client) look(ctx context.Context, image images.Image) (backend.Image, facts, error) {
	seen := backend.Image{Name: image.Name, Digest: image.Target.Digest.String(), MediaType: image.Target.MediaType, Created: image.CreatedAt}
	_, seen.Step = image.Labels[backend.LabelStep]
	seen.Recipe = image.Labels[backend.LabelRecipe]
	known, err := c.read(ctx, image.Target)
	if err != nil {
		seen.Problem = err.Error()
		if errdefs.IsNotFound(err) {
			seen.Problem = "it is not whole, or not for this host's platform, " + HostPlatform()
		}
		return seen, facts{}, err
	}
	seen.Platform = shownPlatform(known.config.Platform)
	seen.Claude = claudeOf(image.Labels, known.config)
	_, err = c.client.SnapshotService(snapshotter).Stat(ctx, known.chain(0))
	seen.Unpacked = err == nil
	if seen.Size, err = client.NewImage(c.client, image).Size(ctx); err != nil {
		seen.Problem = err.Error()
	}
	return seen, known, err
}

// InspectImage tells all of one image.
func (c *Client) InspectImage(ctx context.Context, reference string) (*backend.ImageDetail, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	image, err := c.find(ctx, reference)
	if err != nil {
		return nil, err
	}
	seen, known, err := c.look(ctx, image)
	if err != nil {
		if errdefs.IsNotFound(err) {
			err = fmt.Errorf("%s: %w", seen.Problem, errdefs.ErrNotFound)
		}
		return nil, c.failed(ctx, "read image "+image.Name, err)
	}
	detail := &backend.ImageDetail{Image: seen, Config: said(known.config), Layers: []backend.ImageLayer{}}
	for i, layer := range known.layers {
		detail.Layers = append(detail.Layers, backend.ImageLayer{
			Digest: layer.Digest.String(), MediaType: layer.MediaType, Size: layer.Size, DiffID: known.config.RootFS.DiffIDs[i].String(),
		})
	}
	detail.Taken = backend.ImageTaken{Platform: seen.Platform, Layers: len(detail.Layers), Ignored: ignored(detail.Config)}
	return detail, nil
}

func said(config ocispec.Image) backend.ImageConfig {
	return backend.ImageConfig{
		Created: config.Created, Author: config.Author, User: config.Config.User, Env: config.Config.Env,
		Entrypoint: config.Config.Entrypoint, Command: config.Config.Cmd, Directory: config.Config.WorkingDir,
		Labels: config.Config.Labels, Volumes: config.Config.Volumes, ExposedPorts: config.Config.ExposedPorts,
		StopSignal: config.Config.StopSignal,
	}
}

// ignored names what of a configuration is there and has no effect.
func ignored(config backend.ImageConfig) []string {
	names := []string{}
	for _, one := range []struct {
		name  string
		given bool
	}{
		{"user", config.User != ""}, {"env", len(config.Env) > 0}, {"entrypoint", len(config.Entrypoint) > 0},
		{"command", len(config.Command) > 0}, {"directory", config.Directory != ""}, {"labels", len(config.Labels) > 0},
		{"volumes", len(config.Volumes) > 0}, {"exposedPorts", len(config.ExposedPorts) > 0}, {"stopSignal", config.StopSignal != ""},
	} {
		if one.given {
			names = append(names, one.name)
		}
	}
	return names
}

// find finds an image in the store by its name, or by name and digest. Other programs
// have names that are not spelt out: they count as they are.
func (c *Client) find(ctx context.Context, text string) (images.Image, error) {
	if image, err := c.client.ImageService().Get(ctx, text); err == nil {
		return image, nil
	}
	name, pinned, err := normalize(text)
	if err != nil {
		return images.Image{}, err
	}
	image, err := c.lookUp(ctx, name, pinned)
	var missing missingError
	if errors.As(err, &missing) {
		return images.Image{}, fmt.Errorf("there is no image %s here: `claude-bottle image ls` shows them: %w", name, errdefs.ErrNotFound)
	}
	if err != nil {
		return images.Image{}, err
	}
	return image.Metadata(), nil
}

// TagImage gives an image a further name.
func (c *Client) TagImage(ctx context.Context, source, target string, needed func(name, digest string) bool) (backend.Image, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	image, err := c.find(ctx, source)
	if err != nil {
		return backend.Image{}, err
	}
	name, _, err := normalize(target)
	if err != nil {
		return backend.Image{}, err
	}
	if err := c.name(ctx, name, image.Target, saidOf(image.Labels), needed); err != nil {
		return backend.Image{}, err
	}
	image.Name = name
	seen, _, _ := c.look(ctx, image) // its problem is told
	return seen, nil
}

// name gives an image a name. An image that has had it, and that somebody needs, is
// called by its digest from now on. Its labels take the place of what the name has said of
// another image.
func (c *Client) name(ctx context.Context, name string, target ocispec.Descriptor, labels map[string]string, needed func(name, digest string) bool) error {
	if _, pinned, err := normalize(name); err != nil {
		return err
	} else if pinned != "" && pinned != target.Digest.String() {
		return fmt.Errorf("image %s can't be %s: its name says another digest: %w", name, target.Digest, errdefs.ErrInvalidArgument)
	}
	if needed != nil {
		if err := c.KeepOld(ctx, name, target.Digest.String(), needed); err != nil {
			return err
		}
	}
	store := c.client.ImageService()
	named := images.Image{Name: name, Target: target, Labels: labels}
	_, err := store.Create(ctx, named)
	if errdefs.IsAlreadyExists(err) {
		_, err = store.Update(ctx, named, "target", "labels")
	}
	if err != nil {
		return c.failed(ctx, "name image "+name, err)
	}
	return nil
}

// withDigest is a name with a digest instead of its tag.
func withDigest(name, digest string) string {
	slash := strings.LastIndexByte(name, '/')
	if colon := strings.LastIndexByte(name, ':'); colon > slash {
		name = name[:colon]
	}
	return name + "@" + digest
}

// RemoveImage takes a name away, and collects what nobody holds any more. mayGo is
// asked before, with the image as it is.
func (c *Client) RemoveImage(ctx context.Context, reference string, mayGo func(backend.Image) error) (backend.ImageRemoval, error) {
	ctx, cancel := c.boundedBy(ctx, unpackBound) // it deletes files
	defer cancel()
	image, err := c.find(ctx, reference)
	if err != nil {
		return backend.ImageRemoval{}, err
	}
	removal := backend.ImageRemoval{Name: image.Name, Digest: image.Target.Digest.String()}
	if err := mayGo(backend.Image{Name: image.Name, Digest: removal.Digest}); err != nil {
		return removal, err
	}
	// An import or export that was killed may hold it, too.
	if _, err := c.dropCut(ctx, "image "+removal.Digest, importing, exporting); err != nil {
		return removal, err
	}
	removal.Freed, err = c.freed(ctx, func() error {
		if err := c.client.ImageService().Delete(ctx, image.Name, images.SynchronousDelete()); err != nil {
			return c.failed(ctx, "remove image "+image.Name, err)
		}
		return nil
	})
	if err != nil {
		return removal, err
	}
	list, err := c.client.ImageService().List(ctx)
	if err != nil {
		return removal, c.failed(ctx, "list images", err)
	}
	for _, other := range list {
		if other.Target.Digest == image.Target.Digest {
			removal.Others = append(removal.Others, other.Name)
		}
	}
	return removal, nil
}

// freed removes something and says how many bytes that has given back.
func (c *Client) freed(ctx context.Context, remove func() error) (int64, error) {
	before, err := c.holds(ctx)
	if err != nil {
		return 0, err
	}
	if err := remove(); err != nil {
		return 0, err
	}
	after, err := c.holds(ctx)
	if err != nil {
		return 0, err
	}
	var bytes int64
	for key, size := range before {
		if _, still := after[key]; !still {
			bytes += size
		}
	}
	return bytes, nil
}

// holds is what the store takes of the disk, each thing with its bytes: blobs, and
// layers unpacked.
func (c *Client) holds(ctx context.Context) (map[string]int64, error) {
	sizes := map[string]int64{}
	err := c.client.ContentStore().Walk(ctx, func(info content.Info) error {
		sizes[info.Digest.String()] = info.Size
		return nil
	})
	if err != nil {
		return nil, c.failed(ctx, "look at the store", err)
	}
	service := c.client.SnapshotService(snapshotter)
	err = service.Walk(ctx, func(ctx context.Context, info snapshots.Info) error {
		if info.Kind != snapshots.KindCommitted {
			return nil
		}
		usage, err := service.Usage(ctx, info.Name)
		if err == nil {
			sizes["snapshot "+info.Name] = usage.Size
		}
		return nil // one that has just gone takes nothing
	})
	if err != nil {
		return nil, c.failed(ctx, "look at the snapshots", err)
	}
	return sizes, nil
}
