package proven_test

import (
	"runtime"
	"testing"

	"github.com/claude-bottle/claude-bottle/image/proven"
	"github.com/google/go-cmp/cmp"
)

func TestTheTableThatShipsIsInOrderAndWhole(t *testing.T) {
	table, err := proven.Table("amd64")
	if err != nil || len(table) == 0 {
		t.Fatalf("it has %d pairs, %v", len(table), err)
	}
	if diff := cmp.Diff(table, proven.Merge(nil, table)); diff != "" {
		t.Error(diff)
	}
	for _, pair := range table {
		if pair.Claude == "" || pair.Version == "" || pair.Seen == "" || pair.Architecture != "amd64" || (pair.Runtime != "gvisor" && pair.Runtime != "runc") {
			t.Errorf("%+v is no pair", pair)
		}
	}
}

func TestWhatIsSeenIsAddedOnce(t *testing.T) {
	old := proven.Pair{Claude: "2.1.9", Runtime: "runc", Version: "1.2", Seen: "2026-01-01"}
	newer := proven.Of("2.1.10 (Claude Code)\n", "gvisor", "runsc version 7")
	again := old
	again.Seen = "2026-02-02"
	got := proven.Merge([]proven.Pair{old}, []proven.Pair{again, newer})
	want := []proven.Pair{{Claude: "2.1.10", Runtime: "gvisor", Version: "7", Architecture: runtime.GOARCH}, old}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	elsewhere := newer
	if elsewhere.Architecture = "other"; proven.Has(got, elsewhere) {
		t.Error("what was seen on another architecture is taken for seen here")
	}
	if table, err := proven.Table("other"); err != nil || len(table) > 0 {
		t.Errorf("nothing was seen there, and the table has %v, %v", table, err)
	}
	for claude, want := range map[string]string{
		"2.1.9":  "claude 2.1.9 is known to work on runc 1.2",
		"2.1.11": "claude 2.1.11 is not in the table of those known to work; the newest one in it is 2.1.10",
	} {
		if said := proven.Known(got, claude); said != want {
			t.Errorf("it says %q, want %q", said, want)
		}
	}
	if none := proven.Known(nil, "1"); none != "claude 1 is not in the table of those known to work" {
		t.Errorf("of nothing it says %q", none)
	}
}
