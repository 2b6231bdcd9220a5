package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
)

// Labels of a lease on an image under way.
const (
	labelTransfer = backend.LabelPrefix + "transfer" // what is under way
	labelHolder   = backend.LabelPrefix + "holder"   // the process that it is under way in
)

// How long a lease is. What was cut of a pull waits for a next time to go on with it;
// nobody goes on with an import or an export.
const (
	pullLease = 24 * time.Hour
	moveLease = importBound + 10*time.Minute
)

// What is under way, where it is not one image.
const (
	importing = "import"
	exporting = "export"
)

// held is a lease that keeps what is pulled and unpacked from the garbage collector.
type held struct {
	client *Client
	lease  leases.Lease
}

// lease makes one, and ties what is done by the returned context to it. The client
// makes leases of its own where there is none, and leaves them when ctx ends.
func (c *Client) lease(ctx context.Context, what string, lasts time.Duration) (context.Context, *held, error) {
	holder, err := thisProcess()
	if err != nil {
		return nil, nil, err
	}
	bounded, cancel := c.bounded(context.WithoutCancel(ctx))
	defer cancel()
	made, err := c.client.LeasesService().Create(bounded, leases.WithRandomID(), leases.WithExpiration(lasts),
		leases.WithLabel(labelTransfer, what), leases.WithLabel(labelHolder, holder))
	if err != nil {
		return nil, nil, c.failed(bounded, "lease the image", err)
	}
	return leases.WithLease(ctx, made.ID), &held{client: c, lease: made}, nil
}

// release ends the lease. Of an image that failed nothing is kept.
func (h *held) release(ctx context.Context, failed bool) error {
	undo, cancel := h.client.boundedBy(context.WithoutCancel(ctx), releaseBound)
	defer cancel()
	var options []leases.DeleteOpt
	if failed {
		options = append(options, leases.SynchronousDelete)
	}
	err := h.client.client.LeasesService().Delete(undo, h.lease, options...)
	if err != nil && !errdefs.IsNotFound(err) {
		return h.client.failed(undo, "release the image", err)
	}
	return nil
}

// cut are the leases of transfers whose process is no more, all or just those of what is
// named. One of a process that can't be seen from here ends by its own time.
func (c *Client) cut(ctx context.Context, what ...string) ([]leases.Lease, error) {
	filter := `labels."` + labelHolder + `"`
	list, err := c.client.LeasesService().List(ctx, filter)
	if err != nil {
		return nil, c.failed(ctx, "list leases", err)
	}
	var found []leases.Lease
	for _, lease := range list {
		if (len(what) == 0 || slices.Contains(what, lease.Labels[labelTransfer])) && gone(lease.Labels[labelHolder]) {
			found = append(found, lease)
		}
	}
	return found, nil
}

// dropCut ends the leases of transfers that were cut, all or just those of what is named,
// and says how many.
func (c *Client) dropCut(ctx context.Context, what ...string) (int, error) {
	ctx, cancel := c.boundedBy(context.WithoutCancel(ctx), releaseBound)
	defer cancel()
	list, err := c.cut(ctx, what...)
	for i, lease := range list {
		var options []leases.DeleteOpt
		if i == len(list)-1 { // one collection is for all
			options = append(options, leases.SynchronousDelete)
		}
		if deleteErr := c.client.LeasesService().Delete(ctx, lease, options...); deleteErr != nil && !errdefs.IsNotFound(deleteErr) {
			err = errors.Join(err, c.failed(ctx, "drop what was cut", deleteErr))
		}
	}
	return len(list), err
}

// collect has the daemon collect what is nobody's, and with it what is made under a lease
// that ends here.
func (c *Client) collect(ctx context.Context, under func(ctx context.Context, lease string) error) error {
	manager := c.client.LeasesService()
	lease, err := manager.Create(ctx, leases.WithRandomID(), leases.WithExpiration(moveLease))
	if err != nil {
		return c.failed(ctx, "lease what is to be collected", err)
	}
	return errors.Join(under(leases.WithLease(ctx, lease.ID), lease.ID), manager.Delete(ctx, lease, leases.SynchronousDelete))
}

// thisProcess names this process so that nobody takes another for it: its number may
// be given again, and mean another in another namespace.
func thisProcess() (string, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return "", fmt.Errorf("find the namespace of processes: %w", err)
	}
	began, err := beginning(os.Getpid())
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %s %d %s", strings.TrimSpace(string(boot)), namespace, os.Getpid(), began), nil
}

// beginning is when a process began, in ticks since the boot.
func beginning(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", fmt.Errorf("look at process %d: %w", pid, err)
	}
	// The name stands in brackets and may hold anything; the state comes after it.
	text := string(stat)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	const startTime = 19 // field 22 of proc(5)
	if len(fields) <= startTime {
		return "", fmt.Errorf("look at process %d: %d fields: %w", pid, len(fields), errdefs.ErrFailedPrecondition)
	}
	return fields[startTime], nil
}

// gone says that a process is certainly no more.
func gone(holder string) bool {
	ours, err := thisProcess()
	if err != nil {
		return false
	}
	us, them := strings.Fields(ours), strings.Fields(holder)
	switch {
	case len(them) != len(us):
		return false
	case them[0] != us[0]:
		return true // an earlier boot
	case them[1] != us[1]:
		return false
	}
	var pid int
	if _, err := fmt.Sscan(them[2], &pid); err != nil {
		return false
	}
	began, err := beginning(pid)
	return errors.Is(err, os.ErrNotExist) || err == nil && began != them[3]
}

// Transfers tells what pulls and imports have left that were cut.
func (c *Client) Transfers(ctx context.Context) (backend.Transfers, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	list, err := c.cut(ctx)
	if err != nil {
		return backend.Transfers{}, err
	}
	found := backend.Transfers{Count: len(list)}
	for _, lease := range list {
		resources, err := c.client.LeasesService().ListResources(ctx, lease)
		if err != nil && !errdefs.IsNotFound(err) {
			return found, c.failed(ctx, "look at what was cut", err)
		}
		for _, resource := range resources {
			if resource.Type != "ingests" {
				continue
			}
			if status, err := c.client.ContentStore().Status(ctx, resource.ID); err == nil {
				found.Bytes += status.Offset
			}
		}
	}
	return found, nil
}

// DropTransfers removes it, and says what that has given back.
func (c *Client) DropTransfers(ctx context.Context) (backend.Transfers, error) {
	found, err := c.Transfers(ctx)
	if err != nil || found.Count == 0 {
		return found, err
	}
	bounded, cancel := c.boundedBy(ctx, unpackBound) // it deletes files
	defer cancel()
	freed, err := c.freed(bounded, func() (err error) {
		found.Count, err = c.dropCut(ctx)
		return err
	})
	found.Bytes += freed
	return found, err
}
