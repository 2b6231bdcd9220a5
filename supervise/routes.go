package supervise

import (
	"context"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/claude-bottle/claude-bottle/leaks"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/log"
)

// RouteConfig is a planned route with the secret that it starts with.
type RouteConfig struct {
	Route   backend.PlanRoute `json:"route"`
	Secret  string            `json:"secret"`
	Expires time.Time         `json:"expires"` // zero: never
}

// routes are the HTTP services that the bottle has a host name of its own for.
type routes struct {
	open  []*egress.Route
	renew []*renewal
}

// newRoutes opens the Anthropic API and the routes of the bottle file. The
// caller closes them.
func newRoutes(config Config, notes *notes, logEvent func(egress.Event)) (*routes, error) {
	scan, err := newLeakScan(config, notes)
	if err != nil {
		return nil, err
	}
	anthropic, err := egress.NewAnthropic(egress.AnthropicOptions{
		Upstream: config.Anthropic.Upstream, Kind: config.Anthropic.Credential,
		Credential: backend.NewSecret(config.Credential), ServerTools: config.Anthropic.ServerTools,
		Leaks: scan, Log: logEvent, Refused: notes.refused("anthropic", config.Anthropic.Credential.Variable()),
	})
	if err != nil {
		return nil, err
	}
	r := &routes{open: []*egress.Route{anthropic}}
	for _, entry := range config.Routes {
		credential := &renewal{name: entry.Route.Name, source: entry.Route.Source, secret: backend.NewSecret(entry.Secret), expires: entry.Expires}
		route, err := egress.OpenRoute(entry.Route, scan, credential.present, logEvent, notes.refused(entry.Route.Name, entry.Route.Source))
		if err != nil {
			r.close()
			return nil, err
		}
		r.open, r.renew = append(r.open, route), append(r.renew, credential)
	}
	return r, nil
}

// maxLeakScan is how much of a body is looked into, in bytes: as much as the API
// takes.
const maxLeakScan = 33 << 20

// newLeakScan looks for all secrets that this bottle has to do with; nil when the
// bottle file doesn't ask for it.
func newLeakScan(config Config, notes *notes) (*egress.LeakScan, error) {
	if config.DLP == "" {
		return nil, nil //nolint:nilnil // a nil scan scans nothing
	}
	known := []leaks.Known{{Name: "the secret of " + config.Anthropic.Credential.Variable(), Value: config.Credential}}
	for _, route := range config.Routes {
		known = append(known, leaks.Known{Name: "the secret of route " + route.Route.Name, Value: route.Secret})
	}
	for name, value := range config.Env {
		known = append(known, leaks.Known{Name: "the value of " + name, Value: value})
	}
	detector, err := leaks.NewDetector(known)
	if err != nil {
		return nil, err
	}
	return &egress.LeakScan{Detector: detector, Block: config.DLP == backend.DLPBlock, Limit: maxLeakScan, Found: notes.leaked}, nil
}

func (r *routes) close() {
	for _, route := range r.open {
		route.Close()
	}
}

// find is the route of a canonical host name, or nil.
func (r *routes) find(host string, port uint16) *egress.Route {
	at := slices.IndexFunc(r.open, func(route *egress.Route) bool { return route.Host() == host })
	if at < 0 || port != gatewayPort {
		return nil
	}
	return r.open[at]
}

// names is what PID 1 answers and listens for.
func (r *routes) names() []neck.Name {
	names := make([]neck.Name, 0, len(r.open))
	for _, route := range r.open {
		names = append(names, neck.Name{Host: route.Host(), Ports: []uint16{gatewayPort}})
	}
	return names
}

// keepFresh renews secrets that expire, until ctx ends.
func (r *routes) keepFresh(ctx context.Context) {
	home, _ := os.UserHomeDir() // a command that needs it says so
	sources := egress.Sources{Lookup: func(string) (string, bool) { return "", false }, Home: home}
	var group sync.WaitGroup
	for _, credential := range r.renew {
		if !credential.expires.IsZero() {
			group.Go(func() {
				credential.keepFresh(ctx, func(ctx context.Context) (backend.RouteSecret, error) { return sources.Read(ctx, credential.source) })
			})
		}
	}
	group.Wait()
}

// How long before its end a secret is renewed, at most, and how often that is
// tried when it fails.
const (
	renewBefore = 5 * time.Minute
	renewAgain  = 10 * time.Second
)

// renewal is the secret of one route, and when it ends.
type renewal struct {
	name, source string

	mu      sync.Mutex
	secret  backend.Secret
	expires time.Time
}

func (r *renewal) present() backend.Secret {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.secret
}

// keepFresh reads the secret anew before it ends, until ctx ends or a secret
// comes that never does. One that could not be renewed stays: whether it still
// holds is for upstream to say.
func (r *renewal) keepFresh(ctx context.Context, read func(context.Context) (backend.RouteSecret, error)) {
	wait := untilRenewal(time.Until(r.expires))
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		fresh, err := read(ctx)
		if err != nil {
			log.G(ctx).WithError(err).WithField("route", r.name).Warn("renew credential")
			wait = renewAgain
			continue
		}
		r.mu.Lock()
		r.secret, r.expires = fresh.Secret, fresh.Expires
		r.mu.Unlock()
		if fresh.Expires.IsZero() {
			return
		}
		wait = untilRenewal(time.Until(fresh.Expires))
	}
}

// untilRenewal is how long a secret is used that lives for so long: all but its
// last fifth, or its last minutes. It is never so short that a program runs on
// end.
func untilRenewal(life time.Duration) time.Duration {
	return max(life-min(life/5, renewBefore), time.Second)
}

// Routes resolves what a bottle file says about credentials.
func Routes(entries []backend.CredentialEntry) ([]backend.PlanRoute, error) {
	return egress.ParseRoutes(entries)
}
