package supervise

import (
	"errors"
	"testing"

	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/claude-bottle/claude-bottle/neck"
)

// asks opens a stream as PID 1 does, and is refused or not.
func asks(t *testing.T, guest *neck.Guest, request neck.Request) error {
	t.Helper()
	stream, err := guest.Open(t.Context(), request)
	if err == nil {
		_ = stream.Close()
	}
	return err
}

func TestTheLogIsFollowedToItsLastLine(t *testing.T) {
	r := run(t, nil)
	guest := r.pid1()
	client, err := Connect(t.Context(), r.config.Run)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	shown := make(chan egress.Event)
	ended := make(chan error, 1)
	go func() {
		ended <- EgressLog(t.Context(), r.config.State, client, func(event egress.Event) error {
			shown <- event
			return nil
		})
	}()
	for _, test := range []struct {
		request neck.Request
		allowed bool
		rule    string
	}{
		{neck.Request{Kind: neck.KindDial, Host: "evil.example", Port: 443}, false, "no rule allows it"},
		{neck.Request{Kind: neck.KindName, Host: "evil.example"}, false, "no rule allows it"},
		{neck.Request{Kind: neck.KindName, Host: "allowed.example"}, true, "allowed.example ()"},
		{neck.Request{Kind: neck.KindName, Host: egress.GatewayHost}, true, "the gateway"},
	} {
		_ = asks(t, guest, test.request)
		event := <-shown
		if event.Kind != string(test.request.Kind) || event.Host != test.request.Host || event.Allowed != test.allowed || event.Rule != test.rule {
			t.Errorf("shown for %+v is %+v", test.request, event)
		}
	}
	r.client.Close()
	if err := r.ends(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	// Afterwards it is read without a supervisor.
	enough := errors.New("enough")
	count := 0
	err = EgressLog(t.Context(), r.config.State, nil, func(egress.Event) error {
		if count++; count == 4 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Errorf("%d events, %v", count, err)
	}
}
