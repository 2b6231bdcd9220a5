package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestFlagsBecomeTheImagesConfig(t *testing.T) {
	output := filepath.Join(t.TempDir(), "image.tar")
	err := run([]string{
		"--output", output, "--name", "docker.io/example/sample:v1", "--created", "1700000000",
		"--layer", layerTar(t, "lower", "content") + ":the only one",
		"--env", "A=1", "--env", "B=2=2", "--command", "sh", "--command", "-l", "--directory", "/workspace",
		"--label", "title=a sample",
	})
	if err != nil {
		t.Fatal(err)
	}
	archive, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	found := files(t, archive)
	index := decode[ocispec.Index](t, found, "index.json")
	manifest := decode[ocispec.Manifest](t, found, blobPath(index.Manifests[0].Digest))
	config := decode[ocispec.Image](t, found, blobPath(manifest.Config.Digest))
	want := ocispec.ImageConfig{
		Env:        []string{"A=1", "B=2=2"},
		Cmd:        []string{"sh", "-l"},
		WorkingDir: "/workspace",
		Labels:     map[string]string{"title": "a sample"},
	}
	if diff := cmp.Diff(want, config.Config); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	if got := config.History[0].CreatedBy; got != "the only one" {
		t.Errorf("history says %q", got)
	}
}

func TestFailedRunLeavesTheOldArchiveAndNoPartialOne(t *testing.T) {
	directory := t.TempDir()
	output := filepath.Join(directory, "image.tar")
	if err := os.WriteFile(output, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := run([]string{"--output", output, "--name", "docker.io/example/sample:v1", "--layer", "/missing.tar"})
	if err == nil || !strings.Contains(err.Error(), "/missing.tar") {
		t.Errorf("error %v, want one that names the missing layer", err)
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("%d files in the directory, want the old archive alone", len(entries))
	}
	if content, err := os.ReadFile(output); err != nil || string(content) != "old" {
		t.Errorf("the old archive is now %q, %v", content, err)
	}
}

func TestIncompleteArgumentsAreRefused(t *testing.T) {
	layer := layerTar(t, "lower", "content")
	for _, args := range [][]string{
		{"--name", "a/b:c", "--layer", layer},
		{"--output", "x", "--layer", layer},
		{"--output", "x", "--name", "a/b:c"},
		{"--output", "x", "--name", "a/b:c", "--layer", layer, "more"},
		{"--output", "x", "--name", "a/b:c", "--layer", layer, "--label", "no-value"},
	} {
		if err := run(args); err == nil {
			t.Errorf("run(%q) succeeded", args)
		}
	}
}
