package farend

import (
	"fmt"
	"maps"
	"testing"
	"time"
)

// Seen is all that has left the program under test.
type Seen struct {
	Arrivals []Arrival
	// Wire are the packets that went out, Loopback those to Host itself.
	Wire, Loopback map[Packet]int
	// Bytes are those of every frame, with its heads.
	Bytes []byte
	// Begun is how many connections the recorders saw begin, Opened how many
	// the kernel has counted.
	Begun, Opened int
}

// Seen waits until no connection is open, and until the recorders have all that
// the kernel has counted.
func (w *World) Seen(t testing.TB) Seen {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		why, seen := w.look(t)
		if why == "" {
			return seen
		}
		if time.Now().After(deadline) {
			t.Fatalf("the far end does not come to rest: %s", why)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (w *World) look(t testing.TB) (why string, seen Seen) {
	t.Helper()
	now, err := w.count()
	if err != nil {
		t.Fatal(err)
	}
	w.canaries.mu.Lock()
	open := w.canaries.open
	for _, arrival := range w.canaries.all {
		seen.Arrivals = append(seen.Arrivals, *arrival)
	}
	w.canaries.mu.Unlock()
	var frames uint64
	for _, r := range []*recorder{w.wire, w.loopback} {
		r.mu.Lock()
		packets := maps.Clone(r.packets)
		seen.Bytes = append(seen.Bytes, r.bytes...)
		seen.Begun += len(r.begun)
		if r == w.wire {
			frames, seen.Wire = r.frames, packets
		} else {
			seen.Loopback = packets
		}
		r.mu.Unlock()
	}
	seen.Opened = int(now.opened - w.before.opened)
	switch counted := now.packets - w.before.packets; {
	case open > 0:
		why = fmt.Sprintf("%d connections are open", open)
	case frames < counted:
		why = fmt.Sprintf("%d of %d packets are recorded", frames, counted)
	case seen.Begun < seen.Opened:
		why = fmt.Sprintf("%d of %d connections are recorded", seen.Begun, seen.Opened)
	}
	return why, seen
}
