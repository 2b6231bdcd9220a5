package farend_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/test/farend"
	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// say sends a word by each of the ways that a world must see.
func say(w *farend.World, network, address, word string) error {
	var conn net.Conn
	err := w.Host.Do(func() (err error) {
		// A name would be resolved, and other address families tried, by
		// goroutines that are elsewhere.
		conn, err = net.DialTimeout(network, address, 10*time.Second)
		return err
	})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, err = conn.Write([]byte(word))
	return err
}

func TestEverythingThatLeavesIsSeen(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	w := farend.New(t, []uint16{80}, func(netip.AddrPort, []byte, int) ([]byte, bool) { return nil, false },
		func(question dns.Question, times int) []dns.RR { return nil })
	targets := map[string]string{"8.8.8.8:80": "beyond", "[2606:4700::1]:80": "beyond", "10.1.2.3:80": "beyond", "127.0.0.1:80": "itself", "[::1]:80": "itself", w.Own[0].String() + ":80": "itself"}
	for address := range targets {
		for _, network := range []string{"tcp", "udp"} {
			if err := say(w, network, address, network+" to "+address); err != nil {
				t.Errorf("%s to %s: %v", network, address, err)
			}
		}
	}
	if err := say(w, "tcp", "8.8.4.4:81", "nobody listens"); err == nil {
		t.Error("somebody listens on port 81")
	}
	if err := say(w, "udp", "9.9.9.9:53", string(question("Secret.example."))); err != nil {
		t.Error(err)
	}
	var seen farend.Seen
	for deadline := time.Now().Add(time.Minute); len(seen.Arrivals) < 2*len(targets) || len(w.Asked()) < 1; time.Sleep(10 * time.Millisecond) {
		if seen = w.Seen(t); time.Now().After(deadline) {
			t.Fatalf("seen: %+v, asked %v", seen, w.Asked())
		}
	}
	heard := map[string]bool{}
	for _, arrival := range seen.Arrivals {
		heard[string(arrival.Data)] = true
	}
	for address, where := range targets {
		packets := map[string]map[farend.Packet]int{"beyond": seen.Wire, "itself": seen.Loopback}[where]
		for _, network := range []string{"tcp", "udp"} {
			if !heard[network+" to "+address] || packets[farend.Packet{Protocol: network, To: netip.MustParseAddrPort(address)}] == 0 {
				t.Errorf("%s to %s was not seen: %v, %v", network, address, heard, packets)
			}
		}
	}
	if seen.Wire[farend.Packet{Protocol: "tcp", To: netip.MustParseAddrPort("8.8.4.4:81")}] == 0 {
		t.Errorf("a refused connection was not seen: %v", seen.Wire)
	}
	if want := len(targets) + 1; seen.Begun != want || seen.Opened != want {
		t.Errorf("%d connections were seen, %d counted, want %d", seen.Begun, seen.Opened, want)
	}
	if fmt.Sprint(w.Asked()) != "map[A secret.example.:1]" {
		t.Errorf("asked was %v", w.Asked())
	}
}

func question(name string) []byte {
	data, err := new(dns.Msg).SetQuestion(name, dns.TypeA).Pack()
	if err != nil {
		panic(err)
	}
	return data
}
