package containerd

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
	"github.com/containerd/errdefs"
)

// claim gets the directories of the planned bottle: new ones, or those of a kept
// bottle that goes on.
func (b *Backend) claim(ctx context.Context, plan *backend.Plan) (*claim, error) {
	if plan.Resume == nil {
		return b.layout.claim(plan.Name)
	}
	adopted, err := b.layout.adopt(plan.Resume.ID, plan.Name)
	if err != nil {
		return nil, fmt.Errorf("resume %s: %w", plan.Resume.Handle, err)
	}
	if err := b.clearAway(ctx, adopted.places); err != nil {
		adopted.abandon()
		return nil, fmt.Errorf("resume %s: %w", plan.Resume.Handle, err)
	}
	return adopted, nil
}

// adopt takes the directories of a kept bottle for a new life of it, under a name
// that may be another. The suffix stays, and with it the range of ids that its files
// belong to.
func (l layout) adopt(id backend.ID, name string) (_ *claim, err error) {
	guard, err := acquire(l.claimLock(), true)
	if err != nil {
		return nil, err
	}
	defer guard.release()
	from, to := l.bottle(id), l.bottle(backend.ID{Name: name, Suffix: id.Suffix})
	if there, err := exists(from.state); err != nil || !there {
		return nil, errors.Join(fmt.Errorf("it is gone meanwhile: %w", errdefs.ErrNotFound), err)
	}
	taken, err := takeFree(from)
	if errdefs.IsUnavailable(err) {
		return nil, fmt.Errorf("it is in use by another command: wait for it to end: %w", err)
	}
	if err != nil {
		return nil, err
	}
	made := &claim{places: from, lock: taken, adopted: true}
	defer func() {
		if err != nil {
			made.abandon()
		}
	}()
	if err := checkReady(from); err != nil {
		return nil, err
	}
	if err := os.WriteFile(from.resuming(), nil, 0o600); err != nil {
		return nil, fmt.Errorf("mark bottle as resuming: %w", err)
	}
	if to.id != from.id {
		if made, err = l.rename(made, to); err != nil {
			return made, err
		}
	}
	// From now on who holds it stands behind it.
	if err := os.Remove(made.taken()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("claim kept bottle: %w", err)
	}
	return made, nil
}

// checkReady refuses a bottle that was never whole: a launch or a fork was cut. What is
// done in one would count as nothing.
func checkReady(where places) error {
	unready, err := neverRan(where)
	if err != nil || !unready {
		return err
	}
	return fmt.Errorf("it was cut before it was whole, and nobody has worked in it: `claude-bottle cleanup` or `claude-bottle rm %s` removes it: %w",
		where.id.Handle(), errdefs.ErrFailedPrecondition)
}

// rename gives a kept bottle another name. It returns the claim that holds then.
func (l layout) rename(old *claim, to places) (*claim, error) {
	if there, err := exists(to.state); err != nil || there {
		return old, errors.Join(fmt.Errorf("%s is there already: choose another name: %w", to.id.Handle(), errdefs.ErrAlreadyExists), err)
	}
	lock, err := takeFree(to) // what a rename that was cut has left there is nobody's
	if err != nil {
		return old, err
	}
	if err := os.Rename(old.state, to.state); err != nil {
		_ = removeRun(to)
		lock.release()
		return old, fmt.Errorf("rename kept bottle: %w", err)
	}
	now := &claim{places: to, lock: lock, adopted: true}
	if err := ledger.SyncDirectory(l.bottles()); err != nil {
		return now, fmt.Errorf("rename kept bottle: %w", err)
	}
	err = removeRun(old.places)
	old.lock.release()
	return now, err
}

// clearAway removes what a crash may have left of the bottle's last life beside its
// state.
func (b *Backend) clearAway(ctx context.Context, where places) error {
	s, err := b.observe(ctx, where, true)
	if err != nil {
		return err
	}
	s.state, s.run = false, false
	if err := reconcile(ctx, wishGone, s, b.downward(where, false), backend.NoProgress{}); err != nil {
		return err
	}
	return emptyRun(where)
}

// stage makes what is bound into the bottle, and notes its plan.
func (l *launch) stage() error {
	if l.adopted {
		return stageAgain(l.places, l.user)
	}
	if l.builds {
		return errors.Join(stageBuild(l.places, l.user), writePlan(l.places, l.plan))
	}
	if err := stage(l.places, l.user); err != nil {
		return err
	}
	return errors.Join(writePlan(l.places, l.plan), writeDeclaration(l.places, l.plan.Declaration))
}

// stageAgain is stage for a bottle that was kept. Its places are the agent's by now:
// they are looked at, and nothing in them is followed.
func stageAgain(where places, who user) error {
	for _, place := range []backend.Place{backend.PlaceWorkspace, backend.PlaceHome, backend.PlaceClaude} {
		dir := where.place(place)
		info, err := os.Lstat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			if err := makeOwned(dir, who); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("look at place: %w", err)
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); !ok || !info.IsDir() || stat.Uid != who.host {
			return fmt.Errorf("%s is not the directory of this bottle: copy the work out with `claude-bottle cp`: %w", dir, errdefs.ErrFailedPrecondition)
		}
	}
	if err := makeMountPoints(where, who); err != nil {
		return err
	}
	return stageRun(where, who)
}

// makeMountPoints makes those that are missing, in place of what is no directory.
func makeMountPoints(where places, who user) error {
	home, err := os.OpenRoot(where.place(backend.PlaceHome))
	if err != nil {
		return fmt.Errorf("open home: %w", err)
	}
	defer func() { _ = home.Close() }()
	for _, name := range mountPoints() {
		info, err := home.Lstat(name)
		if err == nil && info.IsDir() {
			continue
		}
		if err == nil {
			err = home.Remove(name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("make mount point: %w", err)
		}
		if err := errors.Join(home.Mkdir(name, 0o700), home.Lchown(name, int(who.host), int(who.host))); err != nil {
			return fmt.Errorf("make mount point: %w", err)
		}
	}
	return nil
}

// claudeState is claude's own memory of its user, in the home directory.
const claudeState = ".claude.json"

// provisionAgain puts settings, skills and the prompt in as they are now. The
// workspace stays as it is, and so does what claude has noted for itself.
func (l *launch) provisionAgain(ctx context.Context) (err error) {
	plan := *l.plan
	plan.Workspace = nil
	l.promptPath, err = l.provisioner.Provision(ctx, &plan, againTarget{hostTarget{places: l.places, user: l.user}})
	return err
}

// againTarget is hostTarget for a bottle whose claude has run before.
type againTarget struct{ hostTarget }

// Extract implements backend.Target.
func (t againTarget) Extract(ctx context.Context, place backend.Place, stream io.Reader) error {
	if place != backend.PlaceHome {
		return t.hostTarget.Extract(ctx, place, stream)
	}
	home, err := os.OpenRoot(t.places.place(place))
	if err != nil {
		return fmt.Errorf("open home: %w", err)
	}
	defer func() { _ = home.Close() }()
	if info, err := home.Lstat(claudeState); err != nil || !info.Mode().IsRegular() {
		return t.hostTarget.Extract(ctx, place, stream)
	}
	rest, err := without(claudeState, stream)
	if err != nil {
		return err
	}
	return t.hostTarget.Extract(ctx, place, rest)
}

// without copies a small tar stream but for one file.
func without(name string, stream io.Reader) (io.Reader, error) {
	var rest bytes.Buffer
	reader, writer := tar.NewReader(stream), tar.NewWriter(&rest)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read input: %w", err)
		}
		if header.Name == name {
			continue
		}
		if err := writer.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("write input: %w", err)
		}
		if _, err := io.Copy(writer, reader); err != nil { //nolint:gosec // it was held in memory before
			return nil, fmt.Errorf("write input: %w", err)
		}
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("write input: %w", err)
	}
	return &rest, nil
}
