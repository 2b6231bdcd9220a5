package containerd

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/log"
)

var _ backend.Watcher = (*Backend)(nil)

// A supervisor that does not answer is asked again after firstPause, which doubles up to
// lastPause.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// watcher listens to the daemon, to the directories of bottles, and to the supervisor of
// each: no event tells of the death of a supervisor, but the connection to it breaks.
type watcher struct {
	backend *Backend
	names   chan string
	group   sync.WaitGroup

	mu       sync.Mutex
	attended map[backend.ID]bool
}

// Watch implements backend.Watcher. A bottle that nobody answers for is told of again
// and again, in pauses, as long as it has a run directory.
func (b *Backend) Watch(ctx context.Context) (<-chan string, error) {
	ctx, cancel := context.WithCancel(ctx)
	changes, err := watchDirectories(ctx, b.layout)
	if err != nil {
		cancel()
		return nil, err
	}
	happened, err := b.client.Watch(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	w := &watcher{backend: b, names: make(chan string), attended: map[backend.ID]bool{}}
	go func() {
		defer close(w.names)
		defer w.group.Wait()
		defer cancel()
		w.run(ctx, happened, changes)
	}()
	return w.names, nil
}

// run ends with ctx, or when one of both has no more to tell.
func (w *watcher) run(ctx context.Context, happened <-chan string, changes <-chan directoryChange) {
	w.scan(ctx)
	for {
		select {
		case name, ok := <-happened:
			if !ok {
				return
			}
			w.tell(ctx, name)
		case changed, ok := <-changes:
			switch {
			case !ok:
				return
			case changed.missed:
				w.scan(ctx)
			case changed.run:
				w.attend(ctx, changed.id)
			default:
				w.tell(ctx, changed.id.Handle())
			}
		case <-ctx.Done():
			return
		}
	}
}

func (w *watcher) tell(ctx context.Context, name string) {
	select {
	case w.names <- name:
	case <-ctx.Done():
	}
}

// scan attends every bottle that has a run directory.
func (w *watcher) scan(ctx context.Context) {
	entries, err := os.ReadDir(w.backend.layout.runBottles())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.G(ctx).WithError(err).Warn("look for bottles to listen to")
	}
	for _, entry := range entries {
		if id, err := backend.ParseID(entry.Name()); err == nil {
			w.attend(ctx, id)
		}
	}
}

// attend listens to the supervisor of a bottle, once.
func (w *watcher) attend(ctx context.Context, id backend.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.attended[id] {
		return
	}
	w.attended[id] = true
	w.group.Go(func() {
		w.follow(ctx, w.backend.layout.bottle(id))
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.attended, id)
	})
}

// follow tells of a bottle whenever its supervisor has gone, and while it has none. It
// ends with ctx, or with the bottle, of which what is kept is told last.
func (w *watcher) follow(ctx context.Context, where places) {
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, lastPause) {
		if awaitSupervisor(ctx, where) {
			pause = firstPause
		}
		if there, err := exists(where.run); err == nil && !there {
			w.tell(ctx, where.id.Handle())
			return
		}
		w.tell(ctx, where.id.Name)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// awaitSupervisor returns when the supervisor of a bottle has gone; reached says that
// it was there.
func awaitSupervisor(ctx context.Context, where places) (reached bool) {
	client, err := supervise.Connect(ctx, where.run)
	if err != nil {
		return false
	}
	defer client.Close()
	select {
	case <-client.Gone():
	case <-ctx.Done():
	}
	return true
}
