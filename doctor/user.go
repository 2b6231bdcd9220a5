package doctor

import (
	"fmt"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/claude-bottle/claude-bottle/pattern"
)

var (
	aboutTerminal    = subject{"terminal", "terminal"}
	aboutCredentials = subject{"credentials", "credentials"}
	aboutFiles       = subject{"files", "agent and bottle files"}
	aboutHostFile    = subject{"host-file", "host file"}
)

// Terminal is what this program is used on.
type Terminal struct {
	// Is says that standard input and errors are one.
	Is bool
	// Name is TERM, and Locale the first of LC_ALL, LC_CTYPE and LANG that is set.
	Name, Locale string
}

// plainName is what is shown of a variable that anything can be in.
var plainName = pattern.Lazy(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,40}$`)

func plainly(value string) string {
	if plainName().MatchString(value) {
		return value
	}
	return "not a name"
}

func judgeTerminal(f Terminal) Check {
	locale := strings.ToLower(f.Locale)
	switch {
	case !f.Is:
		return aboutTerminal.warning("for claude's own screen run claude-bottle on a terminal (ssh -t); `start AGENT --yes -- -p TASK` needs none", "there is none")
	case f.Name == "" || f.Name == "dumb":
		return aboutTerminal.warning("export TERM=xterm-256color, or what your terminal is", "TERM is not set, or dumb")
	case !strings.Contains(locale, "utf-8") && !strings.Contains(locale, "utf8"):
		return aboutTerminal.warning("export LANG=C.UTF-8, or your own locale in UTF-8: claude draws with it", "%s, without UTF-8", plainly(f.Name))
	default:
		return aboutTerminal.ok("%s, %s", plainly(f.Name), plainly(f.Locale))
	}
}

// credentialFacts say which variables are set, and nothing of what is in them.
type credentialFacts struct{ key, token, upstream bool }

func gatherCredentials(lookup func(string) (string, bool)) credentialFacts {
	set := func(name string) bool {
		value, ok := lookup(name)
		return ok && strings.TrimSpace(value) != ""
	}
	return credentialFacts{
		key:      set(backend.CredentialAPIKey.Variable()),
		token:    set(backend.CredentialOAuth.Variable()),
		upstream: set("ANTHROPIC_BASE_URL"),
	}
}

func judgeCredentials(f credentialFacts) Check {
	key, token := backend.CredentialAPIKey.Variable(), backend.CredentialOAuth.Variable()
	elsewhere := ""
	if f.upstream {
		elsewhere = "; ANTHROPIC_BASE_URL names another API"
	}
	switch {
	case f.key && f.token:
		return aboutCredentials.ok("%s and %s are set: the first is used, or the second with --forward-oauth-token%s", key, token, elsewhere)
	case f.key:
		return aboutCredentials.ok("%s is set%s", key, elsewhere)
	case f.token:
		return aboutCredentials.ok("%s is set%s", token, elsewhere)
	default:
		return aboutCredentials.warning(fmt.Sprintf("export %s, or %s as `claude setup-token` prints it; sudo drops them unless --preserve-env names them", key, token),
			"neither %s nor %s is set%s", key, token, elsewhere)
	}
}

// judgeFiles names files that can't be used. What is wrong in them is not repeated here:
// it may quote a value.
func judgeFiles(entries []manifest.Entry, err error) Check {
	if err != nil {
		return aboutFiles.unknown("", "can't be listed")
	}
	agents, bottles := 0, 0
	var broken, agent []string
	for _, entry := range entries {
		if entry.Kind == manifest.KindAgent {
			agents++
		} else {
			bottles++
		}
		if entry.Problem == "" {
			continue
		}
		broken = append(broken, backend.Printable(where(entry)))
		if entry.Kind == manifest.KindAgent {
			agent = append(agent, entry.Name)
		}
	}
	switch {
	case len(broken) > 0 && len(agent) > 0:
		return aboutFiles.missing("`claude-bottle info "+agent[0]+"` says what is wrong", "can't be used: %s", strings.Join(broken, ", "))
	case len(broken) > 0:
		return aboutFiles.missing("`claude-bottle list available -o wide` and `edit` say what is wrong", "can't be used: %s", strings.Join(broken, ", "))
	case agents == 0:
		return aboutFiles.warning("`claude-bottle init` writes first ones", "there are none yet")
	default:
		return aboutFiles.ok("%s and %s, all understood", counted(agents, "agent"), counted(bottles, "bottle file"))
	}
}

var lineOf = pattern.Lazy(`^:\d+`)

// where is the file of an entry, and the line of its mistake where that is known.
func where(entry manifest.Entry) string {
	_, after, found := strings.Cut(entry.Problem, entry.Path)
	if !found {
		return entry.Path
	}
	return entry.Path + lineOf().FindString(after)
}

func judgeHostFile(host backend.HostFile, err error) Check {
	switch {
	case err != nil:
		return aboutHostFile.missing("mend "+manifest.DefaultHostFile+": until then nothing starts", "%s", firstLine(err))
	case host.RequireRuntime != "":
		return aboutHostFile.ok("%s requires %s", manifest.DefaultHostFile, host.RequireRuntime)
	default:
		return aboutHostFile.ok("demands nothing")
	}
}
