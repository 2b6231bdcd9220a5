package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// module is one of Go's, at a version.
type module struct{ path, version, sum string }

func (m module) String() string { return m.path + "@" + m.version }

// program is one that Go has built.
type program struct {
	name, sha256, goVersion string
	modules                 []module
}

// own is the module that is no third party's.
const own = "github.com/claude-bottle/claude-bottle"

func read(paths []string) ([]program, error) {
	var programs []program
	for _, path := range paths {
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read what %s is made of: %w", path, err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(data)
		p := program{name: filepath.Base(path), sha256: hex.EncodeToString(sum[:]), goVersion: info.GoVersion}
		// A tool is a package of a module that ours only lists; one that was changed
		// for the build is still the module that it was.
		for _, dependency := range append(info.Deps, &info.Main) {
			if dependency.Path != own && dependency.Version != "" && dependency.Version != "(devel)" {
				p.modules = append(p.modules, module{dependency.Path, dependency.Version, dependency.Sum})
			}
		}
		if len(p.modules) == 0 {
			return nil, fmt.Errorf("%s names no modules: it was built in another way", path)
		}
		programs = append(programs, p)
	}
	return programs, nil
}

// modulesOf are those of all programs, each once, sorted.
func modulesOf(programs []program) []module {
	seen := map[string]module{}
	for _, p := range programs {
		for _, m := range p.modules {
			seen[m.String()] = m
		}
	}
	var list []module
	for _, key := range slices.Sorted(maps.Keys(seen)) {
		list = append(list, seen[key])
	}
	return list
}
