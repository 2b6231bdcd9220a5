package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
	"github.com/containerd/errdefs"
)

// forgetting is how long what no build has needed stays: images of steps, and logs.
const forgetting = 14 * 24 * time.Hour

// maxAudit bounds the log of a step that is kept, in bytes.
const maxAudit = 64 << 20

// audit is the log of what a step asks of the network, open before its bottle goes.
type audit struct{ file *os.File }

// openAudit opens it; a bottle that had none leaves none.
func openAudit(where places) audit {
	file, err := os.Open(filepath.Join(where.state, "egress.jsonl"))
	if err != nil {
		return audit{}
	}
	return audit{file: file}
}

// keep copies it to that path, and closes it.
func (a audit) keep(to string) error {
	if a.file == nil {
		return nil
	}
	defer func() { _ = a.file.Close() }()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fmt.Errorf("keep audit log: %w", err)
	}
	return ledger.WriteFile(to, func(w io.Writer) error {
		_, err := io.Copy(w, io.LimitReader(a.file, maxAudit))
		return err
	})
}

// itemBuild is the kind of what a build has left.
const itemBuild = "build"

// planBuilds adds what builds that were killed have left to the plan.
func (b *Backend) planBuilds(ctx context.Context, plan *backend.CleanupPlan) error {
	leases, err := b.client.BuildLeases(ctx, b.layout.runRoot)
	if err != nil || len(leases) == 0 {
		return err
	}
	if alive, err := held(b.layout.buildLock()); err != nil || alive {
		return err
	}
	plan.Items = append(plan.Items, backend.CleanupItem{
		Bottle: "image build", Kind: itemBuild, Target: strings.Join(leases, ", "), Reason: "it was killed while it made a layer",
	})
	return nil
}

// dropBuilds removes it, unless another build is under way: that does it itself.
func (b *Backend) dropBuilds(ctx context.Context) error {
	lock, err := acquire(b.layout.buildLock(), false)
	if errdefs.IsUnavailable(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.release()
	return b.client.DropBuildLeases(ctx, b.layout.runRoot)
}

// forgetSteps removes the images of steps that no build has needed for long, and logs as
// old as that.
func (b *Backend) forgetSteps(ctx context.Context) error {
	known, err := b.client.NamedImages(ctx, backend.LabelStep)
	if err != nil {
		return err
	}
	stay := map[string]bool{}
	for _, image := range known {
		used, err := time.Parse(time.RFC3339, image.Labels[backend.LabelStep])
		if err == nil && time.Since(used) < forgetting {
			stay[strings.TrimPrefix(image.Name, stepName)+".jsonl"] = true
			continue
		}
		if err := b.client.RemoveName(ctx, image.Name); err != nil {
			return err
		}
	}
	return b.forgetAudits(stay)
}

func (b *Backend) forgetAudits(stay map[string]bool) error {
	entries, err := os.ReadDir(b.layout.builds())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list audit logs: %w", err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || stay[entry.Name()] || time.Since(info.ModTime()) < forgetting {
			continue
		}
		if err := os.Remove(filepath.Join(b.layout.builds(), entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove audit log: %w", err)
		}
	}
	return nil
}
