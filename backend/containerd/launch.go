package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/change"
	"github.com/claude-bottle/claude-bottle/provision"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"golang.org/x/sync/errgroup"
)

// launch is one bottle on its way up.
type launch struct {
	*claim
	backend    *Backend
	plan       *backend.Plan
	detail     Detail
	secrets    backend.Secrets
	user       user
	netns      *networkNamespace
	supervisor *supervise.Client
	promptPath string
	role
}

// Launch implements backend.Backend.
func (b *Backend) Launch(ctx context.Context, plan *backend.Plan, secrets backend.Secrets) (backend.Bottle, error) {
	return b.launchBottle(ctx, plan, secrets, provision.Provisioner{Progress: b.options.Progress})
}

func (b *Backend) launchBottle(ctx context.Context, plan *backend.Plan, secrets backend.Secrets, by backend.Provisioner) (backend.Bottle, error) {
	if err := supervise.CheckSSHKeys(plan, secrets); err != nil {
		return nil, err
	}
	l, err := b.launch(ctx, plan, secrets, role{provisioner: by})
	if err != nil {
		return nil, err
	}
	return l.bottle(), nil
}

// launch brings a bottle up, whatever it is for.
func (b *Backend) launch(ctx context.Context, plan *backend.Plan, secrets backend.Secrets, as role) (_ *launch, err error) {
	detail, err := detailOf(plan)
	if err != nil {
		return nil, err
	}
	if err := checkProxy(); err != nil {
		return nil, err
	}
	if detail.image, err = b.client.EnsureImage(ctx, detail.image, b.options.Progress); err != nil {
		return nil, err
	}
	if err := b.client.CheckUnchanged(detail.handle); err != nil {
		return nil, err
	}
	if err := b.makeWay(ctx, plan.Name); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, launchTimeout, fmt.Errorf("launch took longer than %s: %w", launchTimeout, context.DeadlineExceeded))
	defer cancel()
	claimed, err := b.claim(ctx, plan)
	if err != nil {
		return nil, err
	}
	l := &launch{claim: claimed, backend: b, plan: plan, detail: detail, secrets: secrets, role: as}
	if err := l.record(ctx); err != nil {
		l.netns.close()
		l.abandon()
		return nil, err
	}
	defer l.netns.close()
	if err := reconcile(ctx, wishUp, seen{record: true, run: true, state: true}, l.upward, b.options.Progress); err != nil {
		return nil, l.rollBack(ctx, fmt.Errorf("launch %s: %w", plan.Name, err))
	}
	if err := l.settle(); err != nil {
		return nil, l.rollBack(ctx, fmt.Errorf("launch %s: %w", plan.Name, err))
	}
	return l, nil
}

// makeWay sees to it that the name is free: a dead bottle of that name is taken
// down, one that is going is waited for, a living one is an AlreadyExists error.
func (b *Backend) makeWay(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, takeoverTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		record, err := b.client.Record(ctx, name)
		if errdefs.IsNotFound(err) {
			return b.checkNotUnrecorded(ctx, name)
		}
		if err != nil {
			return err
		}
		alive, err := b.lives(ctx, record)
		if err != nil {
			return err
		}
		switch {
		case !alive:
			id, err := idOf(record)
			if err != nil {
				return err
			}
			if err := b.takeDead(ctx, id); err != nil && !errdefs.IsUnavailable(err) {
				return err
			}
		case record.Labels[backend.LabelWish] != backend.WishGone:
			return errNameInUse(name)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("bottle %s is still being taken down: try again, or choose another name with --name: %w", name, errdefs.ErrAlreadyExists)
		case <-tick.C:
		}
	}
}

// record stages what the spec names and claims the bottle's name.
func (l *launch) record(ctx context.Context) (err error) {
	if l.user, err = l.whose()(l.owner(), l.plan.User.Namespace); err != nil {
		return err
	}
	if err := l.stage(); err != nil {
		return err
	}
	if l.netns, err = newNetworkNamespace(l.places.netns(), l.backend.client.Daemon().SharesPIDs); err != nil {
		return err
	}
	spec, err := l.spec()
	if err != nil {
		return err
	}
	err = l.backend.client.CreateRecord(ctx, runtime.Record{
		Name:        l.plan.Name,
		Image:       l.plan.Image.Reference,
		SnapshotKey: l.id.String(),
		Spec:        spec,
		Runtime:     l.detail.handle,
		Labels:      l.labels(),
	})
	if errdefs.IsAlreadyExists(err) {
		return errNameInUse(l.plan.Name)
	}
	return err
}

func (l *launch) labels() map[string]string {
	labels := map[string]string{
		backend.LabelID:            l.id.String(),
		backend.LabelAgent:         l.plan.Agent,
		backend.LabelBottle:        l.plan.Bottle,
		backend.LabelWish:          backend.WishUp,
		backend.LabelPlan:          l.plan.Digest(),
		backend.LabelRuntime:       l.plan.Runtime.Name,
		backend.LabelRuntimeReason: l.plan.Runtime.Reason,
		backend.LabelImage:         l.plan.Image.Pinned(),
		backend.LabelVersion:       backend.RecordVersion,
		backend.LabelRoots:         l.backend.layout.roots(),
	}
	if l.helps != nil {
		labels[backend.LabelHelps] = l.helps.id.Handle()
	}
	return labels
}

// upward does the steps up.
func (l *launch) upward(ctx context.Context, what step) error {
	client := l.backend.client
	switch what {
	case stepSupervise:
		return l.supervise(ctx)
	case stepProvision:
		return l.provision(ctx)
	case stepSnapshot:
		return client.PrepareSnapshot(ctx, l.id.String(), l.detail.image, l.idMap())
	case stepCreate:
		_, err := client.CreateTask(ctx, l.plan.Name, l.initLog())
		return err
	case stepStart:
		return client.StartTask(ctx, l.plan.Name)
	case stepNeck:
		return l.openNeck(ctx)
	case stepFence:
		return l.proveFence(ctx)
	default:
		return fmt.Errorf("step %q does not lead up: %w", what, errdefs.ErrInvalidArgument)
	}
}

func (l *launch) idMap() *runtime.IDMap {
	if l.user.first == 0 {
		return nil
	}
	return &runtime.IDMap{HostID: l.user.first, Size: uidCount}
}

func (l *launch) supervise(ctx context.Context) error {
	if l.plan.Outfits() {
		if err := os.WriteFile(l.setup(), nil, 0o600); err != nil {
			return fmt.Errorf("note commands to come: %w", err)
		}
	}
	options := l.backend.options
	encoded, err := json.Marshal(options)
	if err != nil {
		return fmt.Errorf("encode backend options: %w", err)
	}
	l.supervisor, err = supervise.Start(ctx, supervise.Launch{
		Executable: options.Executable,
		Args:       []string{"supervise", l.id.String()},
		Lock:       l.lock.file,
		Held:       l.helps.files(),
		Log:        l.log(),
		Config: supervise.Config{
			ID: l.id.String(), Run: l.run, State: l.state, UID: int(l.user.host),
			Hosts: l.plan.Egress, Ask: l.plan.Ask, Anthropic: l.plan.Anthropic, Credential: l.secrets.Credential.Reveal(),
			Routes: routeConfigs(l.plan.Routes, l.secrets), DLP: l.plan.DLP, Env: envSecrets(l.plan, l.secrets),
			SSH: supervise.SSHKeys(l.plan, l.secrets), Discard: l.plan.Discard,
			Life: lifeOf(l.plan), Backend: encoded,
		},
	})
	for _, entry := range l.plan.SSH {
		entry.Forget() // the supervisor has it
	}
	return err
}

// provision fills the places and notes what they held before claude came. What
// goes in is kept beside it for those who ask later what has changed. A helper has
// nothing of its own to be filled or kept, and a build neither: claude never comes.
func (l *launch) provision(ctx context.Context) error {
	if l.helps != nil || l.builds {
		return nil
	}
	if l.adopted {
		return l.provisionAgain(ctx)
	}
	target := hostTarget{places: l.places, user: l.user}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		if l.promptPath, err = l.provisioner.Provision(groupCtx, l.plan, target); err != nil {
			return err
		}
		return l.noteWhatWentIn(groupCtx)
	})
	if tree := l.plan.Workspace; tree != nil && !l.plan.Discard {
		group.Go(func() error { return change.WriteBase(groupCtx, l.state, tree, provision.Goes(tree)) })
	}
	return group.Wait()
}

// openNeck waits for PID 1, or for the task to end without it.
func (l *launch) openNeck(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended, err := l.backend.client.WaitTask(ctx, l.plan.Name)
	if err != nil {
		return err
	}
	ready := make(chan error, 1)
	go func() { ready <- l.supervisor.Ready(ctx) }()
	select {
	case err := <-ready:
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("%w%s", err, tail(l.log()))
		}
		return err
	case exit := <-ended:
		cancel()
		<-ready //nolint:errcheck // cancelled
		if exit.Err != nil {
			return exit.Err
		}
		return fmt.Errorf("PID 1 of the bottle ended with code %d before it opened the neck%s: %w", exit.Code, tail(l.initLog()), errdefs.ErrAborted)
	}
}

// rollBack takes down what was made, and returns cause with what went wrong on
// the way.
func (l *launch) rollBack(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), teardownTimeout)
	defer cancel()
	if err := l.bottle().tearDown(ctx); err != nil {
		log.G(ctx).WithError(err).Warn("roll back launch")
		return errors.Join(cause, fmt.Errorf("roll back: %w", err))
	}
	return cause
}
