package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
	"github.com/claude-bottle/claude-bottle/work"
	"golang.org/x/sync/errgroup"
)

// Fork makes a kept bottle of that name which starts from the work and the
// conversation of another, kept or running, as they are now. Nothing is shared between
// the two: a hard link would give one bottle a file of the other's.
func (b *Backend) Fork(ctx context.Context, of *backend.Work, name string) (_ *backend.Work, err error) {
	claimed, err := b.layout.claim(name)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			claimed.abandon()
			err = fmt.Errorf("fork %s: %w", of.Handle(), err)
		}
	}()
	// Up to its end it is a bottle in which nobody has worked yet.
	if err := os.WriteFile(claimed.unready(), nil, 0o600); err != nil {
		return nil, fmt.Errorf("mark bottle as unready: %w", err)
	}
	who, err := newUser(claimed.id, true)
	if err != nil {
		return nil, err
	}
	made := &backend.Work{ID: claimed.id, State: claimed.state, Plan: of.Plan}
	if err := copyState(ctx, of, made, who); err != nil {
		return nil, err
	}
	if err := work.Carry(ctx, of, made); err != nil {
		return nil, err
	}
	if err := os.WriteFile(claimed.kept(), nil, 0o600); err != nil {
		return nil, fmt.Errorf("mark bottle as kept: %w", err)
	}
	if err := syncState(ctx, claimed.places); err != nil {
		return nil, err
	}
	if err := errors.Join(os.Remove(claimed.unready()), ledger.SyncDirectory(claimed.state)); err != nil {
		return nil, fmt.Errorf("finish bottle: %w", err)
	}
	// From here on it is whole: what goes wrong with its run directory is no reason
	// to take it back.
	if err := removeRun(claimed.places); err != nil {
		b.options.Notice(fmt.Sprintf("the run directory of %s stays: %v", made.Handle(), err))
	}
	claimed.lock.release()
	return made, nil
}

// copyState copies what the agent has made, and the notes of the host about it that
// hold for a copy, too.
func copyState(ctx context.Context, from, to *backend.Work, who user) error {
	group, ctx := errgroup.WithContext(ctx)
	agent := archive.Options{UID: int(who.host), GID: int(who.host)}
	for name, options := range map[string]archive.Options{
		string(backend.PlaceWorkspace): agent,
		string(backend.PlaceHome):      agent,
		string(backend.PlaceClaude):    agent,
		backend.StateBase:              {UID: os.Geteuid(), GID: os.Getegid()},
	} {
		group.Go(func() error { return copyDirectory(ctx, from.Path(name), to.Path(name), options) })
	}
	for _, name := range []string{backend.StatePlan, backend.StateTips, backend.StateCommits} {
		group.Go(func() error { return copyNote(from.Path(name), to.Path(name)) })
	}
	return group.Wait()
}

// copyDirectory copies a directory that may not be there.
func copyDirectory(ctx context.Context, from, to string, options archive.Options) error {
	source, err := os.OpenFile(from, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("copy work: %w", err)
	}
	defer func() { _ = source.Close() }()
	if err := errors.Join(os.Mkdir(to, 0o700), os.Chown(to, options.UID, options.GID)); err != nil {
		return fmt.Errorf("copy work: %w", err)
	}
	target, err := os.Open(to)
	if err != nil {
		return fmt.Errorf("copy work: %w", err)
	}
	defer func() { _ = target.Close() }()
	if _, err := archive.Copy(ctx, source, target, archive.PackOptions{}, options); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return nil
}

// copyNote copies a file of the host's own that may not be there.
func copyNote(from, to string) error {
	source, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("copy notes: %w", err)
	}
	defer func() { _ = source.Close() }()
	return ledger.WriteFile(to, func(w io.Writer) error {
		_, err := io.Copy(w, source)
		return err
	})
}
