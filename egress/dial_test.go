package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// answers is a resolver that gives one answer after the other.
type answers struct {
	list  [][]string
	asked []string
}

func (a *answers) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	a.asked = append(a.asked, host)
	if len(a.list) == 0 {
		return nil, errors.New("no such host")
	}
	var addresses []netip.Addr
	for _, address := range a.list[0] {
		addresses = append(addresses, netip.MustParseAddr(address))
	}
	a.list = a.list[1:]
	return addresses, nil
}

// dialer returns a dialer whose connections are recorded, and lead nowhere.
func dialer(t *testing.T, resolver Resolver) (*Dialer, *[]string) {
	var dialled []string
	return &Dialer{
		Policy: policy(t, "api.example.com", "*.wild.example.org"), Resolver: resolver,
		Connect: func(_ context.Context, address netip.AddrPort) (net.Conn, error) {
			dialled = append(dialled, address.String())
			ours, theirs := net.Pipe()
			_ = theirs.Close()
			return ours, nil
		},
		Own: func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("8.8.4.4")}, nil },
	}, &dialled
}

func TestT35_PrivateAddressesAreNeverDialled(t *testing.T) {
	for _, address := range []string{
		"127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1",
		"100.64.0.1", "169.254.169.254", "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
		"224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "8.8.4.4",
		"::1", "::", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.4.4", "fe80::1", "fe80::1%lo", "fc00::1", "fd00:ec2::254", "fec0::1",
		"ff02::1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::1", "3fff::1", "5f00::1", "::7f00:1",
	} {
		d, dialled := dialer(t, &answers{list: [][]string{{address}}})
		_, err := d.Dial(t.Context(), "api.example.com", 443)
		if !errdefs.IsPermissionDenied(err) || len(*dialled) != 0 {
			t.Errorf("%s: dialled %v, error %v", address, *dialled, err)
		} else if !strings.Contains(err.Error(), "api.example.com resolves to") {
			t.Errorf("%s: %q does not say why", address, err)
		}
	}
	for _, address := range []string{"8.8.8.8", "160.79.104.10", "2607:6bc0::10", "::ffff:8.8.8.8"} {
		d, dialled := dialer(t, &answers{list: [][]string{{address}}})
		conn, err := d.Dial(t.Context(), "api.example.com", 443)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		_ = conn.Close()
		if want := netip.AddrPortFrom(netip.MustParseAddr(address).Unmap(), 443).String(); (*dialled)[0] != want {
			t.Errorf("dialled %s, want %s", *dialled, want)
		}
	}
}

func TestT35_ARebindingNameGetsNowhere(t *testing.T) {
	resolver := &answers{list: [][]string{{"8.8.8.8"}, {"127.0.0.1"}, {"10.0.0.1"}, {"::1"}, {"127.0.0.1", "8.8.8.8"}}}
	d, dialled := dialer(t, resolver)
	for range 5 {
		if conn, err := d.Dial(t.Context(), "a.wild.example.org", 443); err == nil {
			_ = conn.Close()
		}
	}
	if got := strings.Join(*dialled, " "); got != "8.8.8.8:443 8.8.8.8:443" {
		t.Errorf("dialled %s", got)
	}
	if len(resolver.asked) != 5 {
		t.Errorf("each dial resolves once and uses just that answer, but %d lookups were made", len(resolver.asked))
	}
}

func TestT36_NothingIsLookedUpForADeniedName(t *testing.T) {
	resolver := &answers{}
	d, dialled := dialer(t, resolver)
	for _, host := range []string{"evil.org", "secret.evil.org", "wild.example.org", "127.0.0.1"} {
		if _, err := d.Dial(t.Context(), host, 443); err == nil {
			t.Errorf("%s was dialled", host)
		}
	}
	if len(resolver.asked) != 0 || len(*dialled) != 0 {
		t.Errorf("looked up %v, dialled %v", resolver.asked, *dialled)
	}
}

func TestDialTriesTheNextAddress(t *testing.T) {
	d, _ := dialer(t, &answers{list: [][]string{{"8.8.8.8", "8.8.8.9"}}})
	working := d.Connect
	d.Connect = func(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
		if address.Addr().String() == "8.8.8.8" {
			return nil, errors.New("refused")
		}
		return working(ctx, address)
	}
	conn, err := d.Dial(t.Context(), "api.example.com", 443)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	d, _ = dialer(t, &answers{})
	if _, err := d.Dial(t.Context(), "api.example.com", 443); !errdefs.IsUnavailable(err) {
		t.Errorf("a name that does not resolve: %v", err)
	}
}

func TestOwnAddressesAreKnown(t *testing.T) {
	own, err := new(Dialer).own()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range own {
		if address.IsLoopback() {
			return
		}
	}
	t.Errorf("loopback is missing in %v", own)
}
