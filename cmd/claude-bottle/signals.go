package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// signals decides what a signal means: up to claude it ends the start; once
// claude runs, INT and QUIT are claude's own, while TERM and HUP still end the
// session.
type signals struct {
	in      chan os.Signal
	out     chan os.Signal
	mu      sync.Mutex
	running bool
	stop    func()
}

// takeSignals starts listening. The context ends with a signalError as its
// cause.
func takeSignals(ctx context.Context) (context.Context, *signals) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &signals{in: make(chan os.Signal, 8), out: make(chan os.Signal, 8)}
	signal.Notify(s.in, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case received := <-s.in:
				if !s.pass(received) {
					cancel(signalError{received})
				}
			case <-quit:
				return
			}
		}
	}()
	s.stop = func() {
		signal.Stop(s.in)
		close(quit)
		<-ended
		cancel(nil)
	}
	return ctx, s
}

// pass hands a signal to claude when it is claude's, and says whether it was.
func (s *signals) pass(received os.Signal) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running || (received != syscall.SIGINT && received != syscall.SIGQUIT) {
		return false
	}
	select {
	case s.out <- received:
	default: // claude is not reading; one pending signal is as good as nine
	}
	return true
}

// forwarded is the channel of claude's signals from now on.
func (s *signals) forwarded() <-chan os.Signal {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = true
	return s.out
}

func (s *signals) release() { s.stop() }

// signalledTwice returns a context that the first of the usual signals ends, and one
// that the second does.
func signalledTwice(parent context.Context) (first, second context.Context, release func()) {
	first, endFirst := context.WithCancelCause(parent)
	second, endSecond := context.WithCancelCause(parent)
	received := make(chan os.Signal, 4)
	signal.Notify(received, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for _, end := range []context.CancelCauseFunc{endFirst, endSecond} {
			select {
			case s := <-received:
				end(signalError{s})
			case <-second.Done():
				return
			}
		}
	}()
	return first, second, func() {
		signal.Stop(received)
		endSecond(nil)
		<-ended
		endFirst(nil)
	}
}
