package proven

import (
	"cmp"
	_ "embed" // the table
	"encoding/json"
	"fmt"
	goruntime "runtime"
	"slices"
	"strings"
)

// shipped is the table. hack/pairs adds to it.
//
//go:embed table.json
var shipped []byte

// Pair is a claude and a runtime on which it has answered.
type Pair struct {
	Claude       string `json:"claude"`       // version
	Runtime      string `json:"runtime"`      // gvisor or runc
	Version      string `json:"version"`      // of the runtime
	Architecture string `json:"architecture"` // as Go spells it
	Seen         string `json:"seen"`         // the day on which it was measured first
}

// Table is the part of the table that ships for an architecture, the newest claude first.
func Table(architecture string) ([]Pair, error) {
	table, err := Parse(shipped)
	return slices.DeleteFunc(table, func(pair Pair) bool { return pair.Architecture != architecture }), err
}

// Parse reads a table.
func Parse(data []byte) ([]Pair, error) {
	var table []Pair
	if err := json.Unmarshal(data, &table); err != nil {
		return nil, fmt.Errorf("read table of pairs: %w", err)
	}
	return table, nil
}

// Merge adds what was seen. A pair that is there already keeps its day.
func Merge(table, seen []Pair) []Pair {
	merged := slices.Clone(table)
	for _, pair := range seen {
		if !Has(merged, pair) {
			merged = append(merged, pair)
		}
	}
	slices.SortFunc(merged, func(a, b Pair) int {
		return cmp.Or(compareVersions(b.Claude, a.Claude), strings.Compare(a.Architecture, b.Architecture),
			strings.Compare(a.Runtime, b.Runtime), compareVersions(b.Version, a.Version))
	})
	return merged
}

// Has says that the table has this claude on this very runtime, on its architecture.
func Has(table []Pair, pair Pair) bool {
	return slices.ContainsFunc(table, func(known Pair) bool {
		return known.Claude == pair.Claude && known.Runtime == pair.Runtime && known.Version == pair.Version && known.Architecture == pair.Architecture
	})
}

// Of makes a pair of what programs of this host say of themselves, such as "2.1.330 (Claude
// Code)" and "runsc version 1.2".
func Of(claude, runtime, version string) Pair {
	first, _, _ := strings.Cut(strings.TrimSpace(claude), " ")
	fields := strings.Fields(version)
	last := ""
	if len(fields) > 0 {
		last = fields[len(fields)-1]
	}
	return Pair{Claude: first, Runtime: runtime, Version: last, Architecture: goruntime.GOARCH}
}

// Known says in words what the table has of a claude.
func Known(table []Pair, claude string) string {
	var words []string
	for _, pair := range table {
		if pair.Claude == claude {
			words = append(words, pair.Runtime+" "+pair.Version)
		}
	}
	if len(words) > 0 {
		return fmt.Sprintf("claude %s is known to work on %s", claude, strings.Join(words, " and "))
	}
	if len(table) > 0 {
		return fmt.Sprintf("claude %s is not in the table of those known to work; the newest one in it is %s", claude, table[0].Claude)
	}
	return fmt.Sprintf("claude %s is not in the table of those known to work", claude)
}

// compareVersions orders by the numbers between dots; what is none is compared as text.
func compareVersions(a, b string) int {
	one, other := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(one), len(other)) {
		// A longer number without zeros before it is the larger one.
		if d := cmp.Or(len(one[i])-len(other[i]), strings.Compare(one[i], other[i])); d != 0 {
			return d
		}
	}
	return len(one) - len(other)
}
