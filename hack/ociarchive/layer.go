package main

import (
	_ "crypto/sha256" // go-digest finds its hash through this import
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// packedLayer is a layer as it goes into the archive.
type packedLayer struct {
	descriptor ocispec.Descriptor // of the packed bytes
	diffID     digest.Digest      // of the bytes before packing
	file       *os.File           // open at its start; a temporary file, see discard
}

func packLayers(layers []Layer, scratch string) ([]packedLayer, error) {
	var packed []packedLayer
	for _, layer := range layers {
		one, err := packLayer(layer.Path, scratch)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("pack layer %s: %w", layer.Path, err), discard(packed))
		}
		packed = append(packed, one)
	}
	return packed, nil
}

// packLayer packs with zstd. Measured on the default image: it is as fast to import and unpack as plain tar and
// clearly faster than gzip, and takes two fifths of the disk of plain tar, twice over, because containerd keeps the
// packed blob too.
func packLayer(name, scratch string) (_ packedLayer, err error) {
	source, err := os.Open(name)
	if err != nil {
		return packedLayer{}, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()

	file, err := os.CreateTemp(scratch, "layer.*.zst")
	if err != nil {
		return packedLayer{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, discard([]packedLayer{{file: file}}))
		}
	}()
	plain, packed := digest.SHA256.Digester(), digest.SHA256.Digester()
	encoder, err := zstd.NewWriter(io.MultiWriter(file, packed.Hash()), zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return packedLayer{}, err
	}
	_, err = io.Copy(io.MultiWriter(encoder, plain.Hash()), source)
	if err := errors.Join(err, encoder.Close()); err != nil {
		return packedLayer{}, err
	}
	size, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return packedLayer{}, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return packedLayer{}, err
	}
	return packedLayer{
		descriptor: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerZstd, Digest: packed.Digest(), Size: size},
		diffID:     plain.Digest(),
		file:       file,
	}, nil
}

// discard removes the temporary files of packed layers.
func discard(layers []packedLayer) error {
	var problems []error
	for _, layer := range layers {
		problems = append(problems, layer.file.Close(), os.Remove(layer.file.Name()))
	}
	return errors.Join(problems...)
}
