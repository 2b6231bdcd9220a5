package egress

import "sync"

// watchers are told that there is something new; how much of it, they see for
// themselves, so that a slow one holds nobody up.
type watchers struct {
	mu   sync.Mutex
	list map[chan struct{}]struct{}
}

// add returns a channel that has something in it after every change since the
// last look, until stop is called.
func (w *watchers) add() (changed <-chan struct{}, stop func()) {
	channel := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.list == nil {
		w.list = map[chan struct{}]struct{}{}
	}
	w.list[channel] = struct{}{}
	return channel, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.list, channel)
	}
}

func (w *watchers) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for channel := range w.list {
		select {
		case channel <- struct{}{}:
		default:
		}
	}
}
