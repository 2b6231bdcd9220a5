package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/log"
	"github.com/fsnotify/fsnotify"
)

// directoryChange is that of a directory of a bottle: it has come, gone, or been touched.
type directoryChange struct {
	id  backend.ID
	run bool // the run directory; else that of its state
	// missed says that changes were missed, and nothing else.
	missed bool
}

// watchDirectories tells of the directories of bottles. The channel is closed when ctx
// has ended, or the kernel tells no more.
func watchDirectories(ctx context.Context, paths layout) (<-chan directoryChange, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch directories: %w", err)
	}
	for _, dir := range []string{paths.bottles(), paths.runBottles()} {
		if err := watcher.Add(dir); err != nil {
			return nil, errors.Join(fmt.Errorf("watch directory %s: %w", dir, err), watcher.Close())
		}
	}
	changes := make(chan directoryChange)
	go func() {
		defer close(changes)
		defer func() { _ = watcher.Close() }()
		for {
			changed, ok := nextChange(ctx, watcher, paths)
			if !ok {
				return
			}
			select {
			case changes <- changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return changes, nil
}

// nextChange waits for the next one of a bottle. It says false when there will be none.
func nextChange(ctx context.Context, watcher *fsnotify.Watcher, paths layout) (directoryChange, bool) {
	for {
		select {
		case event, ok := <-watcher.Events:
			if !ok {
				return directoryChange{}, false
			}
			if id, err := backend.ParseID(filepath.Base(event.Name)); err == nil {
				return directoryChange{id: id, run: filepath.Dir(event.Name) == paths.runBottles()}, true
			}
		case err, ok := <-watcher.Errors:
			if !ok {
				return directoryChange{}, false
			}
			log.G(ctx).WithError(err).Debug("watch directories")
			return directoryChange{missed: true}, true
		case <-ctx.Done():
			return directoryChange{}, false
		}
	}
}

// touch has those who watch the directory look at the bottle.
func touch(path string) error {
	info, err := os.Stat(path)
	if err == nil {
		err = os.Chmod(path, info.Mode().Perm())
	}
	if err != nil {
		return fmt.Errorf("touch directory: %w", err)
	}
	return nil
}
