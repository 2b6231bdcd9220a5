package main

import (
	"context"
	"sync"
)

const (
	// outputHeld is how much of a kept session's output stays for clients that come
	// later, or again, in bytes.
	outputHeld = 1 << 20
	pieceSize  = 16 << 10
	pieceCost  = 64 // of a piece itself
)

// outlet is which of its outputs a command wrote to.
type outlet int

const (
	standardOutput outlet = iota
	standardError
)

// piece is a run of bytes of one outlet.
type piece struct {
	outlet outlet
	at     int64 // offset of its first byte
	data   []byte
}

// output is what a kept session has said, the last of it. Offsets count bytes of
// both outlets from the session's start.
type output struct {
	mu      sync.Mutex
	changed *sync.Cond
	pieces  []piece
	held    int   // bytes of the pieces, their own cost included
	end     int64 // offset behind the last byte
	closed  bool  // nothing follows
	screen  *screen
	// holding are the clients that may lose nothing, by what they have had.
	holding map[*reader]struct{}
}

func newOutput(screen *screen) *output {
	o := &output{screen: screen, holding: map[*reader]struct{}{}}
	o.changed = sync.NewCond(&o.mu)
	return o
}

// writer is one outlet as the command's copies see it.
func (o *output) writer(of outlet) writeFunc {
	return func(data []byte) (int, error) {
		o.write(of, data)
		return len(data), nil
	}
}

type writeFunc func([]byte) (int, error)

// Write implements io.Writer.
func (f writeFunc) Write(data []byte) (int, error) { return f(data) }

// write waits for the clients that may lose nothing before it drops what they have
// yet to read.
func (o *output) write(of outlet, data []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.screen.write(data)
	for len(data) > 0 {
		o.makeRoom()
		data = data[o.append(of, data):]
		o.changed.Broadcast()
	}
}

// append adds what fits into one piece, and says how much that was.
func (o *output) append(of outlet, data []byte) int {
	if last := len(o.pieces) - 1; last >= 0 && o.pieces[last].outlet == of && len(o.pieces[last].data) < pieceSize {
		n := min(len(data), pieceSize-len(o.pieces[last].data))
		o.pieces[last].data = append(o.pieces[last].data, data[:n]...)
		o.held, o.end = o.held+n, o.end+int64(n)
		return n
	}
	n := min(len(data), pieceSize)
	o.pieces = append(o.pieces, piece{outlet: of, at: o.end, data: append([]byte(nil), data[:n]...)})
	o.held, o.end = o.held+n+pieceCost, o.end+int64(n)
	return n
}

// makeRoom drops the oldest pieces while too much is held.
func (o *output) makeRoom() {
	for o.held > outputHeld {
		oldest := o.pieces[0]
		if o.wanted(oldest) {
			o.changed.Wait()
			continue
		}
		o.pieces = o.pieces[1:]
		o.held -= len(oldest.data) + pieceCost
	}
}

// wanted says that a client that may lose nothing has yet to read a piece.
func (o *output) wanted(oldest piece) bool {
	for r := range o.holding {
		if r.at < oldest.at+int64(len(oldest.data)) {
			return true
		}
	}
	return false
}

// close says that nothing follows.
func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.changed.Broadcast()
}

// forget lets the screen go: another session has the name.
func (o *output) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.screen.close()
	o.screen = nil
}

// resize tells the screen of another size.
func (o *output) resize(columns, rows uint16) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.screen.resize(int(columns), int(rows))
}

// reader is one client's way through the output.
type reader struct {
	from *output
	at   int64
}

// portion is what a client gets next: bytes of one outlet, or, behind a gap, where
// the output goes on.
type portion struct {
	data   []byte
	outlet outlet
	gap    bool
	at     int64
	lost   int64
	screen []byte // drawn anew, where there is a terminal
}

// read returns a reader from an offset, or from what the screen shows now when that is
// negative. The first portion is always a gap: it says where the output goes on. A
// lossless one holds the command back. The caller closes it.
func (o *output) read(from int64, lossless bool) (*reader, portion) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := &reader{from: o, at: min(from, o.end)}
	first := portion{gap: true}
	switch start := o.start(); {
	case from < 0 && o.screen != nil:
		r.at, first.screen = o.end, o.screen.draw()
	case from < 0:
		r.at = start
	case r.at < start:
		first.lost, r.at = start-r.at, start
	}
	first.at = r.at
	if lossless {
		o.holding[r] = struct{}{}
	}
	return r, first
}

func (o *output) start() int64 {
	if len(o.pieces) == 0 {
		return o.end
	}
	return o.pieces[0].at
}

// next waits for what follows. It is false when there is nothing more, or ctx has
// ended. The data is valid as long as the caller likes.
func (r *reader) next(ctx context.Context) (portion, bool) {
	o := r.from
	stop := context.AfterFunc(ctx, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.changed.Broadcast()
	})
	defer stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		if start := o.start(); r.at < start {
			skipped := portion{gap: true, lost: start - r.at, at: start}
			if o.screen != nil {
				skipped.at, skipped.screen = o.end, o.screen.draw()
				skipped.lost = o.end - r.at
			}
			r.at = skipped.at
			return skipped, true
		}
		if found, ok := o.find(r.at); ok {
			r.at += int64(len(found.data))
			if _, holds := o.holding[r]; holds {
				o.changed.Broadcast() // the command may wait for that
			}
			return found, true
		}
		if o.closed || ctx.Err() != nil {
			return portion{}, false
		}
		o.changed.Wait()
	}
}

// find returns what is held of the piece that an offset lies in, from there on.
func (o *output) find(at int64) (portion, bool) {
	for i := len(o.pieces) - 1; i >= 0; i-- {
		if held := o.pieces[i]; held.at <= at {
			data := held.data[min(at-held.at, int64(len(held.data))):]
			return portion{data: append([]byte(nil), data...), outlet: held.outlet, at: at}, len(data) > 0
		}
	}
	return portion{}, false
}

// close lets go of the command.
func (r *reader) close() {
	r.from.mu.Lock()
	defer r.from.mu.Unlock()
	delete(r.from.holding, r)
	r.from.changed.Broadcast()
}
