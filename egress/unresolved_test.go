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

// broken is a resolver that fails.
type broken struct{ err error }

func (b broken) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, b.err
}

func TestF31_AFailedLookupTellsNothingOfTheNetwork(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{&net.DNSError{Err: "no such host", Name: "api.example.com", Server: "10.7.7.53:53", IsNotFound: true}, "there is no such host"},
		{&net.DNSError{Err: "read udp 10.7.7.9:4711->10.7.7.53:53: i/o timeout", Server: "10.7.7.53:53", IsTimeout: true}, "does not answer"},
		{&net.DNSError{Err: "server misbehaving", Server: "10.7.7.53:53", IsTemporary: true}, "resolver fails"},
		{context.DeadlineExceeded, "does not answer"},
		{errors.New("10.7.7.53 is on fire"), "resolver fails"},
	} {
		d, dialled := dialer(t, broken{test.err})
		_, err := d.Dial(t.Context(), "api.example.com", 443)
		if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "api.example.com") {
			t.Errorf("%v: got %v", test.err, err)
		}
		if err != nil && strings.Contains(err.Error(), "10.7.7.") {
			t.Errorf("%q names the resolver", err)
		}
		if len(*dialled) != 0 {
			t.Errorf("dialled %v", *dialled)
		}
	}
}
