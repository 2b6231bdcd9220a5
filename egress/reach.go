package egress

import (
	"fmt"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// Everywhere is the rule of an open bottle: every public host.
const Everywhere = "*"

// Rules resolves what a bottle file says under egress, without its private
// ranges being laid over the hosts: PlanHosts does that. A mistake is an
// InvalidArgument error that names the key.
func Rules(wish backend.Egress) ([]backend.PlanHost, error) {
	var rules []backend.PlanHost
	for _, text := range wish.Allow {
		rule, err := ParseRule(text)
		if err != nil {
			return nil, err
		}
		rules = append(rules, rule)
	}
	for _, name := range wish.Presets {
		list, err := presetRules(name)
		if err != nil {
			return nil, err
		}
		rules = append(rules, list...)
	}
	if _, err := Ask(wish); err != nil {
		return nil, err
	}
	switch wish.Mode {
	case "", backend.EgressDeny:
	case backend.EgressAsk:
		rules = append(rules, askable(rules, wish.Private)...)
	case backend.EgressOpen:
		rules = append(rules, backend.PlanHost{Host: Everywhere, Ports: webPorts(), Because: "egress.mode open"})
	default:
		return nil, fmt.Errorf("egress.mode: %s: deny, open or ask: %w", backend.Printable(string(wish.Mode)), errdefs.ErrInvalidArgument)
	}
	for _, entry := range wish.Private {
		if _, _, err := parsePrivate(entry); err != nil {
			return nil, err
		}
	}
	return rules, nil
}

// PlanHosts makes one entry a host of the rules, in an order that a reader of
// the first match can go by, and lays the private ranges over them. A range for
// a host that no rule allows is an InvalidArgument error.
func PlanHosts(rules []backend.PlanHost, private []backend.PrivateRange) ([]backend.PlanHost, error) {
	var merged []backend.PlanHost
	for _, rule := range rules {
		at := slices.IndexFunc(merged, func(known backend.PlanHost) bool { return known.Host == rule.Host })
		if at < 0 {
			rule.Ports = slices.Clone(rule.Ports)
			merged = append(merged, rule)
			continue
		}
		addPorts(&merged[at], rule.Ports)
		if !slices.Contains(strings.Split(merged[at].Because, ", "), rule.Because) {
			merged[at].Because += ", " + rule.Because
		}
	}
	merged, err := layPrivate(merged, private)
	if err != nil {
		return nil, err
	}
	return openLast(merged), nil
}

// openLast puts the rule for every host behind those that say more, and gives
// its ports to each of them.
func openLast(hosts []backend.PlanHost) []backend.PlanHost {
	at := slices.IndexFunc(hosts, func(host backend.PlanHost) bool { return host.Host == Everywhere })
	if at < 0 {
		return hosts
	}
	open := hosts[at]
	hosts = append(slices.Delete(hosts, at, at+1), open)
	for i := range hosts {
		addPorts(&hosts[i], open.Ports)
	}
	return hosts
}

func addPorts(host *backend.PlanHost, ports []uint16) {
	for _, port := range ports {
		if !slices.Contains(host.Ports, port) {
			host.Ports = append(host.Ports, port)
		}
	}
}

// Warnings says what of these hosts a user should think about before the yes.
func Warnings(hosts []backend.PlanHost) []string {
	var found []string
	for _, host := range hosts {
		if host.Host == Everywhere {
			found = append(found, "egress.mode open: the agent may reach EVERY public host on ports 80 and 443, and send anywhere whatever it can read. "+
				"List the hosts under egress.allow instead if you can.")
		}
		if len(host.Private) > 0 {
			found = append(found, fmt.Sprintf("egress.private: %s may lead into your own network, at %s.", host.Host, strings.Join(host.Private, ", ")))
		}
	}
	return found
}
