package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/backend/containerd"
)

var (
	aboutDirectories = subject{"directories", "state directories"}
	aboutLeftovers   = subject{"leftovers", "leftovers"}
	aboutController  = subject{"controller", "controller"}
	aboutVersions    = subject{"versions", "versions at work"}
)

func judgeDirectories(list []containerd.Directory) Check {
	missing := 0
	for _, directory := range list {
		if directory.Refused != nil {
			return aboutDirectories.missing("do that, or have doctor --fix do it where it can", "%s", firstLine(directory.Refused))
		}
		if directory.Missing {
			missing++
		}
	}
	if missing > 0 {
		return aboutDirectories.ok("%d of %d are not there yet: the first start makes them", missing, len(list))
	}
	return aboutDirectories.ok("there, and root's alone")
}

func judgeLeftovers(plan *backend.CleanupPlan, err error) Check {
	if err != nil {
		return aboutLeftovers.unknown("", "%s", firstLine(err))
	}
	if plan.Empty() {
		return aboutLeftovers.ok("no dead bottle has left anything")
	}
	bottles := map[string]bool{}
	for _, item := range plan.Items {
		bottles[item.Bottle] = true
	}
	return aboutLeftovers.warning("`claude-bottle cleanup`, or doctor --fix, removes them", "%s of dead bottles (%d)", counted(len(plan.Items), "thing"), len(bottles))
}

// judgeController says whether one is at work where one is needed.
func judgeController(led bool, bottles []backend.Status, err error) Check {
	if err != nil {
		return aboutController.unknown("", "%s", firstLine(err))
	}
	living, foreign := 0, 0
	for _, bottle := range bottles {
		switch {
		case bottle.Foreign:
			foreign++
		case bottle.Detached && bottle.Lives():
			living++
		}
	}
	also := ""
	if foreign > 0 {
		also = fmt.Sprintf("; of other directories, or of a newer program: %s", counted(foreign, "bottle"))
	}
	switch {
	case led:
		return aboutController.ok("at work, for %s%s", counted(living, "detached bottle"), also)
	case living > 0:
		return aboutController.warning("`claude-bottle controller`, or doctor --fix, starts one", "none watches over %s%s", counted(living, "detached bottle"), also)
	default:
		return aboutController.ok("none, and no detached bottle needs one%s", also)
	}
}

// judgeServants says which processes are of another build than this program.
func judgeServants(list []containerd.Servant, err error) Check {
	if err != nil {
		return aboutVersions.unknown("", "%s", firstLine(err))
	}
	var other, bottles []string
	for _, servant := range list {
		if servant.Same {
			continue
		}
		other = append(other, fmt.Sprintf("%s (process %d, %s)", servant.Serves, servant.PID, backend.Printable(servant.Executable)))
		if servant.Serves != "controller" {
			bottles = append(bottles, servant.Serves)
		}
	}
	switch {
	case len(list) == 0:
		return aboutVersions.ok("no process stays with a bottle just now")
	case len(other) == 0:
		return aboutVersions.ok("processes that stay with bottles: %d, all of this very program", len(list))
	case len(bottles) == 0:
		return aboutVersions.warning("end the controller (SIGTERM): the next one is of this program", "of another build: %s", strings.Join(other, ", "))
	default:
		return aboutVersions.warning("nothing at once: `claude-bottle restart "+bottles[0]+"` when it suits", "of another build: %s", strings.Join(other, ", "))
	}
}

func (e *examination) seeLeftovers(ctx context.Context) []Check {
	plan, err := e.opened.PrepareCleanup(ctx)
	return []Check{judgeLeftovers(plan, err)}
}

func (e *examination) seeController(ctx context.Context) []Check {
	bottles, err := e.opened.ListActive(ctx)
	if err != nil {
		return []Check{judgeController(false, nil, err)}
	}
	led, err := e.opened.Led()
	return []Check{judgeController(led, bottles, err)}
}
