package containerd

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/image/layer"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/containerd/errdefs"
)

// Bounds of a step that no recipe sets.
const (
	maxLayerEntries = 1_000_000
	maxPutBytes     = 8 << 30
	diskPause       = 2 * time.Second // between two looks at what a step has written
	reportTimeout   = 5 * time.Second
)

// imageEpoch is the time that no file of an image is newer than, as programs of a step
// are told it by SOURCE_DATE_EPOCH; without that it is the beginning.
func imageEpoch(env []string) time.Time {
	for _, variable := range env {
		if text, ok := strings.CutPrefix(variable, "SOURCE_DATE_EPOCH="); ok {
			if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
				return time.Unix(seconds, 0).UTC()
			}
		}
	}
	return time.Unix(0, 0).UTC()
}

// launch brings up the bottle of one step: no credential, no agent, no workspace, and no
// host to reach but those of the step.
func (d *build) launch(ctx context.Context, step backend.PlannedStep, parent runtime.Image) (*launch, error) {
	plan, err := d.backend.sandboxPlan("build-"+strings.ToLower(rand.Text()[:suffixWidth]), parent, d.detail.choice)
	if err != nil {
		return nil, err
	}
	plan.Agent, plan.Bottle, plan.Limits = "image-build", "image-build", d.plan.Limits
	plan.Anthropic = backend.PlanAnthropic{Upstream: nowhere}
	plan.Egress, plan.Discard = step.Hosts, true
	return d.backend.launch(ctx, plan, backend.Secrets{}, role{builds: true})
}

// run puts in what the step puts in, runs its command, and has all of it written down.
func (d *build) run(ctx context.Context, number int, l *launch) error {
	ctx, cancel := context.WithTimeoutCause(ctx, d.plan.Timeout,
		fmt.Errorf("it took longer than %s: raise --timeout, or see why: %w", d.plan.Timeout, context.DeadlineExceeded))
	defer cancel()
	ctx, tooMuch := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() { defer close(watched); d.watchDisk(ctx, l.id.String(), tooMuch) }()
	defer func() { tooMuch(nil); <-watched }()
	err := d.work(ctx, d.plan.Spec.Steps[number], l)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

func (d *build) work(ctx context.Context, step backend.BuildStep, l *launch) error {
	if step.Put != nil {
		put := func(what backend.BuildPut) error {
			files := &neck.FilesRequest{Path: what.To, Name: what.Name, Parents: true, Bytes: maxPutBytes, Entries: maxLayerEntries}
			return l.supervisor.Unpack(ctx, files, what.Tar)
		}
		if err := step.Put(ctx, put); err != nil {
			return err
		}
	}
	if len(step.Argv) > 0 {
		if err := d.session(ctx, l, step.Argv); err != nil {
			return err
		}
	}
	return d.session(ctx, l, []string{backend.InitPath, "sync"})
}

func (d *build) session(ctx context.Context, l *launch, argv []string) error {
	status, err := l.supervisor.Session(ctx, &neck.SessionRequest{Argv: argv, Env: d.plan.Spec.Env, Dir: "/", NoInput: true}, neck.SessionIO{Out: d.out, Err: d.out})
	switch {
	case errdefs.IsNotFound(err):
		return fmt.Errorf("image %s has no %s, which the step needs: %w", l.plan.Image.Reference, argv[0], err)
	case err != nil && outOfMemory(l.id):
		return fmt.Errorf("the bottle ran out of memory (limit %s): raise --memory: %w", backend.Bytes(l.plan.Limits.MemoryBytes), errdefs.ErrResourceExhausted)
	case err != nil:
		return fmt.Errorf("the bottle of the step was lost: %w", err)
	case status.Code != 0:
		return fmt.Errorf("it ended with code %d: %w", status.Code, errdefs.ErrAborted)
	}
	return nil
}

// watchDisk breaks a step off that writes too much.
func (d *build) watchDisk(ctx context.Context, snapshot string, tooMuch context.CancelCauseFunc) {
	tick := time.NewTicker(diskPause)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		// What can't be measured now is bounded when it is committed.
		if written, err := d.backend.client.Written(ctx, snapshot); err == nil && written > d.plan.Disk {
			tooMuch(fmt.Errorf("it wrote more than %s: raise --disk, or see why: %w", backend.Bytes(d.plan.Disk), errdefs.ErrResourceExhausted))
		}
	}
}

// tellRefused says what the step asked for and did not get.
func (d *build) tellRefused(ctx context.Context, number int, l *launch) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportTimeout)
	defer cancel()
	report, err := l.supervisor.Report(ctx)
	if err != nil {
		return // the bottle is gone, and its end was said
	}
	for _, denial := range report.Denials.Hosts {
		host := denial.Host
		if denial.Port != 0 {
			host = net.JoinHostPort(host, strconv.Itoa(int(denial.Port)))
		}
		d.say("step %d asked for %s: denied; add it under egress.allow of the recipe if it is needed", number+1, backend.Printable(host))
	}
	if report.Denials.More > 0 {
		d.say("step %d asked for %d more that were denied", number+1, report.Denials.More)
	}
}

// commit makes an image of what the step has left.
func (d *build) commit(ctx context.Context, number int, l *launch, parent runtime.Image, frozen string) (runtime.Image, error) {
	planned, spec := d.plan.Steps[number], d.plan.Spec
	var summary layer.Summary
	options := layer.Options{
		Epoch: imageEpoch(spec.Env), Bytes: d.plan.Disk, Entries: maxLayerEntries,
		Shadowed: []string{"dev", "proc", "run", "sys", "tmp", "var/tmp", "etc/hostname", "etc/hosts", "etc/resolv.conf"},
	}
	if l.user.first != 0 {
		options.HostID, options.Size = int(l.user.first), uidCount
	}
	image, err := d.backend.client.CommitStep(ctx, runtime.Step{
		Parent: parent, Snapshot: frozen, Name: stepName + planned.Key, Labels: usedNow(),
		CreatedBy: "claude-bottle: " + planned.Title, Created: options.Epoch, Env: spec.Env, Bytes: 2*d.plan.Disk + 1<<20,
		Rewrite: func(difference io.Reader, to io.Writer) (err error) {
			summary, err = layer.Rewrite(difference, to, options)
			return err
		},
	})
	if err != nil {
		return runtime.Image{}, err
	}
	if len(summary.Unmarked) > 0 {
		d.say("step %d: setuid and setgid bits mean nothing in a bottle and are gone: %s", number+1, some(summary.Unmarked))
	}
	if len(summary.Dropped) > 0 {
		d.say("step %d: devices, FIFOs and sockets are left out: %s", number+1, some(summary.Dropped))
	}
	return image, nil
}

// some names a few of many.
func some(names []string) string {
	const shown = 5
	list := make([]string, 0, shown)
	for _, name := range names[:min(len(names), shown)] {
		list = append(list, backend.Printable("/"+name))
	}
	if len(names) > shown {
		list = append(list, "and others")
	}
	return strings.Join(list, ", ")
}
