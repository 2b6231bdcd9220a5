package debian

import (
	"context"
	"fmt"
	"sync"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
)

// Bounds of all packages together.
const (
	maxPackages  = 1 << 30 // packed, in memory
	sideBySide   = 4
	fetchingName = "fetching Debian's packages"
)

// download gets the packages, each checked, in their order.
func (a Archive) download(ctx context.Context, chosen []pack) ([][]byte, error) {
	var total int64
	for _, one := range chosen {
		total += max(one.sum.size, 0)
	}
	if total > maxPackages {
		return nil, fmt.Errorf("the packages are said to have %s: %w", backend.Bytes(total), errdefs.ErrResourceExhausted)
	}
	var (
		packed  = make([][]byte, len(chosen))
		counted sync.Mutex
		done    int64
	)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(sideBySide)
	for i, one := range chosen {
		group.Go(func() error {
			data, err := fetch(ctx, one.base, one.path, one.sum, maxPackage)
			if err != nil {
				return fmt.Errorf("package %s: %w", backend.Printable(one.name), err)
			}
			packed[i] = data
			counted.Lock()
			defer counted.Unlock()
			done += int64(len(data))
			a.Progress.Bytes(fetchingName, done, total)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return packed, nil
}
