package fake

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

var (
	_ backend.Watcher   = (*Backend)(nil)
	_ backend.Historian = (*Backend)(nil)
)

// Watch implements backend.Watcher.
func (b *Backend) Watch(ctx context.Context) (<-chan string, error) {
	names, wake := make(chan string), make(chan struct{}, 1)
	heard := &listener{wake: wake}
	b.mu.Lock()
	b.listeners = append(b.listeners, heard)
	b.mu.Unlock()
	go func() {
		defer close(names)
		defer b.leave(heard)
		for {
			for _, name := range b.news(heard) {
				select {
				case names <- name:
				case <-ctx.Done():
					return
				}
			}
			select {
			case <-wake:
			case <-ctx.Done():
				return
			}
		}
	}()
	return names, nil
}

// listener is one that waits for news. What it is told is under the backend's lock.
type listener struct {
	told []string
	wake chan struct{}
}

func (b *Backend) leave(gone *listener) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listeners = slices.DeleteFunc(b.listeners, func(other *listener) bool { return other == gone })
}

func (b *Backend) news(of *listener) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	told := of.told
	of.told = nil
	return told
}

// tell tells of a bottle. The caller holds the lock.
func (b *Backend) tell(name string) {
	for _, one := range b.listeners {
		one.told = append(one.told, name)
		select {
		case one.wake <- struct{}{}:
		default: // it is awake
		}
	}
}

// note notes what has happened to a bottle, and tells of it. The caller holds the lock.
func (b *Backend) note(one *bottle, kind backend.EventType, reason, message string) {
	one.events = append(one.events, backend.Event{Time: time.Now(), Type: kind, Reason: reason, Message: message})
	b.tell(one.id.Name)
}

// Events implements backend.Historian.
func (b *Backend) Events(_ context.Context, name string) ([]backend.Event, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := b.named(name)
	if len(found) == 0 {
		return nil, fmt.Errorf("no bottle %s: %w", name, errdefs.ErrNotFound)
	}
	return slices.Clone(found[0].events), nil
}
