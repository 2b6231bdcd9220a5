package runtime

import (
	"context"
	"slices"
)

// Namespaces lists the namespaces that the daemon knows.
func (c *Client) Namespaces(ctx context.Context) ([]string, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	list, err := c.client.NamespaceService().List(ctx)
	if err != nil {
		return nil, c.failed(ctx, "list namespaces", err)
	}
	slices.Sort(list)
	return list, nil
}
