package recipe

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/pattern"
	"github.com/containerd/errdefs"
)

// Epoch is the time, in seconds since 1970, that no file of an image is newer than:
// 1 November 2026. Programs of a step find it as SOURCE_DATE_EPOCH.
const Epoch = 1793491200

// version is part of every hash: it changes when the same recipe would give another
// image.
const version = "1"

// Options are what steps need besides the recipe.
type Options struct {
	// Fetch gets an npm package, and puts it in.
	Fetch func(ctx context.Context, entry backend.RecipePackage, put func(backend.BuildPut) error) error
}

var (
	packageName  = pattern.Lazy(`^[a-z0-9][a-z0-9.+-]+(=[A-Za-z0-9.+:~-]+)?$`)
	npmName      = pattern.Lazy(`^(@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*@[0-9][A-Za-z0-9.+-]*$`)
	npmIntegrity = pattern.Lazy(`^sha512-[A-Za-z0-9+/]{86}==$`)
	variable     = pattern.Lazy(`^[A-Za-z_][A-Za-z0-9_]*$`)
	suiteName    = pattern.Lazy(`^[a-z]{2,32}$`)
	binName      = pattern.Lazy(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`)
)

// Check says what of a recipe can't be, as InvalidArgument errors that name the key.
func Check(recipe backend.Recipe) error {
	wrong := func(key, format string, args ...any) error {
		return fmt.Errorf("%s: %s: %w", key, fmt.Sprintf(format, args...), errdefs.ErrInvalidArgument)
	}
	if recipe.From == "" {
		return wrong("from", "name the image that the recipe starts from")
	}
	if suite, ok := Suite(recipe.From); ok && !suiteName().MatchString(suite) {
		return wrong("from", "%s: write the suite's name, such as debootstrap:bookworm", backend.Printable(recipe.From))
	}
	for _, name := range recipe.Packages {
		if !packageName().MatchString(name) {
			return wrong("packages", "%s is no package's name", backend.Printable(name))
		}
	}
	for _, entry := range recipe.NPM {
		if !npmName().MatchString(entry.Package) {
			return wrong("npm", "%s: write name@version, such as typescript@5.9.2", backend.Printable(entry.Package))
		}
		if !npmIntegrity().MatchString(entry.Integrity) {
			return wrong("npm", "%s: integrity must be sha512-..., as `npm view %s dist.integrity` prints it", entry.Package, entry.Package)
		}
		for name, path := range entry.Bin {
			if !binName().MatchString(name) || !below(path) {
				return wrong("npm", "%s: bin %s: %s: a program's name and a path below the package are needed", entry.Package, backend.Printable(name), backend.Printable(path))
			}
		}
	}
	for _, line := range recipe.Run {
		if strings.TrimSpace(line) == "" || strings.ContainsRune(line, 0) {
			return wrong("run", "a command is empty")
		}
	}
	for name, value := range recipe.Env {
		if !variable().MatchString(name) || strings.ContainsRune(value, 0) {
			return wrong("env", "%s is no variable's name", backend.Printable(name))
		}
	}
	switch recipe.Egress.Mode {
	case "", backend.EgressDeny:
	default:
		return wrong("egress.mode", "%s: a build reaches what is listed and nothing else", recipe.Egress.Mode)
	}
	return checkFiles(recipe.Files, wrong)
}

func checkFiles(files []backend.RecipeFile, wrong func(key, format string, args ...any) error) error {
	for _, file := range files {
		if !below(file.From) {
			return wrong("files", "%s: from must be a path below the recipe's directory", backend.Printable(file.From))
		}
		if !strings.HasPrefix(file.To, "/") || !below(strings.Trim(file.To, "/")) {
			return wrong("files", "%s: to must be an absolute path in the image", backend.Printable(file.To))
		}
		if mode, err := strconv.ParseUint(file.Mode, 8, 32); file.Mode != "" && (err != nil || mode > 0o777) {
			return wrong("files", "%s: mode %q must be octal and at most 0777", backend.Printable(file.From), file.Mode)
		}
	}
	return nil
}

// below says that a path is relative and stays where it starts.
func below(path string) bool {
	if path == "" || strings.HasPrefix(path, "/") || strings.ContainsRune(path, 0) {
		return false
	}
	return !slices.Contains(strings.Split(path, "/"), "..")
}

// Env is the environment of the steps, sorted: what the recipe says, and what makes
// programs work the same everywhere.
func Env(recipe backend.Recipe) []string {
	all := map[string]string{
		"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME": "/root", "LANG": "C.UTF-8", "SOURCE_DATE_EPOCH": strconv.Itoa(Epoch),
	}
	maps.Copy(all, recipe.Env)
	list := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, name+"="+all[name])
	}
	return list
}

// Steps are the steps of a recipe, in order. Files are read here, and held: what is
// put in is what the hash is of.
func Steps(ctx context.Context, recipe backend.Recipe, options Options) ([]backend.BuildStep, error) {
	if err := Check(recipe); err != nil {
		return nil, err
	}
	var steps []backend.BuildStep
	if _, ok := Suite(recipe.From); ok {
		steps = append(steps, configure())
	}
	if len(recipe.Packages) > 0 {
		steps = append(steps, packages(recipe))
	}
	for _, entry := range recipe.NPM {
		steps = append(steps, npm(entry, options))
	}
	if len(recipe.Files) > 0 {
		step, err := files(ctx, recipe.Files, recipe.Directory)
		if err != nil {
			return nil, err
		}
		steps = append(steps, step)
	}
	for _, line := range recipe.Run {
		steps = append(steps, backend.BuildStep{
			Title: "run " + line, Inputs: hash("run", line, reach(recipe)),
			Argv: []string{"/bin/sh", "-e", "-c", line}, Egress: reach(recipe),
		})
	}
	return steps, nil
}

// npm is the step that puts one package in.
func npm(entry backend.RecipePackage, options Options) backend.BuildStep {
	return backend.BuildStep{
		Title: "npm " + entry.Package, Inputs: hash("npm", entry),
		Put: func(ctx context.Context, put func(backend.BuildPut) error) error {
			return options.Fetch(ctx, entry, put)
		},
	}
}

// hash is of everything that decides what a step makes.
func hash(parts ...any) string {
	sum := sha256.New()
	encoder := json.NewEncoder(sum)
	for _, part := range append([]any{version}, parts...) {
		if err := encoder.Encode(part); err != nil {
			// Plain data only is hashed here, and a hash takes every byte.
			panic(fmt.Sprintf("hash step: %v", err))
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}
