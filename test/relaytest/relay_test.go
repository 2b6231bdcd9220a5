package relaytest

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// daemon counts what it was asked.
type daemon struct {
	grpc_health_v1.UnimplementedHealthServer
	asked atomic.Int32
}

// Check implements the service.
func (d *daemon) Check(context.Context, *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	d.asked.Add(1)
	return &grpc_health_v1.HealthCheckResponse{}, nil
}

func TestACallIsStruckBeforeItIsHeardOrAfterItIsDone(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "daemon.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	d, server := &daemon{}, grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, d)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	}()
	relay := New(t, socket)
	conn, err := grpc.NewClient("unix://"+relay.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	asks := func() error {
		_, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
		return err
	}
	for _, test := range []struct {
		point Point
		fails []bool
		asked int32
	}{
		{Point{}, []bool{false, false, false}, 3},
		{Point{Number: 2}, []bool{false, true, false}, 2},
		{Point{Number: 2, After: true}, []bool{false, true, false}, 3},
		{Point{Number: 4}, []bool{false, false, false}, 3},
	} {
		var struck []Call
		test.point.Strike = func(call Call) { struck = append(struck, call) }
		d.asked.Store(0)
		relay.Arm(test.point)
		for i, fails := range test.fails {
			if err := asks(); (status.Code(err) == codes.Unavailable) != fails || !fails && err != nil {
				t.Errorf("%+v: call %d: %v", test.point, i+1, err)
			}
		}
		calls := relay.Disarm()
		if d.asked.Load() != test.asked || len(calls) < 3 {
			t.Errorf("%+v: the daemon was asked %d times, counted were %v", test.point, d.asked.Load(), calls)
		}
		if hit := test.point.Number == 2; hit && (len(struck) != 1 || struck[0].Number != 2 || struck[0].PID != os.Getpid() || struck[0].Method != "/grpc.health.v1.Health/Check") || !hit && struck != nil {
			t.Errorf("%+v: struck were %+v", test.point, struck)
		}
	}
}
