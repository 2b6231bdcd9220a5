package egress

import (
	_ "embed" // for presets.json
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/spelling"
	"github.com/containerd/errdefs"
)

//go:embed presets.json
var presetData []byte

// preset is a list of hosts that ships with the program. Its version grows with
// each change, so that a plan tells which one was agreed to.
type preset struct {
	Version int      `json:"version"`
	Hosts   []string `json:"hosts"` // as in egress.allow
}

func presets() (map[string]preset, error) {
	var list map[string]preset
	if err := json.Unmarshal(presetData, &list); err != nil {
		return nil, fmt.Errorf("read presets: %w", err)
	}
	return list, nil
}

// presetRules are the hosts of a preset. One that is not known is an
// InvalidArgument error that names the nearest.
func presetRules(name string) ([]backend.PlanHost, error) {
	switch name {
	case "anthropic":
		return nil, nil // every bottle has it, through the gateway
	case "github":
		// A connection that is passed on unopened takes any account's token,
		// the attacker's too.
		return nil, fmt.Errorf("egress.presets: github is no list of hosts, for the agent could use an account of its own there: put a github entry under `credentials:` instead: %w", errdefs.ErrInvalidArgument)
	}
	list, err := presets()
	if err != nil {
		return nil, err
	}
	known, ok := list[name]
	if !ok {
		names := slices.Sorted(maps.Keys(list))
		hint := "known are " + strings.Join(names, ", ")
		if near := spelling.Within(name, names, max(2, len(name)/2)); near != "" {
			hint = fmt.Sprintf("did you mean %s?", near)
		}
		return nil, fmt.Errorf("egress.presets: there is no preset %s: %s: %w", backend.Printable(name), hint, errdefs.ErrInvalidArgument)
	}
	var rules []backend.PlanHost
	for _, text := range known.Hosts {
		rule, err := ParseRule(text)
		if err != nil {
			return nil, fmt.Errorf("preset %s: %w", name, err)
		}
		rule.Because = fmt.Sprintf("preset %s (v%d)", name, known.Version)
		rules = append(rules, rule)
	}
	return rules, nil
}
