package runtime

import (
	"fmt"
	"strconv"

	"github.com/claude-bottle/claude-bottle/pattern"
	"github.com/containerd/errdefs"
)

// runcFloor is the first release of each line of runc in which no way out is
// known: the fixes of CVE-2025-31133, -52565, -52881 and CVE-2026-41579. A line
// that is not listed and is older than the newest one has none.
var runcFloor = map[[2]int]int{
	{1, 2}: 8,
	{1, 3}: 6,
	{1, 4}: 3,
}

var newestFloor = [2]int{1, 4}

var runcVersionLine = pattern.Lazy(`(?m)^runc version v?(\d+)\.(\d+)\.(\d+)([-+~]\S*)?`)

// runcVersion reads the version that runc prints. One below the floor is a
// FailedPrecondition error; the version is returned with it.
func runcVersion(output string) (string, error) {
	match := runcVersionLine().FindStringSubmatch(output)
	if match == nil {
		return "unknown", fmt.Errorf("runc does not say its version: %w", errdefs.ErrFailedPrecondition)
	}
	version := match[1] + "." + match[2] + "." + match[3] + match[4]
	var number [3]int
	for i := range number {
		number[i], _ = strconv.Atoi(match[i+1]) // digits, by the expression
	}
	line := [2]int{number[0], number[1]}
	floor, listed := runcFloor[line]
	newer := line[0] > newestFloor[0] || (line[0] == newestFloor[0] && line[1] > newestFloor[1])
	// A release candidate comes before the release that it is named after.
	candidate := len(match[4]) > 0 && match[4][0] == '-' && number[2] == floor
	if newer || (listed && number[2] >= floor && !candidate) {
		return version, nil
	}
	return version, fmt.Errorf("runc %s has known ways out: 1.4.3, 1.3.6 or 1.2.8 is the least, or accept it with --allow-vulnerable-runc: %w", version, errdefs.ErrFailedPrecondition)
}
