// Command ociarchive packs root file system tars into one OCI image archive, which `ctr images import` and
// every other OCI tool reads.
//
// It is the last step of hack/default-image.sh: the tars come from mmdebstrap and tar, and nothing here looks
// into them. The same input gives the same bytes, so that the manifest's digest tells whether an image changed.
// Nothing here talks to containerd or to a registry.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ociarchive:", err)
		os.Exit(1)
	}
}

// list collects the values of a flag that may be given more than once.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}

// run parses the arguments, writes the archive and prints the digest of the image's manifest on stdout.
func run(args []string) error {
	flags := flag.NewFlagSet("ociarchive", flag.ContinueOnError)
	var env, command, labels, layers, volumes list
	output := flags.String("output", "", "the archive to write")
	name := flags.String("name", "", "the image's full `NAME`, such as docker.io/library/debian:12")
	architecture := flags.String("architecture", "amd64", "the image's architecture, in Go's spelling")
	created := flags.Int64("created", 0, "creation time in `SECONDS` since 1970, for the image and its files")
	directory := flags.String("directory", "/", "the working directory of the image's command")
	flags.Var(&env, "env", "`KEY=VALUE` of the image's environment (repeatable)")
	flags.Var(&command, "command", "a `WORD` of the image's command (repeatable)")
	flags.Var(&labels, "label", "`KEY=VALUE` label of the image (repeatable)")
	flags.Var(&volumes, "volume", "`PATH` of a volume of the image (repeatable)")
	flags.Var(&layers, "layer", "`TAR:COMMENT` of a layer, lowest first (repeatable)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *output == "" || *name == "" || len(layers) == 0 || flags.NArg() > 0 {
		return errors.New("give --output, --name and at least one --layer, and no further argument")
	}
	image := Image{
		Name:         *name,
		Architecture: *architecture,
		Created:      time.Unix(*created, 0).UTC(),
		Config: ocispec.ImageConfig{
			Env:        env,
			Cmd:        command,
			WorkingDir: *directory,
			Labels:     map[string]string{},
		},
	}
	for _, label := range labels {
		key, value, found := strings.Cut(label, "=")
		if !found {
			return fmt.Errorf("parse label %q: no = in it", label)
		}
		image.Config.Labels[key] = value
	}
	for _, volume := range volumes {
		if image.Config.Volumes == nil {
			image.Config.Volumes = map[string]struct{}{}
		}
		image.Config.Volumes[volume] = struct{}{}
	}
	for _, layer := range layers {
		path, comment, _ := strings.Cut(layer, ":")
		image.Layers = append(image.Layers, Layer{Path: path, Comment: comment})
	}
	return writeFile(*output, image)
}

// writeFile writes the archive under a temporary name and renames it into place, so that nobody ever sees half
// an archive under the real name.
func writeFile(path string, image Image) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.partial")
	if err != nil {
		return fmt.Errorf("create archive: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	digest, err := Write(file, image, filepath.Dir(path))
	if err := errors.Join(err, file.Chmod(0o644), file.Close()); err != nil {
		return fmt.Errorf("write archive %s: %w", path, err)
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return fmt.Errorf("put archive in place: %w", err)
	}
	fmt.Println(digest)
	return nil
}
