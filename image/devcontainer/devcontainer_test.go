package devcontainer_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/image/devcontainer"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o750), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

func refuses(name string) string {
	if name == "HOME" {
		return "claude-bottle itself sets it"
	}
	return ""
}

// repository is one with that file in .devcontainer, and a Dockerfile beside it.
func repository(t *testing.T, text string) (root, file string) {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, ".devcontainer", "Dockerfile"), "FROM scratch\n")
	return root, write(t, filepath.Join(root, ".devcontainer", "devcontainer.json"), text)
}

func read(t *testing.T, text string) (devcontainer.File, error) {
	t.Helper()
	root, _ := repository(t, text)
	return devcontainer.Read(root, devcontainer.Options{Refuses: refuses})
}

func TestTheSubsetIsTakenAndTheRestIsNamed(t *testing.T) {
	got, err := read(t, `// of a template
{
	"name": "web", /* two of
	lines */
	"image": "registry.example/web:1",
	"containerEnv": {
		"FOLDER": "${containerWorkspaceFolder}/${containerWorkspaceFolderBasename}",
		"TOKEN": "${localEnv:GITHUB_TOKEN}",
		"OTHER": "a${b}",
		"HOME": "/root",
		"ASKS": "?not asked",
	},
	"postCreateCommand": "npm ci && echo \"${FOLDER}\" in ${containerWorkspaceFolder}",
	"remoteUser": "node",
	"forwardPorts": [3000, "localhost:8080", "db:5432", 3000],
	"features": {"ghcr.io/devcontainers/features/docker-in-docker:2": {}},
	"mounts": ["source=/var/run/docker.sock,target=/x,type=bind"],
	"runArgs": ["--privileged"],
	"initializeCommand": "id",
	"workspaceFolder": "/workspaces/web",
	"zzz": null,
}`)
	if err != nil {
		t.Fatal(err)
	}
	if got.Image != "registry.example/web:1" || got.Dockerfile != nil {
		t.Errorf("the image is %q, %+v", got.Image, got.Dockerfile)
	}
	want := backend.Devcontainer{
		File:  got.Path,
		Env:   map[string]string{"FOLDER": "/workspace/workspace", "ASKS": "?not asked"},
		Setup: []backend.SetupCommand{{Argv: []string{"/bin/sh", "-c", `npm ci && echo "${FOLDER}" in /workspace`}}},
		Ports: []uint16{3000, 8080},
	}
	ignored := map[string]string{}
	for _, each := range got.Devcontainer.Ignored {
		ignored[each.Key] = each.Reason
	}
	for key, part := range map[string]string{
		"name": "means nothing", "containerEnv.TOKEN": "nothing of the host", "containerEnv.OTHER": "not filled in", "containerEnv.HOME": "itself sets it",
		"remoteUser": "unprivileged uid of its own", "forwardPorts db:5432": "loopback", "features": "put what they install into the image",
		"mounts": "mounts nothing of the host", "runArgs": "no repository's to say", "initializeCommand": "on the host",
		"workspaceFolder": "in /workspace", "zzz": "not known",
	} {
		if !strings.Contains(ignored[key], part) {
			t.Errorf("%s is ignored because %q", key, ignored[key])
		}
		delete(ignored, key)
	}
	if len(ignored) > 0 {
		t.Errorf("these are ignored, too: %v", ignored)
	}
	got.Devcontainer.Ignored = nil
	if diff := cmp.Diff(want, got.Devcontainer); diff != "" {
		t.Error(diff)
	}
}

func TestADockerfileOfEitherSpellingIsResolved(t *testing.T) {
	for text, want := range map[string]backend.Dockerfile{
		`{"build": {"dockerfile": "Dockerfile"}}`: {File: ".devcontainer/Dockerfile", Context: ".devcontainer"},
		`{"build": {"dockerfile": "Dockerfile", "context": "..", "target": "dev", "args": {"A": "b", "C": "${localEnv:C}"}, "cacheFrom": "x"}}`: {
			File: ".devcontainer/Dockerfile", Context: ".", Target: "dev", Args: map[string]string{"A": "b"}},
		`{"dockerFile": "../Other", "context": "../sub", "image": "x"}`: {File: "Other", Context: "sub"},
	} {
		root, file := repository(t, text)
		write(t, filepath.Join(root, "Other"), "FROM scratch\n")
		write(t, filepath.Join(root, "sub", "file"), "")
		got, err := devcontainer.Read(file, devcontainer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		want.Within, want.File, want.Context = root, filepath.Join(root, want.File), filepath.Join(root, want.Context)
		if diff := cmp.Diff(&want, got.Dockerfile); diff != "" || got.Image != "" || !strings.HasPrefix(string(got.DockerfileData), "FROM ") {
			t.Errorf("%s: image %q, Dockerfile %q\n%s", text, got.Image, got.DockerfileData, diff)
		}
	}
}

func TestCommandsAreTextsListsOrBothByName(t *testing.T) {
	for text, want := range map[string][]backend.SetupCommand{
		`"echo ${A:-b} $(id)"`:                         {{Argv: []string{"/bin/sh", "-c", "echo ${A:-b} $(id)"}}},
		`["npm", "ci", "${containerWorkspaceFolder}"]`: {{Argv: []string{"npm", "ci", "/workspace"}}},
		`{"b": "two", "a": ["one"], "c": ""}`:          {{Name: "a", Argv: []string{"one"}}, {Name: "b", Argv: []string{"/bin/sh", "-c", "two"}}},
		`""`:                                           nil,
		`[]`:                                           nil,
		`"echo ${localEnv:TOKEN}"`:                     nil,
		`["${localWorkspaceFolder}"]`:                  nil,
	} {
		got, err := read(t, `{"image": "x", "postCreateCommand": `+text+`}`)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.Devcontainer.Setup); diff != "" {
			t.Errorf("%s:\n%s", text, diff)
		}
		if ignored := len(got.Devcontainer.Ignored) == 1; ignored != strings.Contains(text, "${local") {
			t.Errorf("%s: %+v", text, got.Devcontainer.Ignored)
		}
	}
}

func TestMistakesNameFileLineAndKey(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "devcontainer.json:1: ",
		"[]":                             "devcontainer.json:1: keys and values are expected here",
		"{\n\"image\": }":                "devcontainer.json:2: ",
		"{\n\"image\": \"x\",,}":         "devcontainer.json:2: ",
		"{} {}":                          "devcontainer.json:1: ",
		"{\"image\": \"x\"\n// \x1b[2J":  "devcontainer.json:2: ",
		"{}":                             "names neither image nor build.dockerfile",
		`{"build": {}}`:                  "names neither image nor build.dockerfile",
		"{\n\"image\": 5}":               "devcontainer.json:2: image: a text is expected here",
		`{"image": ""}`:                  "image: it names nothing",
		`{"image": "x", "image": "y"}`:   "image: it stands there twice",
		`{"image": "${localEnv:IMAGE}"}`: "image: it holds a ${variable}",
		"{\"image\": \"x\",\n\"containerEnv\": []}":                      "devcontainer.json:2: containerEnv: keys and values",
		`{"image": "x", "containerEnv": {"A": 1}}`:                       "containerEnv.A: a text",
		`{"image": "x", "containerEnv": {"A": "\u0000"}}`:                "containerEnv.A: it holds a zero byte",
		`{"image": "x", "containerEnv": {"A": "", "A": ""}}`:             "containerEnv.A: it stands there twice",
		`{"image": "x", "postCreateCommand": 1}`:                         "postCreateCommand: a text",
		`{"image": "x", "postCreateCommand": ["", "x"]}`:                 "postCreateCommand: the command has no name",
		`{"image": "x", "postCreateCommand": {"a": {"b": "c"}}}`:         "postCreateCommand.a: a text",
		`{"image": "x", "postCreateCommand": ["a", null]}`:               "postCreateCommand: a text",
		`{"image": "x", "forwardPorts": 80}`:                             "forwardPorts: a list",
		`{"image": "x", "forwardPorts": [0]}`:                            "forwardPorts: 0 is no port",
		`{"image": "x", "forwardPorts": [1e3]}`:                          "forwardPorts: 1e3 is no port",
		`{"image": "x", "forwardPorts": [65536]}`:                        "forwardPorts: 65536 is no port",
		`{"image": "x", "remoteUser": 0}`:                                "remoteUser: a text",
		`{"dockerComposeFile": "compose.yaml", "service": "x"}`:          "dockerComposeFile: a bottle is one container: name an image or a Dockerfile",
		`{"build": {"dockerfile": "Dockerfile"}, "dockerFile": "D"}`:     "dockerFile: the Dockerfile is named twice",
		`{"build": {"dockerfile": "D${x}"}}`:                             "build.dockerfile: it holds a ${variable}",
		`{"build": {"dockerfile": "Nowhere"}}`:                           "there is no",
		`{"image": "x", "runArgs": ` + strings.Repeat("[", 40_000) + `}`: "devcontainer.json:1: ",
		`{"image": "` + strings.Repeat("x", 130<<10) + `"}`:              "is larger than 128.0 KiB",
	} {
		if _, err := read(t, text); err == nil || !strings.Contains(err.Error(), want) || strings.ContainsRune(err.Error(), '\x1b') {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}

// TestT18_NothingOutsideTheRepositoryIsNamed: what a repository's file names goes to
// BuildKit, and what is wrong with a file is told.
func TestT18_NothingOutsideTheRepositoryIsNamed(t *testing.T) {
	for text, place := range map[string]string{
		`{"build": {"dockerfile": "../../Dockerfile"}}`:                          ".devcontainer/devcontainer.json",
		`{"build": {"dockerfile": "Dockerfile", "context": "../.."}}`:            ".devcontainer/devcontainer.json",
		`{"build": {"dockerfile": "Dockerfile", "context": "/"}}`:                ".devcontainer/devcontainer.json",
		`{"build": {"dockerfile": "Dockerfile", "context": "../home"}}`:          ".devcontainer/devcontainer.json", // a link
		`{"build": {"dockerfile": "../home/Dockerfile"}}`:                        ".devcontainer/devcontainer.json",
		`{"dockerFile": "../.devcontainer/Dockerfile", "context": ".."}`:         "sub/devcontainer.json",
		`{"build": {"dockerfile": ".devcontainer/Dockerfile", "context": ".."}}`: ".devcontainer.json",
		`{"build": {"dockerfile": "../Dockerfile", "context": "../../.."}}`:      ".devcontainer/web/devcontainer.json",
	} {
		root, _ := repository(t, "{}")
		home := t.TempDir()
		write(t, filepath.Join(home, "Dockerfile"), "FROM scratch\n")
		if err := os.Symlink(home, filepath.Join(root, "home")); err != nil {
			t.Fatal(err)
		}
		file := write(t, filepath.Join(root, place), text)
		if got, err := devcontainer.Read(file, devcontainer.Options{}); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "leads out of") {
			t.Errorf("%s in %s: %+v, %v", text, place, got.Dockerfile, err)
		}
	}
	root, file := repository(t, "{}")
	secret := write(t, filepath.Join(t.TempDir(), "secret"), "canary")
	if err := errors.Join(os.Remove(file), os.Symlink(secret, file)); err != nil {
		t.Fatal(err)
	}
	if _, err := devcontainer.Read(root, devcontainer.Options{}); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("a link out of the repository: %v", err)
	}
}

func TestADirectoryStandsForItsFile(t *testing.T) {
	root, file := repository(t, `{"image": "one"}`)
	other := write(t, filepath.Join(root, ".devcontainer.json"), `{"image": "two"}`)
	image := func(path string) string {
		got, err := devcontainer.Read(path, devcontainer.Options{})
		if err != nil {
			return err.Error()
		}
		return got.Image
	}
	if got := image(root) + image(file) + image(other); got != "oneonetwo" {
		t.Errorf("the images are %s", got)
	}
	if err := os.RemoveAll(filepath.Dir(file)); err != nil {
		t.Fatal(err)
	}
	if got := image(root); got != "two" {
		t.Errorf("without the first: %s", got)
	}
	if err := errors.Join(os.Remove(other), unix.Mkfifo(other, 0o600)); err != nil {
		t.Fatal(err)
	}
	if got := image(root); !strings.Contains(got, "is not a regular file") {
		t.Errorf("a FIFO: %s", got)
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	if got := image(root); !strings.Contains(got, "name the file itself") {
		t.Errorf("without any: %s", got)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`{"image": "x", "containerEnv": {"A": "b"}, "postCreateCommand": {"a": ["b"]}, "forwardPorts": [1, "localhost:2"]} // c`)
	f.Add(`{"build": {"dockerfile": "../x", "context": ".."}, "remoteUser": "y",}`)
	root := f.TempDir()
	path := filepath.Join(root, ".devcontainer.json")
	f.Fuzz(func(t *testing.T, text string) {
		write(t, path, text)
		got, err := devcontainer.Read(path, devcontainer.Options{Refuses: refuses})
		if err != nil {
			return
		}
		if (got.Image != "") == (got.Dockerfile != nil) {
			t.Errorf("it names %q and %+v", got.Image, got.Dockerfile)
		}
		if got.Dockerfile != nil && !strings.HasPrefix(got.Dockerfile.File, root) {
			t.Errorf("the Dockerfile is %s", got.Dockerfile.File)
		}
	})
}
