package supervise

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/claude-bottle/claude-bottle/egress/sshagent"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
)

// gatewayPort is where routes listen inside.
const gatewayPort = 80

// auditLog is the name of the audit log in the state directory.
const auditLog = "egress.jsonl"

// gate is what every connection out of the bottle passes.
type gate struct {
	policy  *egress.Live
	screen  *egress.Screen
	routes  *routes
	notes   *notes
	audit   *egress.Audit
	denials egress.Denials
	fence   *fence
	ssh     *sshagent.Agent
}

// newGate opens the gate of a bottle. The caller closes it.
func newGate(config Config) (*gate, error) {
	audit, err := egress.OpenAudit(filepath.Join(config.State, auditLog))
	if err != nil {
		return nil, err
	}
	g := &gate{policy: egress.NewLive(config.Hosts), notes: new(notes), audit: audit, fence: newFence()}
	if err := g.ask(config.Ask); err != nil {
		return nil, errors.Join(err, audit.Close())
	}
	proxy, err := egress.NewProxy(os.LookupEnv)
	if err != nil {
		return nil, errors.Join(err, audit.Close())
	}
	if g.ssh, err = newSSHAgent(config.SSH, audit); err != nil {
		return nil, errors.Join(err, audit.Close())
	}
	g.routes, err = newRoutes(config, g.notes, g.log)
	if err != nil {
		g.ssh.Close()
		return nil, errors.Join(err, audit.Close())
	}
	g.screen = egress.NewScreen(egress.ScreenOptions{
		Dialer: &egress.Dialer{Policy: g.policy, Resolver: net.DefaultResolver, Proxy: proxy},
		Await:  g.policy.Await,
		Splice: neck.Splice,
		Copy:   neck.Copy,
		Log:    g.log,
	})
	return g, nil
}

func (g *gate) close() {
	g.screen.Close()
	g.routes.close()
	g.ssh.Close()
	_ = g.audit.Close()
}

// names is what PID 1 answers and listens for.
func (g *gate) names() neck.Names {
	table := neck.Names{Entries: g.routes.names(), SSHAgent: g.sshSocket()}
	for _, host := range g.policy.Table() {
		name, suffix := strings.CutPrefix(host.Host, "*.")
		if host.Host == egress.Everywhere {
			name, suffix = "", true
		}
		table.Entries = append(table.Entries, neck.Name{Host: name, Suffix: suffix, Ports: host.Ports})
	}
	return table
}

// fromBottle answers one stream that the bottle opened. Nothing in it is
// trusted: the policy decides anew, whatever PID 1 was told.
func (s *supervisor) fromBottle(ctx context.Context, request neck.Request, stream neck.Stream) {
	stream = s.through(stream)
	switch request.Kind {
	case neck.KindDial:
		s.policy.dial(ctx, request, stream)
	case neck.KindSSHAgent:
		s.policy.signs(ctx, stream)
	case neck.KindName:
		s.policy.named(request.Host)
		_ = stream.Accept()
		_ = stream.Close()
	default:
		_ = stream.Refuse(fmt.Errorf("request %q: %w", request.Kind, errdefs.ErrNotImplemented))
	}
}

func (g *gate) dial(ctx context.Context, request neck.Request, stream neck.Stream) {
	name, err := egress.Canonical(request.Host)
	if err == nil {
		if route := g.routes.find(name, request.Port); route != nil {
			if stream.Accept() == nil {
				route.Serve(stream)
			}
			return
		}
	}
	if err := g.screen.Serve(ctx, request.Host, request.Port, stream); err != nil {
		log.G(ctx).WithError(err).Info("refuse connection")
	}
}

// Hosts resolves what a bottle file says about egress. A host that is named
// twice gets the ports of both.
func Hosts(wish backend.Egress, ssh []backend.SSHEntry) ([]backend.PlanHost, error) {
	rules, err := egress.Rules(wish)
	if err != nil {
		return nil, err
	}
	for _, entry := range ssh {
		host, port := entry.Hostname, entry.Port
		if host == "" {
			host = entry.Host
		}
		if port == 0 {
			port = 22
		}
		rule, err := egress.ParseRule(fmt.Sprintf("%s:%d", host, port))
		if err != nil {
			return nil, fmt.Errorf("ssh %s: %w", entry.Host, err)
		}
		rule.Because = "ssh"
		rules = append(rules, rule)
	}
	return egress.PlanHosts(rules, wish.Private)
}
