package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

func (a *application) imageCommand() *cobra.Command {
	group := &cobra.Command{
		Use:     "image",
		Aliases: []string{"images"},
		Short:   "Pull, build, update, import, list, remove and export images",
		Long: `Images are what bottles are made of: a root file system with claude in it. Nothing else
of an image counts: its labels, volumes, environment, user and entrypoint are nobody's wish.`,
		Example: `  claude-bottle image pull ghcr.io/example/claude:1
  claude-bottle image import claude.tar --name claude:1
  claude-bottle image ls
  claude-bottle image prune`,
		Args: func(command *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usageError{fmt.Errorf("image has no verb %s: see `claude-bottle image --help`", backend.Printable(args[0]))}
		},
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	group.AddCommand(
		a.imagePullCommand(), a.imageBuildCommand(), a.imageUpdateCommand(), a.imageImportCommand(), a.imageExportCommand(), a.imageListCommand(),
		a.imageInspectCommand(), a.imageTagCommand(), a.imageRemoveCommand(), a.imagePruneCommand(),
	)
	return group
}

// openedImages is a backend that has images.
type openedImages interface {
	closingBackend
	backend.ImageKeeper
	backend.ImageCarrier
}

// openImages is openBackend for what is done with images. The caller closes it.
func (a *application) openImages(ctx context.Context, progress backend.Progress) (openedImages, error) {
	opened, err := a.openBackend(ctx, progress)
	if err != nil {
		return nil, err
	}
	found, ok := opened.(openedImages)
	if !ok {
		return nil, errors.Join(fmt.Errorf("this backend has no images of its own: %w", errdefs.ErrNotImplemented), opened.Close())
	}
	return found, nil
}

// someImages refuses a command line without an image, or with more than most.
func someImages(most int) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if len(args) == 0 || len(args) > most {
			return usageError{fmt.Errorf("%s takes %s, got %d: `claude-bottle image ls` shows what is here", command.Name(), command.Annotations[annotationTakes], len(args))}
		}
		return nil
	}
}

// annotationTakes says in words what a verb takes.
const annotationTakes = "takes"

// completeImages proposes the names of images, for up to so many words.
func (a *application) completeImages(most int) completion {
	return func(command *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		opened, err := a.openImages(command.Context(), backend.NoProgress{})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer func() { _ = opened.Close() }()
		list, err := opened.Images(command.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, image := range list {
			if !image.Step && !slices.Contains(args, image.Name) {
				names = append(names, image.Name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

func (a *application) imageListCommand() *cobra.Command {
	command := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the images that are here",
		Long: `List the images in containerd's store, and who uses each: bottles, the work that is kept
of others, and what else is in the namespace. The steps of builds, which are kept so that
the next build need not make them, are left out but for --all.`,
		Example: "  claude-bottle image ls\n  claude-bottle image ls -o wide\n  claude-bottle image ls --all -o name",
		Args:    noArguments,
	}
	all := command.Flags().BoolP("all", "a", false, "list the steps of builds, too")
	output := addFormat(command, "text", "wide", "name", "json", "yaml")
	command.RunE = func(command *cobra.Command, _ []string) error {
		return a.interruptible(command, func(ctx context.Context) error {
			opened, err := a.openImages(ctx, backend.NoProgress{})
			if err != nil {
				return err
			}
			defer func() { _ = opened.Close() }()
			list, err := opened.Images(ctx)
			if err != nil {
				return err
			}
			if !*all {
				list = slices.DeleteFunc(list, func(image backend.Image) bool { return image.Step })
			}
			return a.printImages(list, output)
		})
	}
	return command
}

func (a *application) printImages(list []backend.Image, output *format) error {
	if done, err := output.structured(a.out, list); done || err != nil {
		return err
	}
	wide := output.value == "wide"
	header := []string{"NAME", "DIGEST", "PLATFORM", "SIZE", "AGE", "USED BY"}
	if wide {
		header = append(header, "UNPACKED", "PROBLEM")
	}
	rows := make([][]string, 0, len(list))
	for _, image := range list {
		if output.value == "name" {
			if _, err := fmt.Fprintln(a.out, backend.Printable(image.Name)); err != nil {
				return err
			}
			continue
		}
		digest, platform := shortDigest(image.Digest), image.Platform
		if wide {
			digest = image.Digest
		} else if image.Problem != "" {
			platform = "BROKEN"
		}
		row := []string{image.Name, digest, platform, backend.Bytes(image.Size), age(time.Since(image.Created)), userWords(image.Users, wide)}
		if wide {
			row = append(row, yesOrNo(image.Unpacked), image.Problem)
		}
		rows = append(rows, row)
	}
	if output.value == "name" {
		return nil
	}
	return table(a.out, header, rows)
}

// shortDigest is as much of a digest as people tell apart.
func shortDigest(digest string) string {
	algorithm, hex, _ := strings.Cut(digest, ":")
	return algorithm + ":" + hex[:min(12, len(hex))]
}

func yesOrNo(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

// userWords name the users of an image; the first of them, unless all are asked for.
func userWords(users []backend.ImageUser, all bool) string {
	const most = 2
	var words []string
	for i, user := range users {
		if i == most && !all && len(users) > most+1 {
			words = append(words, fmt.Sprintf("and %d more", len(users)-most))
			break
		}
		word := user.Name
		if user.Use == backend.UseContainer || user.Use == backend.UseFile {
			word = string(user.Use) + " " + user.Name
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

func (a *application) imageInspectCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "inspect IMAGE...",
		Short: "Show all that is known of images",
		Long: `Show digest, platform, layers and size of images, what each says of itself (config), what
a bottle takes of that (taken), and who uses it.`,
		Example:           "  claude-bottle image inspect claude:1\n  claude-bottle image inspect claude:1 -o yaml",
		Args:              someImages(1 << 10),
		Annotations:       map[string]string{annotationTakes: "names of images"},
		ValidArgsFunction: a.completeImages(1 << 10),
	}
	output := addFormat(command, "json", "yaml")
	command.RunE = func(command *cobra.Command, args []string) error {
		return a.interruptible(command, func(ctx context.Context) error {
			opened, err := a.openImages(ctx, backend.NoProgress{})
			if err != nil {
				return err
			}
			defer func() { _ = opened.Close() }()
			details := []*backend.ImageDetail{}
			var failed []error
			for _, name := range args {
				detail, err := opened.InspectImage(ctx, name)
				if err != nil {
					failed = append(failed, err)
					continue
				}
				details = append(details, detail)
			}
			_, err = output.structured(a.out, details)
			return errors.Join(errors.Join(failed...), err)
		})
	}
	return command
}

func (a *application) imageTagCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "tag IMAGE NAME",
		Short: "Give an image a further name",
		Long: `Give an image a further name. An image that has had that name, and that a bottle or kept
work needs, is called by its digest from then on.`,
		Example:           "  claude-bottle image tag ghcr.io/example/claude:1 claude:stable",
		ValidArgsFunction: a.completeImages(2),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usageError{fmt.Errorf("tag takes an image and a name for it, got %d", len(args))}
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			return a.interruptible(command, func(ctx context.Context) error {
				opened, err := a.openImages(ctx, backend.NoProgress{})
				if err != nil {
					return err
				}
				defer func() { _ = opened.Close() }()
				image, err := opened.TagImage(ctx, args[0], args[1])
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(a.out, image.Pinned())
				return err
			})
		},
	}
}
