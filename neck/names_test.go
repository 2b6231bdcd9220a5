package neck

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
)

func TestNewNamesGoToTheLinkThatIsAndToThoseThatCome(t *testing.T) {
	b := newBottle(t, refuseAll)
	var mu sync.Mutex
	var tables []string
	seen := func() string {
		mu.Lock()
		defer mu.Unlock()
		return fmt.Sprint(tables)
	}
	named := func(host string) Names { return Names{Entries: []Name{{Host: host, Ports: []uint16{443}}}} }
	// Before anybody has dialled it is no error.
	if err := b.host.SetNames(t.Context(), named("first")); err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	refuse := false
	guest := &Guest{
		Dial: func(ctx context.Context) (net.Conn, error) {
			var dialer net.Dialer
			conn, err := dialer.DialContext(ctx, "unix", b.socket)
			mu.Lock()
			defer mu.Unlock()
			conns = append(conns, conn)
			return conn, err
		},
		Handle: func(_ context.Context, request Request, stream Stream) {
			mu.Lock()
			defer mu.Unlock()
			if refuse {
				_ = stream.Refuse(fmt.Errorf("no: %w", errdefs.ErrUnavailable))
				return
			}
			tables = append(tables, request.Names.Entries[0].Host)
			_ = stream.Accept()
			_ = stream.Close()
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { guest.Run(ctx); close(ended) }()
	defer func() { cancel(); <-ended }()
	<-b.host.Ready()
	if err := b.host.SetNames(t.Context(), named("second")); err != nil || seen() != "[first second]" {
		t.Errorf("tables are %s, %v", seen(), err)
	}
	mu.Lock()
	refuse = true
	mu.Unlock()
	if err := b.host.SetNames(t.Context(), named("third")); !errdefs.IsUnavailable(err) {
		t.Errorf("a table that was refused: %v", err)
	}
	mu.Lock()
	refuse = false
	_ = conns[0].Close() // the link; lines come after it
	mu.Unlock()
	waitFor(t, func() bool { return seen() == "[first second third]" })
}

func TestTheKindOfAnErrorIsSaidOnce(t *testing.T) {
	for _, far := range []error{fmt.Errorf("nothing is held: %w", errdefs.ErrNotFound), fmt.Errorf("%w: so it is", errdefs.ErrPermissionDenied)} {
		near := farError(far.Error(), classOf(far))
		if got := strings.Count(near.Error(), "not found"); errdefs.IsNotFound(far) != errdefs.IsNotFound(near) || got > 1 {
			t.Errorf("%v arrives as %v", far, near)
		}
	}
}
