package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// maxKept bounds the bottles that are kept for one user: ids are shared by all.
const maxKept = 128

// helperOf begins the name by which a helper is counted: then comes whom it helps.
const helperOf = "helper of "

// admit makes room for one more bottle, or says which limit it would exceed. The room is
// given back once the bottle is listed, or has failed.
func (u *user) admit(ctx context.Context, plan *backend.Plan, quota backend.Quota) (release func(), err error) {
	u.admitting.Lock()
	defer u.admitting.Unlock()
	launching := u.launches() // first: what is listed by then is not counted twice
	list, err := u.backend.ListActive(ctx)
	if err != nil {
		return nil, err
	}
	bottles := int64(1)
	sum := plan.Limits
	add := func(limits backend.Limits) {
		bottles++
		sum.MemoryBytes += limits.MemoryBytes
		sum.CPUMillis += limits.CPUMillis
		sum.Processes += limits.Processes
	}
	helped := map[string]bool{}
	for name, limits := range launching {
		add(limits)
		if of, ok := strings.CutPrefix(name, helperOf); ok {
			of, _, _ = strings.Cut(of, " ")
			helped[of] = true
		}
	}
	for _, status := range list {
		if _, is := launching[status.Name]; is {
			continue
		}
		if status.Phase == backend.PhaseKept {
			continue
		}
		if status.Helps != "" && helped[status.Helps] {
			continue // it was counted when it was admitted
		}
		add(limitsOf(status))
	}
	if err := within(quota, bottles, sum); err != nil {
		return nil, err
	}
	if plan.Resume == nil {
		if err := keepsNoMore(list); err != nil {
			return nil, err
		}
	}
	return u.launchesOne(plan), nil
}

// keepsNoMore is an error when no further bottle may be kept.
func keepsNoMore(list []backend.Status) error {
	kept := 0
	for _, status := range list {
		if status.Phase == backend.PhaseKept {
			kept++
		}
	}
	if kept < maxKept {
		return nil
	}
	return fmt.Errorf("%d bottles of yours are kept already: `claude-bottle rm` and `gc` remove some: %w", kept, errdefs.ErrResourceExhausted)
}

// within compares what all bottles of a user would take with what they may.
func within(quota backend.Quota, bottles int64, sum backend.Limits) error {
	exceeded := func(what, would, may string) error {
		return fmt.Errorf("your bottles would have %s %s together, and may have %s: end one first, or ask the administrator to raise users.NAME.%s in %s: %w",
			would, what, may, what, hostFile, errdefs.ErrResourceExhausted)
	}
	cores := func(millis int64) string { return fmt.Sprintf("%g", float64(millis)/1000) }
	number := func(value int64) string { return fmt.Sprint(value) }
	most := quota.Limits
	switch {
	case bottles > quota.Bottles:
		return fmt.Errorf("%d bottles of yours run, and no more may: end one first, or ask the administrator to raise users.NAME.bottles in %s: %w",
			bottles-1, hostFile, errdefs.ErrResourceExhausted)
	case sum.MemoryBytes > most.MemoryBytes:
		return exceeded("memory", backend.Bytes(sum.MemoryBytes), backend.Bytes(most.MemoryBytes))
	case sum.CPUMillis > most.CPUMillis:
		return exceeded("cpus", cores(sum.CPUMillis), cores(most.CPUMillis))
	case sum.Processes > most.Processes:
		return exceeded("processes", number(sum.Processes), number(most.Processes))
	default:
		return nil
	}
}

// launches are the limits of bottles on their way, by name.
func (u *user) launches() map[string]backend.Limits {
	u.mu.Lock()
	defer u.mu.Unlock()
	return maps.Clone(u.launching)
}

func (u *user) launchesOne(plan *backend.Plan) (release func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.launching[plan.Name] = plan.Limits
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.launching, plan.Name)
	}
}

// limitsOf reads with which limits a bottle was launched. One whose plan can't be read
// counts as a bottle, and with nothing else.
func limitsOf(status backend.Status) backend.Limits {
	var plan struct {
		Limits backend.Limits `json:"limits"`
	}
	if status.Workspace == "" {
		return plan.Limits
	}
	file, err := os.Open(filepath.Join(filepath.Dir(status.Workspace), backend.StatePlan))
	if err != nil {
		return plan.Limits
	}
	defer func() { _ = file.Close() }()
	_ = json.NewDecoder(io.LimitReader(file, maxAnswer)).Decode(&plan) // as said
	return plan.Limits
}
