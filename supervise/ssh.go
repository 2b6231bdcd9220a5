package supervise

import (
	"context"
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/claude-bottle/claude-bottle/egress/sshagent"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/log"
)

// SSHKeys are the keys of a plan that an agent is to sign with. The copies are
// the caller's to hand over, to a Config or to nobody.
func SSHKeys(plan *backend.Plan, secrets backend.Secrets) []sshagent.Entry {
	var entries []sshagent.Entry
	for _, entry := range plan.SSH {
		if entry.Copied {
			continue
		}
		entries = append(entries, sshagent.Entry{
			Host: entry.Host, User: entry.User, HostKey: entry.HostKey,
			Key: entry.Key(), Passphrase: secrets.Passphrases[entry.Host].Reveal(),
		})
	}
	return entries
}

// CheckSSHKeys opens the keys as the supervisor will, so that a wrong passphrase
// is said before anything is made.
func CheckSSHKeys(plan *backend.Plan, secrets backend.Secrets) error {
	agent, err := sshagent.New(SSHKeys(plan, secrets), func(sshagent.Decision) {})
	if err != nil {
		return fmt.Errorf("open SSH keys: %w", err)
	}
	agent.Close()
	return nil
}

// newSSHAgent opens the agent of a bottle, which has no keys in most.
func newSSHAgent(entries []sshagent.Entry, audit *egress.Audit) (*sshagent.Agent, error) {
	return sshagent.New(entries, func(decision sshagent.Decision) {
		event := egress.Event{Kind: "ssh-sign", Host: decision.Host, Allowed: decision.Err == nil}
		if decision.Err != nil {
			event.Reason = backend.Printable(decision.Err.Error())
		}
		_ = audit.Log(event)
	})
}

// signs carries one connection to the agent.
func (g *gate) signs(ctx context.Context, stream neck.Stream) {
	if err := g.ssh.Serve(stream); err != nil && ctx.Err() == nil {
		log.G(ctx).WithError(err).Debug("serve SSH agent")
	}
}

// sshSocket is where PID 1 listens for the agent; "" without one.
func (g *gate) sshSocket() string {
	if g.ssh.Empty() {
		return ""
	}
	return backend.SSHAgentPath
}
