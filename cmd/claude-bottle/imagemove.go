package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/image/bundle"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// withHostsDir names the directory of registries for a command that has no flag for it.
const withHostsDir = "CLAUDE_BOTTLE_HOSTS_DIR"

// hostDirs are where it is said how registries are reached: by the user's word alone,
// else where containerd and docker have it.
func (a *application) hostDirs() []string {
	if a.hostsDir != "" {
		return []string{a.hostsDir}
	}
	if dir := a.environment(withHostsDir, ""); dir != "" {
		return []string{dir}
	}
	return []string{"/etc/containerd/certs.d", "/etc/docker/certs.d"}
}

// sizeFlag adds --max-size; the function returned reads it.
func sizeFlag(command *cobra.Command) func() (int64, error) {
	text := command.Flags().String("max-size", "32Gi", "`size` that an image may have, packed, and unpacked")
	return func() (int64, error) {
		most, err := manifest.ParseSize(*text)
		if err != nil || most <= 0 {
			return 0, usageError{fmt.Errorf("--max-size %q: give a size such as 512Mi or 64Gi", *text)}
		}
		return most, nil
	}
}

func (a *application) imagePullCommand() *cobra.Command {
	var platform string
	command := &cobra.Command{
		Use:   "pull IMAGE",
		Short: "Pull an image from its registry",
		Long: `Pull an image from its registry, by tag or by digest, and print its name with the digest.
What is here is not fetched again. A pull that was cut goes on where it stopped.

Logins are those of docker: ~/.docker/config.json, or config.json in $DOCKER_CONFIG, with
the credential helpers that it names; "docker login" or "podman login --compat-auth-file"
writes it. Mirrors, plain HTTP and authorities of your own stand in directories as
containerd has them, /etc/containerd/certs.d/HOST/hosts.toml, or docker,
/etc/docker/certs.d. All other verbs that pull use the same.`,
		Example: `  claude-bottle image pull ghcr.io/example/claude:1
  claude-bottle image pull ghcr.io/example/claude@sha256:73249f4f...
  claude-bottle image pull --hosts-dir ./registries registry.example:5000/claude`,
		Args:              someImages(1),
		Annotations:       map[string]string{annotationTakes: "one image"},
		ValidArgsFunction: a.completeImages(1),
	}
	flags := command.Flags()
	flags.StringVar(&platform, "platform", "", "`platform`, which must be this host's")
	flags.StringVar(&a.hostsDir, "hosts-dir", "", "`directory` with a directory per registry, instead of containerd's and docker's (default $"+withHostsDir+")")
	size := sizeFlag(command)
	command.RunE = func(command *cobra.Command, args []string) error {
		wish := backend.ImagePull{Reference: args[0]}
		var err error
		if wish.MaxSize, err = size(); err != nil {
			return err
		}
		if err := checkPlatform(platform); err != nil {
			return err
		}
		if a.hostsDir != "" {
			if a.hostsDir, err = existingDirectory(a.hostsDir); err != nil {
				return err
			}
		}
		return a.interruptible(command, func(ctx context.Context) error { return a.pullImage(ctx, wish) })
	}
	return command
}

func existingDirectory(path string) (string, error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return "", usageError{fmt.Errorf("--hosts-dir %s is no directory", backend.Printable(path))}
	}
	return filepath.Abs(path)
}

// checkPlatform refuses a platform that nothing runs of here.
func checkPlatform(text string) error {
	if text == "" {
		return nil
	}
	wanted, err := platforms.Parse(text)
	if err != nil {
		return usageError{fmt.Errorf("--platform %s: give one such as %s", backend.Printable(text), runtime.HostPlatform())}
	}
	if !runtime.RunsHere(wanted) {
		return fmt.Errorf("images for %s don't run here: this host is %s: leave --platform out: %w", backend.Printable(text), runtime.HostPlatform(), errdefs.ErrFailedPrecondition)
	}
	return nil
}

// fetchImages fetches images under bars, and prints the name and digest of each.
func (a *application) fetchImages(ctx context.Context, fetch func(openedImages) ([]backend.Image, error)) error {
	shown := newPartsProgress(a.err, a.quiet)
	defer shown.finish()
	opened, err := a.openImages(ctx, shown)
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	list, err := fetch(opened)
	shown.finish()
	if err != nil {
		return err
	}
	for _, image := range list {
		if _, err := fmt.Fprintln(a.out, image.Pinned()); err != nil {
			return err
		}
	}
	return nil
}

func (a *application) pullImage(ctx context.Context, wish backend.ImagePull) error {
	return a.fetchImages(ctx, func(store openedImages) ([]backend.Image, error) {
		image, err := store.PullImage(ctx, wish)
		return []backend.Image{image}, err
	})
}

func (a *application) imageImportCommand() *cobra.Command {
	var wish backend.ImageImport
	command := &cobra.Command{
		Use:   "import {FILE | DIRECTORY | -}",
		Short: "Import images from a file, a directory or a pipe",
		Long: `Import images from an archive of the OCI or of docker ("docker save"), from an image layout
directory of the OCI, or from the tar of a root file system, which becomes an image of one
layer; tars may be packed with gzip or zstd. Prints the name and digest of each.

The names are those that the archive says, unless --name gives another. A name that
another image has here is only given to an archive's with --replace. An archive of which
something fails leaves nothing.`,
		Example: `  claude-bottle image import claude.tar
  docker save claude:1 | claude-bottle image import -
  claude-bottle image import rootfs.tar.gz --name claude:1`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("import takes one file or directory, or - for a pipe, got %d", len(args))}
			}
			return nil
		},
	}
	flags := command.Flags()
	flags.StringVar(&wish.Name, "name", "", "`name` of the image")
	flags.BoolVar(&wish.Files, "files", false, "take it for the tar of a root file system, whatever it looks like")
	flags.BoolVar(&wish.Files, "rootfs", false, "same as --files")
	flags.BoolVar(&wish.Replace, "replace", false, "let the archive's names be taken from images that have them")
	size := sizeFlag(command)
	command.RunE = func(command *cobra.Command, args []string) error {
		var err error
		if wish.MaxSize, err = size(); err != nil {
			return err
		}
		return a.interruptible(command, func(ctx context.Context) error { return a.importImage(ctx, args[0], wish) })
	}
	return command
}

func (a *application) importImage(ctx context.Context, source string, wish backend.ImageImport) error {
	closeSource, err := a.openSource(source, &wish)
	if err != nil {
		return err
	}
	defer closeSource()
	return a.fetchImages(ctx, func(store openedImages) ([]backend.Image, error) {
		list, err := store.ImportImage(ctx, wish)
		if err != nil {
			err = fmt.Errorf("%s: %w", backend.Printable(source), err)
		}
		return list, err
	})
}

// openSource opens what is imported.
func (a *application) openSource(source string, wish *backend.ImageImport) (closeSource func(), err error) {
	if source == "-" {
		if term.IsTerminal(int(a.in.Fd())) {
			return nil, usageError{errors.New("import - reads a pipe, and this is a terminal: name a file")}
		}
		wish.Archive = a.in
		return func() {}, nil
	}
	file, err := os.Open(source)
	if err != nil {
		return nil, fmt.Errorf("import image: %w", err)
	}
	info, err := file.Stat()
	switch {
	case err != nil:
	case info.IsDir() && bundle.IsLayout(source):
		wish.Directory = source
		return func() {}, file.Close()
	case info.IsDir():
		err = fmt.Errorf("%s is no image layout, for it has no file oci-layout: a root file system is imported as a tar: `tar -C %[1]s -c . | claude-bottle image import - --files --name NAME`: %w",
			backend.Printable(source), errdefs.ErrInvalidArgument)
	default:
		wish.Archive, wish.Size = file, info.Size()
		return func() { _ = file.Close() }, nil // it was read only
	}
	return nil, errors.Join(err, file.Close())
}

func (a *application) imageExportCommand() *cobra.Command {
	var target string
	command := &cobra.Command{
		Use:   "export IMAGE [-o FILE]",
		Short: "Write an image to an archive",
		Long: `Write an image to an archive of the OCI that this program, skopeo, podman and docker read,
with this host's platform alone. The digest stays as it is.`,
		Example: `  claude-bottle image export claude:1 -o claude.tar
  claude-bottle image export claude:1 | ssh other claude-bottle image import -`,
		Args:              someImages(1),
		Annotations:       map[string]string{annotationTakes: "one image"},
		ValidArgsFunction: a.completeImages(1),
	}
	command.Flags().StringVarP(&target, "output", "o", "-", "`file` to write; - is the standard output")
	command.RunE = func(command *cobra.Command, args []string) error {
		if target == "-" && term.IsTerminal(int(a.out.Fd())) {
			return usageError{errors.New("an archive is nothing for a terminal: add -o FILE, or a pipe")}
		}
		return a.interruptible(command, func(ctx context.Context) error {
			opened, err := a.openImages(ctx, backend.NoProgress{})
			if err != nil {
				return err
			}
			defer func() { _ = opened.Close() }()
			if target == "-" {
				return opened.ExportImage(ctx, args[0], a.out)
			}
			return writeWhole(target, func(w io.Writer) error { return opened.ExportImage(ctx, args[0], w) })
		})
	}
	return command
}
