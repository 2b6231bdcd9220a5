package change

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/claude-bottle/claude-bottle/hostgit"
	"github.com/containerd/log"
	"golang.org/x/sync/errgroup"
)

// blob is the object that a tracked file is equal to.
type blob struct {
	name string
	size int64
}

// trackedFiles is cleanFiles for who can do without them.
func trackedFiles(ctx context.Context, dir string) (map[string]blob, error) {
	blobs, err := cleanFiles(ctx, dir)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		log.G(ctx).WithError(err).Debug("list tracked files; all are copied")
	}
	return blobs, nil
}

// cleanFiles lists the files below dir that are as the index has them, with their
// objects. Outside a repository that is an error. No filter runs.
func cleanFiles(ctx context.Context, dir string) (map[string]blob, error) {
	owner, err := hostgit.OwnerOf(dir)
	if err != nil {
		return nil, err
	}
	git := hostgit.Git{Dir: dir, Owner: owner}
	if git.Env, err = withoutFilters(ctx, git); err != nil {
		return nil, err
	}
	var listed, dirty []byte
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		listed, err = git.Run(groupCtx, nil, "ls-files", "-z", "--stage", "-v")
		return err
	})
	group.Go(func() (err error) {
		dirty, err = git.Run(groupCtx, nil, "diff-files", "-z", "--name-only", "--relative", "--no-ext-diff", "--ignore-submodules=all")
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	clean := parseStage(listed)
	for path := range bytes.SplitSeq(dirty, []byte{0}) {
		delete(clean, string(path))
	}
	group, groupCtx = errgroup.WithContext(ctx)
	paths := make([]string, 0, len(clean))
	for path := range clean {
		paths = append(paths, path)
	}
	var sizes []int64
	var filtered map[string]bool
	group.Go(func() (err error) {
		sizes, err = objectSizes(groupCtx, git, paths, clean)
		return err
	})
	group.Go(func() (err error) {
		filtered, err = filteredFiles(groupCtx, git, paths)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i, path := range paths {
		if sizes[i] < 0 || filtered[path] {
			delete(clean, path)
			continue
		}
		clean[path] = blob{name: clean[path].name, size: sizes[i]}
	}
	return clean, nil
}

// withoutFilters are variables that switch off every filter which the settings
// define: git would run them to look at a file that has just been written.
func withoutFilters(ctx context.Context, git hostgit.Git) ([]string, error) {
	listed, err := git.Run(ctx, nil, "config", "--includes", "--list", "--name-only", "-z")
	if err != nil {
		return nil, err
	}
	var env []string
	count := 0
	for key := range strings.SplitSeq(string(listed), "\x00") {
		if strings.HasPrefix(key, "filter.") {
			value := ""
			if strings.HasSuffix(key, ".required") {
				value = "false"
			}
			env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", count, key), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", count, value))
			count++
		}
	}
	return append(env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", count)), nil
}

// parseStage reads what ls-files --stage -v prints: of each regular file the
// object's name. Entries that git was told not to look at, and those of a merge
// under way, are left out.
func parseStage(listed []byte) map[string]blob {
	files := map[string]blob{}
	for line := range bytes.SplitSeq(listed, []byte{0}) {
		about, path, ok := strings.Cut(string(line), "\t")
		fields := strings.Fields(about)
		if !ok || len(fields) != 4 || fields[0] != "H" || fields[3] != "0" || !strings.HasPrefix(fields[1], "100") {
			continue
		}
		files[path] = blob{name: fields[2]}
	}
	return files
}

// objectSizes asks for the size of each object; -1 is one that the repository does
// not have, as a partial clone may not.
func objectSizes(ctx context.Context, git hostgit.Git, paths []string, of map[string]blob) ([]int64, error) {
	var names bytes.Buffer
	for _, path := range paths {
		names.WriteString(of[path].name + "\n")
	}
	printed, err := git.Run(ctx, &names, "cat-file", "--batch-check=%(objectsize)", "--buffer")
	if err != nil {
		return nil, err
	}
	sizes := make([]int64, 0, len(paths))
	for lines := bufio.NewScanner(bytes.NewReader(printed)); lines.Scan(); {
		size, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil {
			size = -1
		}
		sizes = append(sizes, size)
	}
	if len(sizes) != len(paths) {
		return nil, fmt.Errorf("git tells the size of %d objects of %d", len(sizes), len(paths))
	}
	return sizes, nil
}

// filteredFiles are those whose attributes name a filter: what lies in the tree is
// not what the object holds.
func filteredFiles(ctx context.Context, git hostgit.Git, paths []string) (map[string]bool, error) {
	var names bytes.Buffer
	for _, path := range paths {
		names.WriteString(path + "\x00")
	}
	printed, err := git.Run(ctx, &names, "check-attr", "-z", "--stdin", "filter")
	if err != nil {
		return nil, err
	}
	filtered := map[string]bool{}
	fields := strings.Split(string(printed), "\x00")
	for i := 0; i+2 < len(fields); i += 3 {
		if value := fields[i+2]; value != "unspecified" && value != "unset" {
			filtered[fields[i]] = true
		}
	}
	return filtered, nil
}
