package doctor

import (
	"slices"
	"strings"
	"sync"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/image/proven"
)

func aboutPairs() subject { return subject{"pairs", "claude and runtime"} }

// pairs are those that were seen; they come from looks side by side.
type pairs struct {
	lock sync.Mutex
	list []proven.Pair
}

func (p *pairs) add(pair proven.Pair) {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.list = append(p.list, pair)
}

func (p *pairs) sorted() []proven.Pair {
	p.lock.Lock()
	defer p.lock.Unlock()
	return slices.SortedFunc(slices.Values(p.list), func(a, b proven.Pair) int { return strings.Compare(a.Runtime, b.Runtime) })
}

// judgePairs looks for what has answered here in the table that ships.
func judgePairs(seen []proven.Pair, table []proven.Pair, err error) Check {
	about := aboutPairs()
	switch {
	case err != nil:
		return about.unknown("install this program anew", "%s", firstLine(err))
	case len(seen) == 0:
		return about.unknown("", "no claude has answered")
	}
	var words []string
	for _, pair := range seen {
		if !proven.Has(table, pair) {
			words = append(words, "claude "+pair.Claude+" on "+pair.Runtime+" "+pair.Version)
		}
	}
	if len(words) == 0 {
		return about.ok("%s", proven.Known(table, seen[0].Claude))
	}
	found := strings.Join(words, " and ") + " answered, but is not in the table of pairs known to work"
	if len(table) > 0 {
		found += "; the newest claude in it is " + table[0].Claude
	}
	return about.warning("nothing, as it answered here; `claude-bottle version --table` shows the pairs that were tried before", "%s", backend.Printable(found))
}
