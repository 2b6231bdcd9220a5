package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// imageNameAnnotation is where containerd looks for the full name under which it stores an imported image;
// tools that don't know it read the tag from the OCI ref.name annotation.
const imageNameAnnotation = "io.containerd.image.name"

// Image is what an archive holds: one image for one platform.
type Image struct {
	Name         string              // full name with host and tag
	Architecture string              // in Go's spelling; the system is always linux
	Created      time.Time           // of the image, its layers and the files of the archive
	Config       ocispec.ImageConfig // what a container of the image gets when nothing else is said
	Layers       []Layer             // lowest first
}

// Layer names an uncompressed tar of files.
type Layer struct {
	Path    string // of the tar
	Comment string // for the image's history: where the layer comes from
}

// Write writes the archive and returns the digest of the image's manifest. Packed layers are kept for a while in
// scratch, a directory, because their size and digest stand in the archive before their bytes.
func Write(w io.Writer, image Image, scratch string) (_ digest.Digest, err error) {
	reference, err := tag(image.Name)
	if err != nil {
		return "", err
	}
	layers, err := packLayers(image.Layers, scratch)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, discard(layers)) }()

	archive := writer{tar: tar.NewWriter(w), modified: image.Created}
	manifest, err := archive.image(image, layers)
	if err != nil {
		return "", err
	}
	manifest.Platform = &ocispec.Platform{OS: "linux", Architecture: image.Architecture}
	manifest.Annotations = map[string]string{
		imageNameAnnotation:       image.Name,
		ocispec.AnnotationRefName: reference,
	}
	if err := archive.finish(manifest); err != nil {
		return "", err
	}
	return manifest.Digest, nil
}

// tag returns what follows the colon in the last part of a full image name.
func tag(name string) (string, error) {
	_, reference, _ := strings.Cut(path.Base(name), ":")
	if reference == "" {
		return "", fmt.Errorf("image name %q has no tag: write it as HOST/PATH:TAG", name)
	}
	return reference, nil
}

func imageConfig(image Image, layers []packedLayer) ocispec.Image {
	config := ocispec.Image{
		Created:  &image.Created,
		Platform: ocispec.Platform{OS: "linux", Architecture: image.Architecture},
		Config:   image.Config,
		RootFS:   ocispec.RootFS{Type: "layers"},
	}
	for i, layer := range image.Layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, layers[i].diffID)
		config.History = append(config.History, ocispec.History{Created: &image.Created, CreatedBy: layer.Comment})
	}
	return config
}

// writer puts files into the archive, every one with the same time, owner and mode.
type writer struct {
	tar      *tar.Writer
	modified time.Time
}

// image writes the blobs of an image and describes its manifest.
func (w writer) image(image Image, layers []packedLayer) (ocispec.Descriptor, error) {
	config, err := w.document(ocispec.MediaTypeImageConfig, imageConfig(image, layers))
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	manifest := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    config,
	}
	for i, layer := range layers {
		if err := w.file(blobPath(layer.descriptor.Digest), layer.file, layer.descriptor.Size); err != nil {
			return ocispec.Descriptor{}, fmt.Errorf("copy layer %s: %w", image.Layers[i].Path, err)
		}
		manifest.Layers = append(manifest.Layers, layer.descriptor)
	}
	return w.document(ocispec.MediaTypeImageManifest, manifest)
}

// document writes a JSON blob and describes it.
func (w writer) document(mediaType string, value any) (ocispec.Descriptor, error) {
	content, err := json.Marshal(value)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("encode %s: %w", mediaType, err)
	}
	descriptor := ocispec.Descriptor{
		MediaType: mediaType,
		Digest:    digest.FromBytes(content),
		Size:      int64(len(content)),
	}
	return descriptor, w.file(blobPath(descriptor.Digest), bytes.NewReader(content), descriptor.Size)
}

// finish writes the two files that make the blobs an OCI image, and ends the archive.
func (w writer) finish(manifest ocispec.Descriptor) error {
	layout := ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}
	if err := w.json(ocispec.ImageLayoutFile, layout); err != nil {
		return err
	}
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{manifest},
	}
	if err := w.json(ocispec.ImageIndexFile, index); err != nil {
		return err
	}
	if err := w.tar.Close(); err != nil {
		return fmt.Errorf("end archive: %w", err)
	}
	return nil
}

func (w writer) json(name string, value any) error {
	content, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	return w.file(name, bytes.NewReader(content), int64(len(content)))
}

func (w writer) file(name string, content io.Reader, size int64) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size, ModTime: w.modified}
	if err := w.tar.WriteHeader(header); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if _, err := io.Copy(w.tar, content); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func blobPath(blob digest.Digest) string {
	return path.Join(ocispec.ImageBlobsDir, blob.Algorithm().String(), blob.Encoded())
}
