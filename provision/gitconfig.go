package provision

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/hostgit"
	"github.com/claude-bottle/claude-bottle/pattern"
)

// maxGitFile bounds the small files of a repository that are read here.
const maxGitFile = 4 << 20

// keptKeys are the settings that say what a repository is and where it comes
// from. All others can run programs, read files or hold credentials.
var keptKeys = pattern.Lazy(`(?i)^(core\.(repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode|symlinks|autocrlf|eol|sparsecheckout|sparsecheckoutcone)|index\.sparse|extensions\.(objectformat|refstorage|worktreeconfig|partialclone)|remote\..+\.(url|pushurl|fetch|promisor|partialclonefilter)|branch\..+\.(remote|pushremote|merge|rebase)|submodule\..+\.(url|active)|user\.(name|email)|pull\.(rebase|ff)|init\.defaultbranch)$`)

// gitConfig writes a repository's configuration anew.
type gitConfig struct {
	// worktree returns what core.worktree becomes; nil drops the setting.
	worktree func(value string) (string, bool)
	// bare overrides core.bare when it is not "".
	bare string
	// extra are settings in git's order of key and value, at the end.
	extra [][2]string
}

// scrub keeps the settings of keptKeys, without credentials.
func (c gitConfig) scrub(ctx context.Context, root *os.Root, name string) ([]byte, error) {
	content, err := archive.ReadSmall(root, name, maxGitFile)
	if err != nil {
		return nil, fmt.Errorf("read git config: %w", err)
	}
	settings, err := listConfig(ctx, content)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	var out bytes.Buffer
	for _, setting := range settings {
		key, value := setting[0], setting[1]
		switch {
		case key == "core.worktree" && c.worktree != nil:
			if moved, ok := c.worktree(value); ok {
				writeSetting(&out, key, moved)
			}
		case key == "core.bare" && c.bare != "":
			writeSetting(&out, key, c.bare)
		case keptKeys().MatchString(key):
			writeSetting(&out, key, value)
		}
	}
	for _, setting := range c.extra {
		writeSetting(&out, setting[0], setting[1])
	}
	return out.Bytes(), nil
}

// listConfig reads the settings of one file, without what it includes.
func listConfig(ctx context.Context, content []byte) ([][2]string, error) {
	listed, err := hostgit.Git{Dir: "/"}.Run(ctx, bytes.NewReader(content), "config", "--file", "-", "--no-includes", "--null", "--list")
	if err != nil {
		return nil, err
	}
	return settingsOf(listed), nil
}

// settingsOf reads what `git config --null --list` prints. A key without a value
// means true.
func settingsOf(listed []byte) [][2]string {
	var settings [][2]string
	for entry := range bytes.SplitSeq(listed, []byte{0}) {
		if len(entry) == 0 {
			continue
		}
		key, value, ok := strings.Cut(string(entry), "\n")
		if !ok {
			value = "true"
		}
		settings = append(settings, [2]string{key, value})
	}
	return settings
}

// writeSetting writes one setting under a heading of its own, which git reads
// like any other. Settings whose value or name can't go without what is secret
// are left out.
func writeSetting(out *bytes.Buffer, key, value string) {
	first, last := strings.IndexByte(key, '.'), strings.LastIndexByte(key, '.')
	section, variable := key[:first], key[last+1:]
	if isAddress := map[string]bool{"url": true, "pushurl": true, "remote": true, "pushremote": true}; isAddress[variable] {
		clean, ok := withoutCredentials(value)
		if !ok {
			return
		}
		value = clean
	}
	if last > first {
		name := key[first+1 : last]
		if clean, ok := withoutCredentials(name); !ok || clean != name {
			return
		}
		fmt.Fprintf(out, "[%s \"%s\"]\n", section, quoteConfig(name))
	} else {
		fmt.Fprintf(out, "[%s]\n", section)
	}
	fmt.Fprintf(out, "\t%s = \"%s\"\n", variable, strings.ReplaceAll(quoteConfig(value), "\n", `\n`))
}

func quoteConfig(text string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text)
}

var (
	scheme = pattern.Lazy(`^([a-zA-Z][a-zA-Z0-9+.-]*)://`)
	// passwordInHost is for what git would take for a host of SSH.
	passwordInHost = pattern.Lazy(`^([^/:@]+):[^/@]+@`)

	helper       = pattern.Lazy(`^[a-zA-Z0-9+.-]+::`)
	addressInSay = pattern.Lazy(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/?#'"<>]*@`)
	queryInSay   = pattern.Lazy(`((?i:https?)://[^\s?#'"<>]*)[?#][^\s'"<>]*`)
)

// withoutCredentials drops the user part of a URL, but for ssh, where it is a
// user name and keys are what counts, and what follows the path of an HTTP URL.
// The address of a helper that is a command can't be cleaned.
func withoutCredentials(address string) (string, bool) {
	if prefix := helper().FindString(address); prefix != "" {
		clean, ok := withoutCredentials(address[len(prefix):])
		return prefix + clean, ok && !strings.EqualFold(prefix, "ext::") && !strings.EqualFold(prefix, "fd::")
	}
	match := scheme().FindStringSubmatch(address)
	if match == nil {
		return passwordInHost().ReplaceAllString(address, "$1@"), true
	}
	protocol := strings.ToLower(match[1])
	rest := address[len(match[0]):]
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host, tail := rest[:end], rest[end:]
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		user, _, _ := strings.Cut(host[:at], ":")
		host = host[at+1:]
		if strings.Contains(protocol, "ssh") && user != "" {
			host = user + "@" + host
		}
	}
	if protocol == "http" || protocol == "https" {
		if at := strings.IndexAny(tail, "?#"); at >= 0 {
			tail = tail[:at]
		}
	}
	return match[0] + host + tail, true
}

// cleanText takes credentials out of the URLs of a text, such as a reflog.
func cleanText(text []byte) []byte {
	return queryInSay().ReplaceAll(addressInSay().ReplaceAll(text, []byte("$1")), []byte("$1"))
}

// isConfig says that a path below a git directory is a configuration. A branch
// may be called config, too.
func isConfig(below string) bool {
	admin, ok := strings.CutPrefix(below, "worktrees/")
	return below == "config" || below == "config.worktree" || ok && path.Base(admin) == "config.worktree" && strings.Count(admin, "/") == 1
}

// mayQuoteAddresses says that git writes messages into the file, which name URLs
// as the user wrote them.
func mayQuoteAddresses(below string) bool {
	first, rest, _ := strings.Cut(below, "/")
	if first == "worktrees" {
		_, rest, _ = strings.Cut(rest, "/")
		first, _, _ = strings.Cut(rest, "/")
	}
	return first == "logs" || pseudoRef().MatchString(first)
}
