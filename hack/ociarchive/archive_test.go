package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// sample is an image of two layers, whose tars lie in a directory of the test.
func sample(t *testing.T) Image {
	t.Helper()
	return Image{
		Name:         "docker.io/example/sample:v1",
		Architecture: "amd64",
		Created:      time.Unix(1_700_000_000, 0).UTC(),
		Config:       ocispec.ImageConfig{Cmd: []string{"sh"}},
		Layers: []Layer{
			{Path: layerTar(t, "lower", "lower file"), Comment: "the lower one"},
			{Path: layerTar(t, "upper", "upper file"), Comment: "the upper one"},
		},
	}
}

// layerTar makes a tar with one file and returns its path.
func layerTar(t *testing.T, name, content string) string {
	t.Helper()
	var buffer bytes.Buffer
	layer := tar.NewWriter(&buffer)
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}
	if err := layer.WriteHeader(header); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(layer, content); err != nil {
		t.Fatal(err)
	}
	if err := layer.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name+".tar")
	if err := os.WriteFile(path, buffer.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// write packs an image and returns the digest that Write gave and the archive.
func write(t *testing.T, image Image) (digest.Digest, []byte) {
	t.Helper()
	var archive bytes.Buffer
	manifest, err := Write(&archive, image, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return manifest, archive.Bytes()
}

// files reads an archive and checks that each blob has the digest that its name says.
func files(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	reader := tar.NewReader(bytes.NewReader(archive))
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		if encoded, isBlob := strings.CutPrefix(header.Name, "blobs/sha256/"); isBlob {
			if got := digest.FromBytes(content).Encoded(); got != encoded {
				t.Errorf("blob %s has the digest %s", encoded, got)
			}
		}
		found[header.Name] = content
	}
}

// decode reads one JSON file of an archive.
func decode[T any](t *testing.T, files map[string][]byte, name string) T {
	t.Helper()
	var value T
	if err := json.Unmarshal(files[name], &value); err != nil {
		t.Fatalf("decode %s: %v", name, err)
	}
	return value
}

func TestArchiveNamesTheImageForContainerdAndForOthers(t *testing.T) {
	manifest, archive := write(t, sample(t))
	index := decode[ocispec.Index](t, files(t, archive), "index.json")
	if len(index.Manifests) != 1 {
		t.Fatalf("index has %d manifests, want 1", len(index.Manifests))
	}
	got := index.Manifests[0]
	if got.Digest != manifest {
		t.Errorf("index points at %s, Write said %s", got.Digest, manifest)
	}
	want := map[string]string{
		"io.containerd.image.name":          "docker.io/example/sample:v1",
		"org.opencontainers.image.ref.name": "v1",
	}
	if diff := cmp.Diff(want, got.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
}

func TestArchiveHoldsTheLayersInOrderWithTheirContent(t *testing.T) {
	image := sample(t)
	name, archive := write(t, image)
	found := files(t, archive)
	manifest := decode[ocispec.Manifest](t, found, blobPath(name))
	config := decode[ocispec.Image](t, found, blobPath(manifest.Config.Digest))
	if len(manifest.Layers) != 2 || len(config.RootFS.DiffIDs) != 2 || len(config.History) != 2 {
		t.Fatalf("got %d layers, %d diff IDs, %d history entries, want 2 of each",
			len(manifest.Layers), len(config.RootFS.DiffIDs), len(config.History))
	}
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	for i, layer := range manifest.Layers {
		packed := found[blobPath(layer.Digest)]
		if int64(len(packed)) != layer.Size {
			t.Errorf("layer %d has %d bytes, its descriptor says %d", i, len(packed), layer.Size)
		}
		got, err := decoder.DecodeAll(packed, nil)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(image.Layers[i].Path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("layer %d does not hold its tar", i)
		}
		if config.RootFS.DiffIDs[i] != digest.FromBytes(want) {
			t.Errorf("diff ID %d is not the digest of its tar", i)
		}
	}
}

func TestSameInputGivesTheSameBytes(t *testing.T) {
	image := sample(t)
	_, first := write(t, image)
	_, second := write(t, image)
	if !bytes.Equal(first, second) {
		t.Error("two archives of one image differ")
	}
}

func TestWriteLeavesNothingInScratch(t *testing.T) {
	for name, image := range map[string]Image{"whole": sample(t), "second layer missing": missingLayer(t)} {
		scratch := t.TempDir()
		if _, err := Write(io.Discard, image, scratch); (err != nil) != (name != "whole") {
			t.Errorf("%s: error %v", name, err)
		}
		left, err := os.ReadDir(scratch)
		if err != nil {
			t.Fatal(err)
		}
		if len(left) != 0 {
			t.Errorf("%s: %d files left, the first is %s", name, len(left), left[0].Name())
		}
	}
}

func missingLayer(t *testing.T) Image {
	t.Helper()
	image := sample(t)
	image.Layers[1].Path += ".missing"
	return image
}

func TestNameWithoutTagIsRefused(t *testing.T) {
	for _, name := range []string{"docker.io/example/sample", "host:5000/sample", "docker.io/sample:"} {
		if reference, err := tag(name); err == nil {
			t.Errorf("tag(%q) = %q, want an error", name, reference)
		}
	}
}
