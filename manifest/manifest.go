package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/spelling"
	"github.com/containerd/errdefs"
)

// DefaultHostFile is where the host's demands are.
const DefaultHostFile = "/etc/claude-bottle/config.yaml"

// defaultBottle is the bottle of an agent that names none.
const defaultBottle = "default"

// maxExtends bounds a chain of bottles that extend each other.
const maxExtends = 8

// Kind is a kind of file.
type Kind string

// The kinds of file.
const (
	KindAgent  Kind = "agent"
	KindBottle Kind = "bottle"
	KindHost   Kind = "config"
	KindRecipe Kind = "recipe"
	// KindDevcontainer is a devcontainer.json that a bottle file names.
	KindDevcontainer Kind = "devcontainer"
	// KindDockerfile is a Dockerfile that such a file names.
	KindDockerfile Kind = "dockerfile"
)

// Options say where files are looked for.
type Options struct {
	// Home and Cwd are absolute. Files of Home may grant, those of Cwd may
	// only choose.
	Home, Cwd string
	// HostFile is the host's configuration; it need not exist.
	HostFile string
	// Bottle is asked for instead of the agent's own; "" asks for none. It is granted as
	// a repository's wish is: when its file lists Cwd under projects.
	Bottle string
	// CheckEgress judges what a bottle says under egress; nil takes all.
	CheckEgress func(wish backend.Egress) error
	// CheckCredentials judges the entries of credentials; nil takes all.
	CheckCredentials func(entries []backend.CredentialEntry) error
	// RefuseVariable says why a devcontainer.json can't set a variable of that name; "" is
	// that it can. nil takes all.
	RefuseVariable func(name string) string
}

// Path is where the user's own file of that kind and name lies.
func Path(options Options, kind Kind, name string) (string, error) {
	if kind != KindAgent && kind != KindBottle {
		return "", fmt.Errorf("kind %q: agent or bottle: %w", kind, errdefs.ErrInvalidArgument)
	}
	if err := backend.ValidateName(string(kind), name); err != nil {
		return "", err
	}
	return filepath.Join(options.Home, ".claude-bottle", string(kind)+"s", name+".md"), nil
}

func projectPath(options Options, name string) string {
	return filepath.Join(options.Cwd, ".claude-bottle", "agents", name+".md")
}

// loader gathers the files that it reads.
type loader struct {
	options Options
	files   []backend.ManifestFile
}

// Load reads an agent and all that belongs to it. An agent or bottle that does
// not exist is a NotFound error, a mistake in a file is InvalidArgument and names
// file and line, a file that claims what it may not is PermissionDenied.
func Load(options Options, agent string) (*backend.Manifest, error) {
	l := &loader{options: options}
	loaded, err := l.agent(agent)
	if err != nil {
		return nil, err
	}
	if asked := options.Bottle; asked != "" && asked != loaded.Agent.Bottle {
		if err := l.grants(asked, "what you apply"); err != nil {
			return nil, fmt.Errorf("agent %s: %w", agent, err)
		}
		loaded.Agent.Bottle = asked
	}
	if loaded.Bottle, err = l.bottle(loaded.Agent.Bottle); err != nil {
		return nil, fmt.Errorf("agent %s: %w", agent, err)
	}
	if loaded.Host, err = l.host(); err != nil {
		return nil, err
	}
	if err := l.checkRules(loaded.Bottle); err != nil {
		return nil, err
	}
	loaded.Files = l.files
	return loaded, nil
}

// LoadHost reads what the host demands of every bottle.
func LoadHost(options Options) (backend.HostFile, error) {
	return (&loader{options: options}).host()
}

// agent finds the agent file: the repository's own, if there is one, bound to
// what the user's files grant it, else the user's.
func (l *loader) agent(name string) (*backend.Manifest, error) {
	path, err := Path(l.options, KindAgent, name)
	if err != nil {
		return nil, err
	}
	own, ownErr := readAgent(path)
	if ownErr != nil && !errors.Is(ownErr, fs.ErrNotExist) {
		return nil, ownErr
	}
	project := projectPath(l.options, name)
	if project == path {
		project = ""
	}
	var theirs parsed[backend.AgentFile]
	theirErr := fs.ErrNotExist
	if project != "" {
		theirs, theirErr = readProjectAgent(l.options.Cwd, project)
	}
	switch {
	case theirErr == nil:
		return l.projectAgent(theirs, own, ownErr == nil)
	case !errors.Is(theirErr, fs.ErrNotExist):
		return nil, theirErr
	case ownErr != nil:
		return nil, l.noSuchAgent(name, path)
	}
	l.files = append(l.files, own.file)
	if own.value.Bottle == "" {
		own.value.Bottle = defaultBottle
	}
	return &backend.Manifest{Agent: own.value}, nil
}

func (l *loader) noSuchAgent(name, path string) error {
	known := names(filepath.Dir(path))
	remedy := "`claude-bottle init` writes a first one"
	if near := spelling.Nearest(name, known); near != "" {
		remedy = fmt.Sprintf("did you mean %s?", near)
	} else if len(known) > 0 {
		remedy = "`claude-bottle list available` shows what there is"
	}
	return fmt.Errorf("agent %s: there is no %s: %s: %w", name, path, remedy, errdefs.ErrNotFound)
}

// projectAgent admits the agent file of a repository. It may name the bottle of
// the user's agent of the same name, or one that lists this directory.
func (l *loader) projectAgent(theirs, own parsed[backend.AgentFile], hasOwn bool) (*backend.Manifest, error) {
	l.files = append(l.files, theirs.file)
	granted := ""
	if hasOwn {
		granted = own.value.Bottle
		if granted == "" {
			granted = defaultBottle
		}
	}
	agent := theirs.value
	if agent.Bottle == "" {
		agent.Bottle = granted
	}
	if agent.Bottle == "" {
		return nil, fmt.Errorf("%s names no bottle, and you have no agent %s of your own that does: %w", theirs.file.Path, agent.Name, errdefs.ErrPermissionDenied)
	}
	if agent.Bottle != granted {
		if err := l.grants(agent.Bottle, theirs.file.Path); err != nil {
			return nil, err
		}
	}
	return &backend.Manifest{Agent: agent, FromProject: true}, nil
}

// grants admits the wish for a bottle by who may not choose it: the bottle itself lists
// the working directory.
func (l *loader) grants(bottle, who string) error {
	path, err := Path(l.options, KindBottle, bottle)
	if err != nil {
		return fmt.Errorf("%s: %w", who, err)
	}
	read, err := readBottle(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil || !l.lists(read.value.Projects) {
		return fmt.Errorf("%s asks for bottle %s, which does not list %s under projects: a repository can't choose its own rights. Add it to %s if you trust this repository with that bottle: %w",
			who, bottle, l.options.Cwd, path, errdefs.ErrPermissionDenied)
	}
	return nil
}

// lists says that the working directory is one of the projects.
func (l *loader) lists(projects []string) bool {
	here := resolved(l.options.Cwd)
	return slices.ContainsFunc(projects, func(project string) bool {
		return resolved(expandHome(project, l.options.Home)) == here
	})
}

func resolved(path string) string {
	if evaluated, err := filepath.EvalSymlinks(path); err == nil {
		return evaluated
	}
	return filepath.Clean(path)
}

// bottle reads a bottle file and what it extends, and merges them.
func (l *loader) bottle(name string) (backend.BottleFile, error) {
	var chain []backend.BottleFile
	for next := name; next != ""; {
		path, err := Path(l.options, KindBottle, next)
		if err != nil {
			return backend.BottleFile{}, err
		}
		if slices.ContainsFunc(chain, func(known backend.BottleFile) bool { return known.Name == next }) || len(chain) == maxExtends {
			return backend.BottleFile{}, fmt.Errorf("%s: bottle %s extends itself, or more than %d others: %w", path, next, maxExtends, errdefs.ErrInvalidArgument)
		}
		read, err := readBottle(path)
		if errors.Is(err, fs.ErrNotExist) {
			remedy := "`claude-bottle init` writes a first one"
			if near := spelling.Nearest(next, names(filepath.Dir(path))); near != "" {
				remedy = fmt.Sprintf("did you mean %s?", near)
			}
			return backend.BottleFile{}, fmt.Errorf("bottle %s: there is no %s: %s: %w", next, path, remedy, errdefs.ErrNotFound)
		}
		if err != nil {
			return backend.BottleFile{}, err
		}
		if read.value.Dockerfile != nil {
			read.value.Dockerfile = located(read.value.Dockerfile, filepath.Dir(path), l.options.Home)
		}
		if named := read.value.Devcontainer; named != nil {
			named.File = absolute(named.File, filepath.Dir(path), l.options.Home)
		}
		l.files = append(l.files, read.file)
		chain = append(chain, read.value)
		next = read.value.Extends
	}
	if err := l.devcontainer(chain); err != nil {
		return backend.BottleFile{}, err
	}
	merged := chain[len(chain)-1]
	for _, above := range slices.Backward(chain[:len(chain)-1]) {
		merged = merge(merged, above)
	}
	return merged, nil
}

func (l *loader) checkRules(bottle backend.BottleFile) error {
	if _, err := Limits(bottle.Resources); err != nil {
		return fmt.Errorf("bottle %s: %w", bottle.Name, err)
	}
	if l.options.CheckCredentials != nil {
		if err := l.options.CheckCredentials(bottle.Credentials); err != nil {
			return fmt.Errorf("bottle %s: %w", bottle.Name, err)
		}
	}
	if l.options.CheckEgress == nil {
		return nil
	}
	if err := l.options.CheckEgress(bottle.Egress); err != nil {
		return fmt.Errorf("bottle %s: %w", bottle.Name, err)
	}
	return nil
}
