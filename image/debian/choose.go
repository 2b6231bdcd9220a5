package debian

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	version "github.com/knqyf263/go-deb-version"
)

// pack is a package of an archive.
type pack struct {
	name, version, base, path string
	sum                       sum
	essential                 bool
	priority                  string
	// needs are lists of alternatives: one of each has to be there.
	needs    [][]string
	provides []string
}

// index is the newest of each package, by name.
type index map[string]pack

// add reads a list of packages.
func (i index) add(from io.Reader, base string) error {
	err := stanzas(from, func(found stanza) error {
		size, err := strconv.ParseInt(found["Size"], 10, 64)
		if err != nil || found["Package"] == "" || found["Filename"] == "" || len(found["SHA256"]) != 64 {
			return fmt.Errorf("package %q is not described: %w", found["Package"], errdefs.ErrInvalidArgument)
		}
		made := pack{
			name: found["Package"], version: found["Version"], base: base, path: found["Filename"],
			sum: sum{found["SHA256"], size}, essential: found["Essential"] == "yes", priority: found["Priority"],
			needs: append(relations(found["Pre-Depends"]), relations(found["Depends"])...),
		}
		for _, provided := range relations(found["Provides"]) {
			made.provides = append(made.provides, provided...)
		}
		known, ok := i[made.name]
		if !ok {
			i[made.name] = made
			return nil
		}
		newer, err := newerThan(made.version, known.version)
		if err == nil && newer {
			i[made.name] = made
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read the list of packages: %w", err)
	}
	return nil
}

func newerThan(one, other string) (bool, error) {
	a, err := version.NewVersion(one)
	if err != nil {
		return false, fmt.Errorf("version %q: %w", one, err)
	}
	b, err := version.NewVersion(other)
	if err != nil {
		return false, fmt.Errorf("version %q: %w", other, err)
	}
	return a.GreaterThan(b), nil
}

// relations are the names of a field such as Depends. Versions are left out: a suite has
// one version of each package, and its parts fit.
func relations(text string) [][]string {
	var list [][]string
	for _, group := range strings.Split(text, ",") {
		var names []string
		for _, alternative := range strings.Split(group, "|") {
			name, _, _ := strings.Cut(strings.TrimSpace(alternative), " ")
			name, _, _ = strings.Cut(name, "(")
			name, _, _ = strings.Cut(name, ":")
			if name != "" {
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			list = append(list, names)
		}
	}
	return list
}

// wanted are the packages besides the essential ones.
func wanted() []string { return []string{"apt"} }

// layout is the package that turns the layout of a file system into one with everything
// below /usr. Here it is so from the start, which usr-is-merged checks.
const layout = "usrmerge"

// choose is the essential packages, apt, and what all of them need, sorted by name.
func (i index) choose() ([]pack, error) {
	providers := map[string][]string{}
	var queue []string
	for name, found := range i {
		for _, provided := range found.provides {
			providers[provided] = append(providers[provided], name)
		}
		if found.essential {
			queue = append(queue, name)
		}
	}
	slices.Sort(queue)
	if len(queue) == 0 {
		return nil, fmt.Errorf("the suite has no essential packages: %w", errdefs.ErrNotFound)
	}
	queue = append(queue, wanted()...)
	chosen := map[string]pack{}
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		if _, ok := chosen[name]; ok {
			continue
		}
		found, ok := i[name]
		if !ok {
			return nil, fmt.Errorf("the suite has no package %s: %w", backend.Printable(name), errdefs.ErrNotFound)
		}
		chosen[name] = found
		for _, alternatives := range found.needs {
			name, err := i.pick(alternatives, chosen, providers)
			if err != nil {
				return nil, fmt.Errorf("package %s: %w", backend.Printable(found.name), err)
			}
			queue = append(queue, name)
		}
	}
	list := make([]pack, 0, len(chosen))
	for _, found := range chosen {
		list = append(list, found)
	}
	slices.SortFunc(list, func(a, b pack) int { return strings.Compare(a.name, b.name) })
	return list, nil
}

// pick chooses one of several: one that is there already, else the first that there is.
func (i index) pick(alternatives []string, chosen map[string]pack, providers map[string][]string) (string, error) {
	var first string
	for _, name := range alternatives {
		if name == layout && len(alternatives) > 1 {
			continue
		}
		candidates := []string{name}
		if _, real := i[name]; !real {
			candidates = slices.Clone(providers[name])
			slices.SortFunc(candidates, i.byPriority)
		}
		for _, candidate := range candidates {
			if _, ok := chosen[candidate]; ok {
				return candidate, nil
			}
		}
		if first == "" && len(candidates) > 0 {
			first = candidates[0]
		}
	}
	if first == "" {
		return "", fmt.Errorf("it needs %s, which the suite does not have: %w", backend.Printable(strings.Join(alternatives, " or ")), errdefs.ErrNotFound)
	}
	return first, nil
}

// byPriority has what Debian itself puts into every system first.
func (i index) byPriority(a, b string) int {
	order := []string{"required", "important", "standard", "optional", "extra"}
	if d := slices.Index(order, i[a].priority) - slices.Index(order, i[b].priority); d != 0 {
		return d
	}
	return strings.Compare(a, b)
}
