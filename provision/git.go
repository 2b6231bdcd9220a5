package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"

	"github.com/claude-bottle/claude-bottle/hostgit"
)

// maxGitFile bounds the small files of a repository that are read here.
const maxGitFile = 4 << 20

// repository is what a working directory says about its version control.
type repository struct {
	head, branch string
	ignored      map[string]bool
	warnings     []string
}

// lookAtRepository finds the commit and what git ignores. Outside a repository
// all of that is empty.
func lookAtRepository(ctx context.Context, root *os.Root, dir, home string) (repository, error) {
	var found repository
	info, err := root.Lstat(".git")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if inRepository(dir) {
			found.warnings = append(found.warnings, "the working directory lies inside a repository whose .git is above it: the history is not copied.")
			found.ignored, err = ignoredFiles(ctx, dir, home)
			return found, err
		}
		return found, nil
	case err != nil:
		return found, fmt.Errorf("look at .git: %w", err)
	case !info.IsDir():
		found.warnings = append(found.warnings, ".git is no directory but points elsewhere (a worktree or submodule): the history is not copied.")
	default:
		found.head, found.branch = headOf(root)
		if _, err := root.Lstat(".git/objects/info/alternates"); err == nil {
			found.warnings = append(found.warnings, ".git borrows objects of another repository, which are not copied: commits may be missing inside. Run `git repack -a -d` first.")
		}
	}
	found.ignored, err = ignoredFiles(ctx, dir, home)
	return found, err
}

// inRepository says that a directory above holds a .git.
func inRepository(dir string) bool {
	for dir != "/" && dir != "." {
		dir = path.Dir(dir)
		if _, err := os.Lstat(path.Join(dir, ".git")); err == nil {
			return true
		}
	}
	return false
}

var objectName = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// headOf reads what is checked out, without git. What it can't tell is "".
func headOf(root *os.Root) (commit, branch string) {
	head, err := readSmall(root, ".git/HEAD", maxGitFile)
	if err != nil {
		return "", ""
	}
	text := strings.TrimSpace(string(head))
	reference, symbolic := strings.CutPrefix(text, "ref: ")
	if !symbolic {
		if objectName.MatchString(text) {
			return text, ""
		}
		return "", ""
	}
	branch = strings.TrimPrefix(reference, "refs/heads/")
	if !fs.ValidPath(reference) {
		return "", ""
	}
	if loose, err := readSmall(root, ".git/"+reference, maxGitFile); err == nil {
		if name := strings.TrimSpace(string(loose)); objectName.MatchString(name) {
			return name, branch
		}
	}
	packed, err := readSmall(root, ".git/packed-refs", maxGitFile)
	if err != nil {
		return "", branch
	}
	for line := range strings.SplitSeq(string(packed), "\n") {
		if name, of, ok := strings.Cut(line, " "); ok && of == reference && objectName.MatchString(name) {
			return name, branch
		}
	}
	return "", branch
}

// ignoredFiles asks the host's git, for nothing else knows all of its rules.
func ignoredFiles(ctx context.Context, dir, home string) (map[string]bool, error) {
	owner, err := hostgit.OwnerOf(dir)
	if err != nil {
		return nil, err
	}
	git := hostgit.Git{Dir: dir, Home: home, Owner: owner}
	output, err := git.Run(ctx, nil, "ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z")
	if err != nil {
		return nil, err
	}
	ignored := map[string]bool{}
	for name := range bytes.SplitSeq(output, []byte{0}) {
		if len(name) > 0 {
			ignored[strings.TrimSuffix(string(name), "/")] = true
		}
	}
	return ignored, nil
}

// leaveOutOfGit judges paths inside a .git directory: what runs programs, points
// out of the tree or is half written stays behind.
func leaveOutOfGit(name string) (inside bool, reason string) {
	parts := strings.Split(name, "/")
	at := -1
	for i, part := range parts {
		if part == ".git" {
			at = i
			break
		}
	}
	if at < 0 {
		return false, ""
	}
	below := parts[at+1:]
	if len(below) == 0 {
		return true, ""
	}
	base := below[len(below)-1]
	switch {
	case below[0] == "hooks" || below[0] == "modules" && base == "hooks":
		return true, "git hooks"
	case below[0] == "worktrees":
		return true, "git worktrees of the host"
	case base == "config.worktree" || below[0] == "credentials":
		return true, "git credentials and settings"
	case base == "alternates" || base == "http-alternates":
		return true, "git objects elsewhere"
	case strings.HasSuffix(base, ".lock") && below[0] != "refs" && below[0] != "logs":
		return true, "git lock"
	default:
		return true, ""
	}
}

// isGitConfig says that a path may be a repository's own configuration.
func isGitConfig(name string) bool {
	inside, _ := leaveOutOfGit(name)
	return inside && path.Base(name) == "config"
}

// keptKeys are the settings that say what a repository is and where it comes
// from. All others can run programs, read files or hold credentials.
var keptKeys = regexp.MustCompile(`(?i)^(core\.(repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode|symlinks|autocrlf|eol)|extensions\.(objectformat|refstorage)|remote\..+\.(url|fetch)|branch\..+\.(remote|merge|rebase)|submodule\..+\.(url|active)|user\.(name|email)|pull\.(rebase|ff)|init\.defaultbranch)$`)

// scrubGitConfig writes a repository's configuration anew from the settings that
// may go along. A branch that is called "config" is a file of that name, too: it
// holds a commit, and stays as it is.
func scrubGitConfig(ctx context.Context, root *os.Root, name string) (scrubbed []byte, replace bool, err error) {
	content, err := readSmall(root, name, maxGitFile)
	if err != nil {
		return nil, false, fmt.Errorf("read git config: %w", err)
	}
	if objectName.Match(bytes.TrimSpace(content)) || strings.Contains(name, "/logs/") {
		return nil, false, nil
	}
	listed, err := hostgit.Git{Dir: "/"}.Run(ctx, bytes.NewReader(content), "config", "--file", "-", "--no-includes", "--null", "--list")
	if err != nil {
		return nil, false, fmt.Errorf("read %s: %w", name, err)
	}
	var out bytes.Buffer
	for entry := range bytes.SplitSeq(listed, []byte{0}) {
		key, value, _ := strings.Cut(string(entry), "\n")
		if keptKeys.MatchString(key) {
			writeSetting(&out, key, value)
		}
	}
	return out.Bytes(), true, nil
}

// writeSetting writes one setting under a heading of its own, which git reads
// like any other.
func writeSetting(out *bytes.Buffer, key, value string) {
	first, last := strings.IndexByte(key, '.'), strings.LastIndexByte(key, '.')
	section, variable := key[:first], key[last+1:]
	if last > first {
		fmt.Fprintf(out, "[%s \"%s\"]\n", section, quoteConfig(key[first+1:last]))
	} else {
		fmt.Fprintf(out, "[%s]\n", section)
	}
	if variable == "url" {
		value = withoutCredentials(value)
	}
	fmt.Fprintf(out, "\t%s = \"%s\"\n", variable, strings.ReplaceAll(quoteConfig(value), "\n", `\n`))
}

func quoteConfig(text string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text)
}

var credentialsInURL = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9+.-]*://)[^/@]*@`)

// withoutCredentials drops the user part of a URL, but for ssh, where it is a
// user name and keys are what counts.
func withoutCredentials(address string) string {
	if strings.HasPrefix(address, "ssh://") {
		user, rest, ok := strings.Cut(strings.TrimPrefix(address, "ssh://"), "@")
		name, _, _ := strings.Cut(user, ":")
		if ok && !strings.Contains(user, "/") {
			return "ssh://" + name + "@" + rest
		}
		return address
	}
	return credentialsInURL.ReplaceAllString(address, "$1")
}
