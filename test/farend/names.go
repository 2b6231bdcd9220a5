package farend

import (
	"context"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Records answers a question that was asked so many times before; no record
// says that there is no such name.
type Records func(question dns.Question, times int) []dns.RR

// names is a name server that remembers what it was asked.
type names struct {
	records Records

	mu    sync.Mutex
	asked map[string]int // by type and name
}

// serve answers on port 53 of every address until the test ends.
func (n *names) serve(t testing.TB) error {
	for _, family := range []string{"4", "6"} {
		anywhere := map[string]string{"4": "0.0.0.0:53", "6": "[::]:53"}[family]
		packets, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp"+family, anywhere)
		if err != nil {
			return fmt.Errorf("answer questions: %w", err)
		}
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp"+family, anywhere)
		if err != nil {
			_ = packets.Close()
			return fmt.Errorf("answer questions: %w", err)
		}
		for _, server := range []*dns.Server{{PacketConn: packets, Handler: n}, {Listener: listener, Handler: n}} {
			started, ended := make(chan struct{}), make(chan struct{})
			server.NotifyStartedFunc = func() { close(started) }
			go func() {
				defer close(ended)
				_ = server.ActivateAndServe()
			}()
			<-started
			t.Cleanup(func() {
				ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
				defer cancel()
				_ = server.ShutdownContext(ctx)
				<-ended
			})
		}
	}
	return nil
}

// ServeDNS implements dns.Handler.
func (n *names) ServeDNS(w dns.ResponseWriter, message *dns.Msg) {
	answer := new(dns.Msg)
	answer.SetReply(message)
	for _, question := range message.Question {
		key := dns.TypeToString[question.Qtype] + " " + strings.ToLower(question.Name)
		n.mu.Lock()
		times := n.asked[key]
		n.asked[key]++
		n.mu.Unlock()
		answer.Answer = append(answer.Answer, n.records(question, times)...)
	}
	if len(answer.Answer) == 0 {
		answer.Rcode = dns.RcodeNameError
	}
	_ = w.WriteMsg(answer)
}

// Asked are the names that were asked for, in lower case, behind their types,
// and how often.
func (w *World) Asked() map[string]int {
	w.names.mu.Lock()
	defer w.names.mu.Unlock()
	return maps.Clone(w.names.asked)
}
