package neck

import (
	"net"
	"slices"
	"sync"
	"time"
)

// A dial that has yet to say who it is takes a place. Whoever means it has sent
// its greeting when it is accepted, so that places are free again at once, also
// when a program opens hundreds of connections. One who is silent keeps its place
// until others have waited for one this long.
const (
	greeterPlaces   = 16
	greeterPatience = time.Second
)

// greeters are the dials that have yet to say who they are.
type greeters struct {
	places chan struct{}
	mu     sync.Mutex
	silent []net.Conn
}

func newGreeters() *greeters { return &greeters{places: make(chan struct{}, greeterPlaces)} }

// enter waits for a place. The returned function gives it up.
func (g *greeters) enter(conn net.Conn) (leave func()) {
	g.wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.silent = append(g.silent, conn)
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.silent = slices.DeleteFunc(g.silent, func(other net.Conn) bool { return other == conn })
		<-g.places
	}
}

func (g *greeters) wait() {
	select {
	case g.places <- struct{}{}:
		return
	default:
	}
	timer := time.NewTimer(greeterPatience)
	defer timer.Stop()
	for {
		select {
		case g.places <- struct{}{}:
			return
		case <-timer.C:
			g.mu.Lock()
			for _, conn := range g.silent { // nobody has come after them: all had this long
				_ = conn.Close() // its place is free once it has seen that
			}
			g.mu.Unlock()
			timer.Reset(greeterPatience)
		}
	}
}
