package containerd

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/containerd/errdefs"
)

var (
	_ backend.ImageKeeper  = (*Backend)(nil)
	_ backend.ImageCarrier = (*Backend)(nil)
)

// use is one who would miss an image, and what he calls it.
type use struct {
	user  backend.ImageUser
	image string
}

// uses are those of the bottles that there are, of the work that is kept, and of what
// else is in the namespace.
func (b *Backend) uses(ctx context.Context) ([]use, error) {
	holders, err := b.client.Holders(ctx)
	if err != nil {
		return nil, err
	}
	var list []use
	live := map[string]bool{}
	for _, holder := range holders {
		kind := backend.UseContainer
		if holder.ID != "" {
			kind, live[holder.ID] = backend.UseBottle, true
		}
		list = append(list, use{backend.ImageUser{Use: kind, Name: holder.Name}, holder.Image})
	}
	ids, err := b.layout.ids()
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if live[id.String()] {
			continue // it has state, too
		}
		if plan, err := readPlan(b.layout.bottle(id)); err == nil {
			list = append(list, use{backend.ImageUser{Use: backend.UseKept, Name: id.Handle()}, plan.Image.Pinned()})
		}
	}
	return list, nil
}

func usersOf(image backend.Image, uses []use) []backend.ImageUser {
	var users []backend.ImageUser
	for _, one := range uses {
		if runtime.Uses(one.image, image) {
			users = append(users, one.user)
		}
	}
	return users
}

// needed says whether somebody needs the image that has a name.
func needed(uses []use) func(name, digest string) bool {
	return func(name, digest string) bool {
		return len(usersOf(backend.Image{Name: name, Digest: digest}, uses)) > 0
	}
}

// Images implements backend.ImageKeeper.
func (b *Backend) Images(ctx context.Context) ([]backend.Image, error) {
	list, err := b.client.Images(ctx)
	if err != nil {
		return nil, err
	}
	uses, err := b.uses(ctx)
	if err != nil {
		return nil, err
	}
	for i, image := range list {
		list[i].Users = usersOf(image, uses)
	}
	return list, nil
}

// InspectImage implements backend.ImageKeeper.
func (b *Backend) InspectImage(ctx context.Context, reference string) (*backend.ImageDetail, error) {
	detail, err := b.client.InspectImage(ctx, reference)
	if err != nil {
		return nil, err
	}
	uses, err := b.uses(ctx)
	if err != nil {
		return nil, err
	}
	detail.Users = usersOf(detail.Image, uses)
	return detail, nil
}

// TagImage implements backend.ImageKeeper.
func (b *Backend) TagImage(ctx context.Context, source, target string) (backend.Image, error) {
	uses, err := b.uses(ctx)
	if err != nil {
		return backend.Image{}, err
	}
	return b.client.TagImage(ctx, source, target, needed(uses))
}

// RemoveImage implements backend.ImageKeeper.
func (b *Backend) RemoveImage(ctx context.Context, wish backend.ImageRemove) (backend.ImageRemoval, error) {
	var users []backend.ImageUser
	removal, err := b.client.RemoveImage(ctx, wish.Reference, func(image backend.Image) error {
		if wish.Digest != "" && wish.Digest != image.Digest {
			return fmt.Errorf("image %s is %s by now: %w", image.Name, image.Digest, errdefs.ErrNotFound)
		}
		uses, err := b.uses(ctx)
		if err != nil {
			return err
		}
		if users = usersOf(image, uses); len(users) == 0 || wish.Force {
			return nil
		}
		names := make([]string, len(users))
		for i, user := range users {
			names[i] = fmt.Sprintf("%s %s", user.Use, backend.Printable(user.Name))
		}
		return fmt.Errorf("image %s is in use by %s: end or remove that first, or add --force to take the name away all the same: %w",
			image.Name, strings.Join(names, ", "), errdefs.ErrConflict)
	})
	removal.Users = users
	return removal, err
}

// PullImage implements backend.ImageCarrier.
func (b *Backend) PullImage(ctx context.Context, wish backend.ImagePull) (backend.Image, error) {
	if wish.MaxSize == 0 {
		wish.MaxSize = backend.DefaultImageSize
	}
	uses, err := b.uses(ctx)
	if err != nil {
		return backend.Image{}, err
	}
	pulled, err := b.client.PullImage(ctx, wish, needed(uses), b.options.Progress)
	if err != nil {
		return backend.Image{}, err
	}
	return backend.Image{Name: pulled.Reference, Digest: pulled.Digest, Platform: pulled.Platform, Size: pulled.Size, Unpacked: pulled.Unpacked}, nil
}

// ImportImage implements backend.ImageCarrier.
func (b *Backend) ImportImage(ctx context.Context, wish backend.ImageImport) ([]backend.Image, error) {
	if wish.MaxSize == 0 {
		wish.MaxSize = backend.DefaultImageSize
	}
	uses, err := b.uses(ctx)
	if err != nil {
		return nil, err
	}
	return b.client.ImportImage(ctx, wish, needed(uses), b.options.Progress)
}

// ExportImage implements backend.ImageCarrier.
func (b *Backend) ExportImage(ctx context.Context, reference string, w io.Writer) error {
	return b.client.ExportImage(ctx, reference, w)
}

// Transfers implements backend.ImageCarrier.
func (b *Backend) Transfers(ctx context.Context) (backend.Transfers, error) {
	return b.client.Transfers(ctx)
}

// DropTransfers implements backend.ImageCarrier.
func (b *Backend) DropTransfers(ctx context.Context) (backend.Transfers, error) {
	return b.client.DropTransfers(ctx)
}

// NamesImage says whether a reference stands for an image of the store.
func NamesImage(reference string, image backend.Image) bool { return runtime.Uses(reference, image) }
