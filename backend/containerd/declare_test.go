package containerd

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
)

// TestOfThoseWhoDeclareAtOnceOneWinsEachGeneration: nobody's word is lost unsaid.
func TestOfThoseWhoDeclareAtOnceOneWinsEachGeneration(t *testing.T) {
	where := places{state: t.TempDir()}
	if err := where.declare(backend.Declaration{Generation: 1}); err != nil {
		t.Fatal(err)
	}
	const rounds, many = 5, 8
	for round := range rounds {
		var won atomic.Int32
		var all sync.WaitGroup
		for i := range many {
			all.Go(func() {
				err := where.declare(backend.Declaration{Generation: int64(round + 2), Labels: map[string]string{"by": fmt.Sprint(i)}})
				switch {
				case err == nil:
					won.Add(1)
				case !errdefs.IsConflict(err):
					t.Error(err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Errorf("%d won generation %d", won.Load(), round+2)
		}
	}
	holds, err := readDeclaration(where)
	if err != nil || holds.Generation != rounds+1 {
		t.Errorf("what holds is %+v, %v", holds, err)
	}
	events, err := supervise.ReadEvents(where.state)
	if err != nil || len(events) != rounds+1 || events[0].Reason != "Configured" {
		t.Errorf("the events are %+v, %v", events, err)
	}
}
