package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/backend/containerd"
	"github.com/claude-bottle/claude-bottle/terminal"
	"github.com/containerd/errdefs"
)

// builtBackend has no image until one is built.
type builtBackend struct {
	openedKeeper

	built    []string
	prepared []string
}

func (b *builtBackend) HasImage(_ context.Context, reference string) (bool, error) {
	for _, name := range b.built {
		if name == reference {
			return true, nil
		}
	}
	return false, nil
}

func (b *builtBackend) PlanBuild(_ context.Context, spec backend.BuildSpec) (*backend.BuildPlan, error) {
	return &backend.BuildPlan{Name: spec.Name}, nil
}

func (b *builtBackend) Build(_ context.Context, plan *backend.BuildPlan, _ io.Writer) (backend.BuildResult, error) {
	b.built = append(b.built, plan.Name)
	return backend.BuildResult{Name: plan.Name}, nil
}

func (b *builtBackend) Prepare(_ context.Context, spec backend.Spec) (*backend.Plan, error) {
	b.prepared = append(b.prepared, spec.Name)
	return &backend.Plan{Name: spec.Name}, nil
}

// quietApplication says what it says to nobody, and has a home of its own.
func quietApplication(t *testing.T) *application {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	nowhere, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nowhere.Close() })
	return &application{streams: streams{in: nowhere, out: nowhere, err: nowhere}, lookup: os.LookupEnv, quiet: true, noController: true}
}

// launchingOn is a launch on that backend.
func launchingOn(t *testing.T, a *application, opened closingBackend, o startOptions) *launching {
	t.Helper()
	tty, err := terminal.Open(a.in, a.out)
	if err != nil {
		t.Fatal(err)
	}
	return &launching{app: a, options: o, opened: opened, progress: newProgress(a.err, true, time.Now()), tty: tty}
}

func TestAMissingImageIsBuiltAfterAYesAndNamedWithoutOne(t *testing.T) {
	a := quietApplication(t)
	home, _ := os.UserHomeDir()
	path := filepath.Join(home, ".claude-bottle", "bottles", "web.md")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("---\nimage:\n  from: docker.io/library/debian:1\n  run: [true]\n---\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := backend.Spec{Name: "web-1", Manifest: &backend.Manifest{Bottle: backend.BottleFile{Name: "web", Recipe: &backend.Recipe{}}}}
	for _, o := range []startOptions{{}, {dryRun: true}, {dryRun: true, yes: true}} {
		b := &builtBackend{}
		_, err := launchingOn(t, a, b, o).plan(t.Context(), spec)
		if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "`claude-bottle image build web`") || len(b.built)+len(b.prepared) > 0 {
			t.Errorf("%+v: it built %v, planned %v, %v", o, b.built, b.prepared, err)
		}
	}
	b := &builtBackend{}
	if _, err := launchingOn(t, a, b, startOptions{yes: true}).plan(t.Context(), spec); err != nil || len(b.built) != 1 || b.built[0] != backend.BuiltImage("web") || len(b.prepared) != 1 {
		t.Errorf("it built %v, planned %v, %v", b.built, b.prepared, err)
	}
}

func TestWhichImageARecipeMakes(t *testing.T) {
	recipe, files := &backend.Recipe{}, []backend.ManifestFile{{Kind: "bottle", SHA256: "1"}}
	spec := func(image string, bottle backend.BottleFile, kept *backend.Work) backend.Spec {
		bottle.Name = "web"
		return backend.Spec{Image: image, Resume: kept, Manifest: &backend.Manifest{Bottle: bottle, Files: files}}
	}
	same := &backend.Work{Plan: &backend.Plan{Files: files}}
	for name, row := range map[string]struct {
		spec    backend.Spec
		image   string // "" builds nothing
		settled bool
	}{
		"recipe":                       {spec("", backend.BottleFile{Recipe: recipe}, nil), backend.BuiltImage("web"), false},
		"recipe, other image by flag":  {spec("debian", backend.BottleFile{Recipe: recipe}, nil), "", false},
		"recipe, kept, files as then":  {spec("", backend.BottleFile{Recipe: recipe}, same), backend.BuiltImage("web"), true},
		"recipe, kept, files edited":   {spec("", backend.BottleFile{Recipe: recipe}, &backend.Work{Plan: &backend.Plan{}}), backend.BuiltImage("web"), false},
		"recipe, kept, plan is spoilt": {spec("", backend.BottleFile{Recipe: recipe}, &backend.Work{}), backend.BuiltImage("web"), false},
		"recipe, restarted":            {spec(backend.BuiltImage("web"), backend.BottleFile{Recipe: recipe}, same), backend.BuiltImage("web"), true},
		"no image":                     {spec("", backend.BottleFile{}, nil), containerd.DefaultImage, true},
		"no image, restarted":          {spec(containerd.DefaultImage, backend.BottleFile{}, same), containerd.DefaultImage, true},
		"an image of a registry":       {spec("", backend.BottleFile{Image: "debian"}, nil), "", false},
	} {
		build, settled := recipeFor(row.spec)
		image := ""
		if build != nil {
			image = imageOf(build)
		}
		if image != row.image || settled != row.settled {
			t.Errorf("%s: it is %q, settled %t", name, image, settled)
		}
	}
}
