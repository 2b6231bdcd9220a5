package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
)

// network is one whose addresses answer as their plans say: "silent" never,
// "refused" at once, a duration after that time.
type network struct {
	plans map[string]string

	mu    sync.Mutex
	order []string
	open  map[string]net.Conn // far ends
}

func (n *network) connect(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
	where := address.Addr().String()
	n.mu.Lock()
	n.order = append(n.order, where)
	n.mu.Unlock()
	switch plan := n.plans[where]; plan {
	case "silent":
		<-ctx.Done()
		return nil, ctx.Err()
	case "refused":
		return nil, errors.New("connection refused")
	default:
		after, err := time.ParseDuration(plan)
		if err != nil {
			return nil, err
		}
		time.Sleep(after) // and does not care that somebody else was faster
		ours, theirs := net.Pipe()
		n.mu.Lock()
		defer n.mu.Unlock()
		n.open[where] = theirs
		return ours, nil
	}
}

func TestF31_ASilentAddressKeepsNobodyWaiting(t *testing.T) {
	for name, test := range map[string]struct {
		plans  []string // address and plan
		winner string   // "" when all fail
		order  string
		took   time.Duration
	}{
		"the first":          {[]string{"2606::1 10ms", "8.8.8.8 10ms"}, "2606::1", "2606::1", 10 * time.Millisecond},
		"half a network":     {[]string{"2606::1 silent", "2606::2 silent", "8.8.8.8 10ms"}, "8.8.8.8", "2606::1 2606::2 8.8.8.8", 510 * time.Millisecond},
		"no network of one":  {[]string{"2606::1 refused", "8.8.8.8 10ms"}, "8.8.8.8", "2606::1 8.8.8.8", 10 * time.Millisecond},
		"late, but first":    {[]string{"2606::1 300ms", "8.8.8.8 100ms"}, "2606::1", "2606::1 8.8.8.8", 350 * time.Millisecond},
		"all refuse":         {[]string{"2606::1 refused", "8.8.8.8 refused"}, "", "2606::1 8.8.8.8", 0},
		"all are silent":     {[]string{"2606::1 silent", "8.8.8.8 silent"}, "", "2606::1 8.8.8.8", dialTimeout},
		"silent and refused": {[]string{"2606::1 silent", "8.8.8.8 refused"}, "", "2606::1 8.8.8.8", dialTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				far := &network{plans: map[string]string{}, open: map[string]net.Conn{}}
				var list []string
				for _, line := range test.plans {
					address, plan, _ := strings.Cut(line, " ")
					list, far.plans[address] = append(list, address), plan
				}
				d, _ := dialer(t, &answers{list: [][]string{list}})
				d.Connect = far.connect
				begun := time.Now()
				conn, err := d.Dial(t.Context(), "api.example.com", 443)
				if took := time.Since(begun); took != test.took {
					t.Errorf("it took %s, want %s", took, test.took)
				}
				if order := strings.Join(far.order, " "); order != test.order {
					t.Errorf("tried %s, want %s", order, test.order)
				}
				if test.winner == "" {
					if !errdefs.IsUnavailable(err) {
						t.Errorf("got %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				for where, theirs := range far.open {
					_ = theirs.SetDeadline(time.Now().Add(time.Second))
					_, err := theirs.Read(make([]byte, 1))
					if closed := err != nil && !errors.Is(err, context.DeadlineExceeded) && strings.Contains(err.Error(), "EOF"); closed == (where == test.winner) {
						t.Errorf("the connection to %s: %v", where, err)
					}
					_ = theirs.Close()
				}
				_ = conn.Close()
			})
		})
	}
}

func TestT35_AddressesOfARaceAreCheckedEach(t *testing.T) {
	list := []string{"127.0.0.1", "8.8.8.8", "10.0.0.1", "8.8.4.4", "9.9.9.9"}
	for range 3 * maxAddresses {
		list = append(list, "192.168.0.1", "1.1.1.1")
	}
	synctest.Test(t, func(t *testing.T) {
		far := &network{plans: map[string]string{"8.8.8.8": "silent", "9.9.9.9": "refused", "1.1.1.1": "silent"}}
		d, _ := dialer(t, &answers{list: [][]string{list}})
		d.Connect = far.connect
		_, err := d.Dial(t.Context(), "api.example.com", 443)
		if !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), "127.0.0.1") || !strings.Contains(err.Error(), "refused") {
			t.Errorf("got %v", err)
		}
		if len(far.order) != maxAddresses {
			t.Errorf("%d addresses were tried", len(far.order))
		}
		for _, address := range far.order {
			if far.plans[address] == "" {
				t.Errorf("tried %s", address)
			}
		}
	})
}
