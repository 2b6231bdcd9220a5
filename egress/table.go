package egress

import (
	"cmp"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
)

// candidates are all hosts that may be reachable on some port: those of the plan,
// those that were allowed since, and those that would be asked for.
func (l *Live) candidates() []backend.PlanHost {
	list := slices.Clone(l.base.hosts)
	l.mu.Lock()
	for _, known := range l.changes {
		if known.allow {
			list = append(list, backend.PlanHost{Host: known.host, Ports: known.ports})
		}
	}
	l.mu.Unlock()
	if l.ask == nil {
		return list
	}
	for i, host := range list {
		if len(host.Ports) == 0 { // there for its range
			list[i].Ports = l.ask.ports
		}
	}
	return append(list, backend.PlanHost{Host: Everywhere, Ports: l.ask.ports})
}

// Table lists the names that the bottle's own resolver answers for, and the ports
// that it listens on for each. An entry has the ports of all that hold for it,
// and stands before those that are wider: the first match is right.
func (l *Live) Table() []backend.PlanHost {
	all := l.candidates()
	table := make([]backend.PlanHost, 0, len(all))
	for _, candidate := range all {
		if slices.ContainsFunc(table, func(known backend.PlanHost) bool { return known.Host == candidate.Host }) {
			continue
		}
		entry := backend.PlanHost{Host: candidate.Host}
		for _, other := range all {
			if other.Host == entry.Host || covers(other.Host, entry.Host) {
				addPorts(&entry, other.Ports)
			}
		}
		if isExact(entry.Host) {
			l.prune(&entry)
		}
		slices.Sort(entry.Ports) // the same ones make the same table
		if len(entry.Ports) > 0 {
			table = append(table, entry)
		}
	}
	slices.SortStableFunc(table, func(a, b backend.PlanHost) int { return cmp.Compare(breadth(a.Host), breadth(b.Host)) })
	return slices.DeleteFunc(table, func(entry backend.PlanHost) bool { return l.needless(entry, table) })
}

// prune takes the ports away on which nothing of the host can be reached.
func (l *Live) prune(entry *backend.PlanHost) {
	entry.Ports = slices.DeleteFunc(entry.Ports, func(port uint16) bool {
		_, err := l.Decide(entry.Host, port)
		return err != nil && !undecided(err)
	})
}

// needless says that a host which was allowed since has an address by a wider
// entry: programs inside may hold it already.
func (l *Live) needless(entry backend.PlanHost, table []backend.PlanHost) bool {
	ofPlan := slices.ContainsFunc(l.base.hosts, func(host backend.PlanHost) bool { return host.Host == entry.Host })
	if ofPlan || !isExact(entry.Host) {
		return false
	}
	at := slices.IndexFunc(table, func(wider backend.PlanHost) bool { return !isExact(wider.Host) && matches(wider.Host, entry.Host) })
	return at >= 0 && !slices.ContainsFunc(entry.Ports, func(port uint16) bool { return !slices.Contains(table[at].Ports, port) })
}

func isExact(host string) bool { return !strings.HasPrefix(host, "*") }

// breadth orders rules: exact names, long suffixes, short ones, everything.
func breadth(host string) int {
	if isExact(host) {
		return -256 // longer than any name
	}
	return -len(host)
}
