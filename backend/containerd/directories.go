package containerd

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"golang.org/x/sys/unix"
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
	descriptor, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch directories: %w", err)
	}
	file := os.NewFile(uintptr(descriptor), "inotify")
	const what = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_ATTRIB | unix.IN_ONLYDIR
	isRun := map[int32]bool{}
	for _, dir := range []string{paths.bottles(), paths.runBottles()} {
		watched, err := unix.InotifyAddWatch(descriptor, dir, what)
		if err != nil {
			_ = file.Close()
			return nil, fmt.Errorf("watch directory %s: %w", dir, err)
		}
		isRun[int32(watched)] = dir == paths.runBottles() //nolint:gosec // as the kernel has it
	}
	changes := make(chan directoryChange)
	stop := context.AfterFunc(ctx, func() { _ = file.Close() })
	go func() {
		defer close(changes)
		defer func() { stop(); _ = file.Close() }()
		buffer := make([]byte, 64<<10)
		for {
			n, err := file.Read(buffer)
			if err != nil {
				return
			}
			for _, changed := range parseChanges(buffer[:n], isRun) {
				select {
				case changes <- changed:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return changes, nil
}

// parseChanges reads what the kernel has written: see inotify(7).
func parseChanges(data []byte, isRun map[int32]bool) []directoryChange {
	var changes []directoryChange
	for len(data) >= unix.SizeofInotifyEvent {
		watched := int32(binary.NativeEndian.Uint32(data)) //nolint:gosec // as the kernel has it
		mask := binary.NativeEndian.Uint32(data[4:])
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(data[12:]))
		if end > len(data) {
			break
		}
		name := strings.TrimRight(string(data[unix.SizeofInotifyEvent:end]), "\x00")
		data = data[end:]
		if mask&unix.IN_Q_OVERFLOW != 0 {
			changes = append(changes, directoryChange{missed: true})
			continue
		}
		if id, err := backend.ParseID(name); err == nil {
			changes = append(changes, directoryChange{id: id, run: isRun[watched]})
		}
	}
	return changes
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
