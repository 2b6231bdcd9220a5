package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// said tells how a policy decides.
func said(policy Decider, address string) string {
	host, port, _ := strings.Cut(address, ":")
	number := uint16(443)
	if port != "" {
		_, _ = fmt.Sscan(port, &number)
	}
	test := Try(policy, host, number)
	return test.Decision + " by " + test.Rule
}

func TestT41_TheLastWordOfTheUserHolds(t *testing.T) {
	live := NewLive([]backend.PlanHost{
		{Host: "a.example", Ports: []uint16{80, 443}, Because: "egress.allow", Private: []string{"10.0.0.0/8"}},
		{Host: "*.wild.example", Ports: []uint16{443}, Because: "egress.allow"},
	})
	none := func(string) error { return nil }
	for i, step := range []struct {
		say  func(string) error
		what string
		want map[string]string
	}{
		{none, "", map[string]string{"a.example": "allowed by a.example (egress.allow)", "b.example": "denied by no rule allows it", "A.example.": "allowed by a.example (egress.allow)"}},
		{live.Deny, "a.example:80", map[string]string{"a.example:80": "denied by a.example (egress deny, this run)", "a.example": "allowed by a.example (egress.allow)"}},
		{live.Deny, "A.example", map[string]string{"a.example": "denied by a.example (egress deny, this run)", "a.example:22": "denied by a.example (egress deny, this run)"}},
		{live.Allow, "a.example:8443", map[string]string{"a.example:8443": "allowed by a.example (egress allow, this run)", "a.example": "denied by a.example (egress deny, this run)"}},
		{live.Allow, "a.example", map[string]string{"a.example": "allowed by a.example (egress allow, this run)", "a.example:80": "allowed by a.example (egress allow, this run)"}},
		{live.Deny, "*.wild.example", map[string]string{"x.wild.example": "denied by *.wild.example (egress deny, this run)", "wild.example": "denied by no rule allows it"}},
		{live.Allow, "x.wild.example:443", map[string]string{"x.wild.example": "allowed by x.wild.example (egress allow, this run)", "y.wild.example": "denied by *.wild.example (egress deny, this run)"}},
		{live.Allow, "ssh://b.example", map[string]string{"b.example:22": "allowed by b.example (egress allow, this run)", "b.example": "denied by no rule allows it"}},
		{live.Deny, "ssh://b.example", map[string]string{"b.example:22": "denied by b.example (egress deny, this run)"}},
	} {
		if err := step.say(step.what); err != nil {
			t.Fatal(err)
		}
		for address, want := range step.want {
			if got := said(live, address); got != want {
				t.Errorf("step %d: %s is %s, want %s", i, address, got, want)
			}
		}
	}
	if verdict, err := live.Decide("a.example", 8443); err != nil || len(verdict.Ranges) != 1 {
		t.Errorf("the ranges of the bottle file are %v, %v", verdict.Ranges, err)
	}
	for _, bad := range []string{"", "*", "10.0.0.1", "a b", "anthropic.bottle", "*.com", "https://a.example", "a.example:0"} {
		if err := errors.Join(live.Allow(bad), live.Deny(bad)); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for i := range maxChanges {
		_ = live.Allow(fmt.Sprintf("h%d.example", i))
	}
	if err := live.Allow("more.example"); !errdefs.IsResourceExhausted(err) {
		t.Errorf("one change too many: %v", err)
	}
}

// tableOf is a table in short.
func tableOf(live *Live) string {
	var list []string
	for _, entry := range live.Table() {
		list = append(list, fmt.Sprint(entry.Host, entry.Ports))
	}
	return strings.Join(list, " ")
}

func TestTheTableOfNamesFollows(t *testing.T) {
	live := NewLive([]backend.PlanHost{
		{Host: "*.example", Ports: []uint16{443}}, {Host: "a.example", Ports: []uint16{8443}}, {Host: "*.b.example", Ports: []uint16{22}},
	})
	check := func(want string) {
		t.Helper()
		if got := tableOf(live); got != want {
			t.Errorf("the table is %s\nwant %s", got, want)
		}
	}
	check("a.example[443 8443] *.b.example[22 443] *.example[443]")
	_ = live.Allow("c.example:443") // has an address already
	_ = live.Allow("x.org:9000")
	_ = live.Deny("a.example:443")
	check("a.example[8443] x.org[9000] *.b.example[22 443] *.example[443]")
	_ = live.Deny("a.example")
	_ = live.Deny("x.org")
	check("*.b.example[22 443] *.example[443]")

	live = NewLive([]backend.PlanHost{{Host: "a.example", Ports: []uint16{443}}, {Host: "vm", Because: ruleAsk, Private: []string{"10.0.0.0/8"}}})
	if err := live.AskFor(backend.PlanAsk{Ports: []uint16{22, 80, 443}, Timeout: "1m"}, nil); err != nil {
		t.Fatal(err)
	}
	check("a.example[22 80 443] vm[22 80 443] *[22 80 443]")
	for _, name := range []string{"new.example", "a.example", "vm"} {
		if verdict, err := live.Named(name); err != nil {
			t.Errorf("%s: %+v, %v", name, verdict, err)
		}
	}
	for _, name := range []string{"other", "x.local", "fence.invalid"} {
		if verdict, err := live.Named(name); err == nil {
			t.Errorf("%s: %+v", name, verdict)
		}
	}
}

func TestALiveConnectionIsCutWhenItsHostIsDenied(t *testing.T) {
	for _, port := range []uint16{80, 443, 9000} {
		t.Run(fmt.Sprint(port), func(t *testing.T) {
			live := NewLive([]backend.PlanHost{{Host: "a.example", Ports: []uint16{port}, Because: "egress.allow"}})
			far := newFar(t)
			s := open(t, &Dialer{Policy: live, Resolver: publicly{}, Connect: far.connect, Own: noOwn}, time.Minute, "a.example", port)
			known := func() int {
				s.screen.open.mu.Lock()
				defer s.screen.open.mu.Unlock()
				return len(s.screen.open.list)
			}
			if port == 9000 {
				heard := far.everything()
				if _, err := io.WriteString(s, "hello"); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(s, make([]byte, 7)); err != nil {
					t.Fatal(err)
				}
				defer func() {
					// What is under way when it is cut may be lost.
					if got := <-heard; !strings.HasPrefix("hello", got) {
						t.Errorf("the far end heard %q", got)
					}
				}()
			}
			for known() == 0 {
				time.Sleep(time.Millisecond) // until Serve has begun
			}
			if count := s.screen.Recheck(); count != 0 {
				t.Errorf("%d connections were cut while they are allowed", count)
			}
			if err := live.Deny("a.example"); err != nil {
				t.Fatal(err)
			}
			if count := s.screen.Recheck(); count != 1 {
				t.Errorf("%d connections were cut", count)
			}
			// The bottle's end stays open, and silent: it is cut all the same.
			if err := s.ends(t); !errdefs.IsPermissionDenied(err) {
				t.Errorf("it ended with %v", err)
			}
			if s.event.Allowed || s.event.Rule != "a.example (egress deny, this run)" {
				t.Errorf("it is logged as %+v", *s.event)
			}
			if known() != 0 {
				t.Error("it is still known")
			}
		})
	}
}

// asking is a policy that asks, and what it has logged.
func asking(t *testing.T, wait string) (*Live, func() []Event) {
	t.Helper()
	live := NewLive([]backend.PlanHost{{Host: "a.example", Ports: []uint16{443}, Because: "egress.allow"}})
	var mu sync.Mutex
	var events []Event
	err := live.AskFor(backend.PlanAsk{Ports: askPorts(), Timeout: wait}, func(event Event) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, event)
	})
	if err != nil {
		t.Fatal(err)
	}
	return live, func() []Event {
		mu.Lock()
		defer mu.Unlock()
		return events
	}
}

// awaits begins to wait for an answer, and returns once that is held.
func awaits(t *testing.T, ctx context.Context, live *Live, host string, port uint16, waiting int) <-chan string { //nolint:revive // as in testing
	t.Helper()
	answer := make(chan string, 1)
	go func() {
		verdict, err := live.Await(ctx, host, port)
		if err != nil {
			answer <- RuleOf(err) + ": " + err.Error()
			return
		}
		answer <- verdict.Rule
	}()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		for _, held := range live.Pending() {
			if held.Host == host && held.Port == port && held.Waiting == waiting {
				return answer
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not held: %v", host, live.Pending())
		}
	}
}

func TestAnUnknownHostIsHeldUntilTheUserAnswers(t *testing.T) {
	live, events := asking(t, "1h")
	ctx := t.Context()
	for _, address := range []string{"a.example", "b.example", "b.example:22", "b.example:8443", "vm", "x.local"} {
		want := map[string]string{"a.example": "allowed by a.example (egress.allow)", "b.example": "asked by egress.mode ask", "b.example:22": "asked by egress.mode ask"}[address]
		if want == "" {
			want = "denied by no rule allows it"
		}
		if got := said(live, address); got != want {
			t.Errorf("%s is %s, want %s", address, got, want)
		}
	}
	yes, again := awaits(t, ctx, live, "b.example", 443, 1), awaits(t, ctx, live, "b.example", 443, 2)
	other, no := awaits(t, ctx, live, "b.example", 80, 1), awaits(t, ctx, live, "c.example", 443, 1)
	if held, err := live.Approve("d.example"); !errdefs.IsNotFound(err) {
		t.Errorf("approved is %v, %v", held, err)
	}
	if held, err := live.Approve("b.example:443"); err != nil || len(held) != 1 || held[0].Waiting != 2 {
		t.Errorf("approved is %v, %v", held, err)
	}
	for _, answer := range []<-chan string{yes, again} {
		if got := <-answer; got != "b.example (egress allow, this run)" {
			t.Errorf("approved: %s", got)
		}
	}
	if got := said(live, "b.example:80"); got != "asked by egress.mode ask" {
		t.Errorf("the other port is %s", got)
	}
	if err := live.Deny("c.example"); err != nil {
		t.Fatal(err)
	}
	if got := <-no; !strings.HasPrefix(got, "c.example (egress deny, this run)") {
		t.Errorf("denied: %s", got)
	}
	if held, err := live.Approve("B.example"); err != nil || len(held) != 1 {
		t.Errorf("approved is %v, %v", held, err)
	}
	if got := <-other; got != "b.example (egress allow, this run)" {
		t.Errorf("approved: %s", got)
	}
	if len(live.Pending()) != 0 || len(events()) != 4 || events()[0].Kind != KindAsk || events()[0].Host != "b.example" {
		t.Errorf("held are %v, logged %+v", live.Pending(), events())
	}
}

func TestWhatNobodyAnswersIsDenied(t *testing.T) {
	live, _ := asking(t, "1s")
	if _, err := live.Await(t.Context(), "b.example", 443); !errdefs.IsPermissionDenied(err) || RuleOf(err) != ruleAsk {
		t.Errorf("got %v", err)
	}
	live, _ = asking(t, "1h")
	ctx, cancel := context.WithCancel(t.Context())
	gone := awaits(t, ctx, live, "b.example", 443, 1)
	cancel()
	if got := <-gone; !strings.HasPrefix(got, ruleAsk) || len(live.Pending()) != 0 {
		t.Errorf("got %s, held %v", got, live.Pending())
	}
}

func TestT34_NoMoreIsHeldThanThereIsRoomFor(t *testing.T) {
	live, _ := asking(t, "1h")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var answers []<-chan string
	for i := range maxQuestions {
		answers = append(answers, awaits(t, ctx, live, fmt.Sprintf("h%d.example", i), 443, 1))
	}
	if _, err := live.Await(ctx, "more.example", 443); !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), "too much") {
		t.Errorf("one question too many: %v", err)
	}
	for i := range maxHeld - maxQuestions {
		answers = append(answers, awaits(t, ctx, live, "h0.example", 443, i+2))
	}
	if _, err := live.Await(ctx, "h0.example", 443); !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), "too much") {
		t.Errorf("one connection too many: %v", err)
	}
	cancel()
	for _, answer := range answers {
		<-answer
	}
	if len(live.Pending()) != 0 {
		t.Errorf("still held: %v", live.Pending())
	}
}

func TestWhatABottleFileSaysOfAsking(t *testing.T) {
	ask, err := Ask(backend.Egress{Mode: backend.EgressAsk})
	if err != nil || ask.Timeout != "1m0s" {
		t.Errorf("got %+v, %v", ask, err)
	}
	if ask, err := Ask(backend.Egress{Mode: backend.EgressDeny, AskTimeout: "5s"}); ask != nil || err != nil {
		t.Errorf("got %+v, %v", ask, err)
	}
	for _, bad := range []string{"5", "0s", "-1m", "2h", "soon"} {
		if _, err := Rules(backend.Egress{Mode: backend.EgressAsk, AskTimeout: bad}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	// A range may be named for a host that is yet to be asked for, and allows
	// nothing by itself.
	private := []backend.PrivateRange{{Host: "vm", Range: "10.0.0.0/8"}, {Host: "git.a.example", Range: "10.0.0.0/8"}}
	rules, err := Rules(backend.Egress{Mode: backend.EgressAsk, Allow: []string{"*.a.example"}, Private: private})
	if err != nil {
		t.Fatal(err)
	}
	hosts, err := PlanHosts(rules, private)
	if err != nil {
		t.Fatal(err)
	}
	if got := said(NewPolicy(hosts), "vm"); got != "denied by no rule allows it" {
		t.Errorf("vm is %s", got)
	}
	if verdict, err := NewPolicy(hosts).Decide("git.a.example", 443); err != nil || len(verdict.Ranges) != 1 {
		t.Errorf("git.a.example: %+v, %v", verdict, err)
	}
}
