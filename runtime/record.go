package runtime

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Record is the containerd container of a bottle: the claim of its name and the
// wish for it.
type Record struct {
	Name        string
	Labels      map[string]string // keys begin with backend.LabelPrefix
	Image       string            // reference
	SnapshotKey string
	Spec        *specs.Spec // only for CreateRecord
	Runtime     Handle      // only for CreateRecord
	CreatedAt   time.Time
}

// CreateRecord claims the name. A taken one is an AlreadyExists error. The
// snapshot that the record names need not exist yet: from now on the garbage
// collector leaves it alone.
func (c *Client) CreateRecord(ctx context.Context, record Record) error {
	// As with snapshots: how it ended must be known.
	ctx, cancel := c.bounded(context.WithoutCancel(ctx))
	defer cancel()
	for key := range record.Labels {
		if !strings.HasPrefix(key, backend.LabelPrefix) {
			return fmt.Errorf("create record: label %q is not ours: %w", key, errdefs.ErrInvalidArgument)
		}
	}
	spec, err := typeurl.MarshalAny(record.Spec)
	if err != nil {
		return fmt.Errorf("encode OCI spec: %w", err)
	}
	options, err := record.Runtime.options(c.options.RuntimeRoot)
	if err != nil {
		return err
	}
	container := containers.Container{
		ID: record.Name, Labels: maps.Clone(record.Labels), Image: record.Image,
		Runtime: containers.RuntimeInfo{Name: record.Runtime.Shim, Options: options},
		Spec:    spec,
	}
	if record.SnapshotKey != "" {
		container.SnapshotKey, container.Snapshotter = record.SnapshotKey, snapshotter
	}
	if _, err = c.client.ContainerService().Create(ctx, container); err != nil {
		return c.failed(ctx, "create record "+record.Name, err)
	}
	return nil
}

// Record returns the record of that name if it is one of ours; else a NotFound
// error.
func (c *Client) Record(ctx context.Context, name string) (Record, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	container, err := c.client.ContainerService().Get(ctx, name)
	if err != nil {
		return Record{}, c.failed(ctx, "read record "+name, err)
	}
	if container.Labels[backend.LabelID] == "" {
		return Record{}, fmt.Errorf("container %s is no bottle: %w", name, errdefs.ErrNotFound)
	}
	return recordOf(container), nil
}

// Records returns all of ours.
func (c *Client) Records(ctx context.Context) ([]Record, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	list, err := c.client.ContainerService().List(ctx, `labels."`+backend.LabelID+`"`)
	if err != nil {
		return nil, c.failed(ctx, "list records", err)
	}
	records := make([]Record, 0, len(list))
	for _, container := range list {
		records = append(records, recordOf(container))
	}
	return records, nil
}

func recordOf(container containers.Container) Record {
	return Record{
		Name: container.ID, Labels: container.Labels, Image: container.Image,
		SnapshotKey: container.SnapshotKey, CreatedAt: container.CreatedAt,
	}
}

// SetLabel sets one label and touches nothing else of the record.
func (c *Client) SetLabel(ctx context.Context, name, key, value string) error {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	_, err := c.client.ContainerService().Update(ctx, containers.Container{ID: name, Labels: map[string]string{key: value}}, "labels."+key)
	if err != nil {
		return c.failed(ctx, "label record "+name, err)
	}
	return nil
}

// DeleteRecord gives the name free. One that is gone is fine.
func (c *Client) DeleteRecord(ctx context.Context, name string) error {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	if err := c.client.ContainerService().Delete(ctx, name); err != nil && !errdefs.IsNotFound(err) {
		return c.failed(ctx, "delete record "+name, err)
	}
	return nil
}
