package runtime

import (
	"context"

	"github.com/claude-bottle/claude-bottle/backend"
)

// Holder is a container that an image is used by, ours or not.
type Holder struct {
	Name  string
	Image string // name, or name and digest of what is ours
	ID    string // of a bottle; "" for what is somebody else's
}

// Holders lists the containers of the namespace with their images.
func (c *Client) Holders(ctx context.Context) ([]Holder, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	list, err := c.client.ContainerService().List(ctx)
	if err != nil {
		return nil, c.failed(ctx, "list containers", err)
	}
	holders := make([]Holder, 0, len(list))
	for _, container := range list {
		holder := Holder{Name: container.ID, Image: container.Image}
		if pinned := container.Labels[backend.LabelImage]; pinned != "" && container.Labels[backend.LabelID] != "" {
			holder.Image, holder.ID = pinned, container.Labels[backend.LabelID]
		}
		if holder.Image != "" {
			holders = append(holders, holder)
		}
	}
	return holders, nil
}

// Uses says whether a name, or a name with a digest, stands for an image. One of its
// digest in the same repository is what a pin finds.
func Uses(text string, image backend.Image) bool {
	name, pinned, err := normalize(text)
	if err != nil {
		return text == image.Name
	}
	if pinned == "" {
		return name == image.Name
	}
	return pinned == image.Digest && withDigest(nameOf(image), pinned) == name
}

// nameOf is the name of an image without a digest of its own.
func nameOf(image backend.Image) string {
	for i, r := range image.Name {
		if r == '@' {
			return image.Name[:i]
		}
	}
	return image.Name
}
