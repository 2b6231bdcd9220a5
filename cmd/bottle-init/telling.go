package main

import (
	"sync"
	"time"
)

// settleTime bounds the wait for words to the host that are under way.
const settleTime = time.Second

// underway counts what is under way, for who has to wait until nothing is.
type underway struct {
	mu    sync.Mutex
	count int
	none  chan struct{} // closed when the count comes to nothing
}

func (u *underway) begin() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.count == 0 {
		u.none = make(chan struct{})
	}
	u.count++
}

func (u *underway) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.count--
	if u.count == 0 {
		close(u.none)
	}
}

// settle waits until nothing is under way, bounded. What a command asked for is
// then known to the host before the host hears that the command has ended.
func (u *underway) settle() {
	u.mu.Lock()
	none, count := u.none, u.count
	u.mu.Unlock()
	if count == 0 {
		return
	}
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	select {
	case <-none:
	case <-timer.C:
	}
}
