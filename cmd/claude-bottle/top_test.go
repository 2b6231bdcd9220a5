package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
)

func TestWhatIsUsedBetweenTwoLooksIsAShareOfOneProcessor(t *testing.T) {
	at := time.Unix(1000, 0)
	before := backend.Usage{Time: at, CPUTime: 3 * time.Second}
	now := backend.Usage{Time: at.Add(2 * time.Second), CPUTime: 6 * time.Second, MemoryBytes: 1, MemoryLimitBytes: 2, Tasks: 3}
	if used := between(before, now); used.CPUPercent != 150 || used.CPUSeconds != 6 || used.PIDs != 3 {
		t.Errorf("it is %+v", used)
	}
	for name, used := range map[string]*topUsed{
		"the first look":       between(backend.Usage{}, now),
		"a bottle begun anew":  between(backend.Usage{Time: at, CPUTime: time.Hour}, now),
		"two at the same time": between(now, now),
	} {
		if used.CPUPercent != 0 {
			t.Errorf("%s: %v %%", name, used.CPUPercent)
		}
	}
}

func TestATopRowLeavesOutWhatCantBeSeen(t *testing.T) {
	row := topRow{Name: "demo", UptimeSeconds: 61, Reached: 2, SentBytes: 1024}
	if got, want := row.cells(), []string{"demo", "", "", "", "", "1.0 KiB / 0 B", "2", "61s"}; !slices.Equal(got, want) {
		t.Errorf("cells are %q", got)
	}
	if data, err := json.Marshal(row); err != nil || strings.Contains(string(data), "cpuPercent") {
		t.Errorf("it is %s, %v", data, err)
	}
	row.topUsed = &topUsed{CPUPercent: 12.34, MemoryBytes: 512, MemoryLimitBytes: 1024, PIDs: 5}
	if got, want := row.cells()[1:5], []string{"12.3%", "512 B / 1.0 KiB", "50.0%", "5"}; !slices.Equal(got, want) {
		t.Errorf("cells are %q", got)
	}
	row.MemoryLimitBytes = 0
	if got, want := row.cells()[2:4], []string{"512 B / none", ""}; !slices.Equal(got, want) {
		t.Errorf("cells are %q", got)
	}
}
