package backend

// RuntimePolicy says which OCI runtime a bottle may get.
type RuntimePolicy string

// The policies: auto takes gVisor and nothing weaker unless the bottle file
// says so, gvisor refuses to run without it, runc is the explicit word for the
// weaker one.
const (
	RuntimeAuto   RuntimePolicy = "auto"
	RuntimeGVisor RuntimePolicy = "gvisor"
	RuntimeRunc   RuntimePolicy = "runc"
)

// Spec is what a user wishes: the loaded files and the flags of one start.
type Spec struct {
	// Manifest is the agent and bottle file, resolved and merged.
	Manifest *Manifest
	// Name is the bottle's name; "" takes the agent's.
	Name string
	// CopyCwd copies Cwd, an absolute path, into the workspace.
	CopyCwd bool
	Cwd     string
	// IncludeIgnored copies what git ignores, IncludeSecrets what looks like a
	// secret, too.
	IncludeIgnored bool
	IncludeSecrets bool
	// Home is the user's home directory, absolute: skills and keys are
	// looked for below it, and it is never copied as a whole.
	Home string
	// ForwardOAuthToken demands CLAUDE_CODE_OAUTH_TOKEN as the credential,
	// also when an API key is set.
	ForwardOAuthToken bool
	// RemoteControl passes --remote-control to claude.
	RemoteControl bool
	// Runtime and Image override the bottle file when they are not empty.
	Runtime RuntimePolicy
	Image   string
	// NoPull takes no image that is not on this host.
	NoPull bool
	// Limits are the bottle file's resources, resolved.
	Limits Limits
	// AllowVulnerableRunc accepts a runc below the floor.
	AllowVulnerableRunc bool
	// RawTerminal switches the escape filter off.
	RawTerminal bool
	// DryRun plans without the probe sandbox: an unknown runtime stays
	// unproved.
	DryRun bool
	// Discard throws the work away at the end instead of keeping it.
	Discard bool
	// Resume is the kept bottle that goes on, under Name; nil starts a new one.
	Resume *Work
	// Restart says that Resume may still run while this is planned: it has ended, and
	// the plan is made anew, before anything is launched.
	Restart bool
	// Declaration is for a bottle that is to be detached; nil declares nothing.
	Declaration *Declaration
	// ClaudeArgs follow claude's own options.
	ClaudeArgs []string
	// Lookup reads the host's environment.
	Lookup func(string) (string, bool)
}

// BottleName is the name that the bottle will have.
func (s Spec) BottleName() string {
	if s.Name != "" {
		return s.Name
	}
	if s.Manifest == nil {
		return ""
	}
	return s.Manifest.Agent.Name
}

// Manifest is what one agent's files say together: the agent file, the bottle
// file with everything it extends merged in, and the host's own demands.
type Manifest struct {
	Agent  AgentFile
	Bottle BottleFile
	Host   HostFile
	// Files are the files read, outermost last, each with its hash.
	Files []ManifestFile
	// FromProject says that the agent file lies in the repository that the
	// user stands in. Its hash must have been approved.
	FromProject bool
}

// ManifestFile is one file that was read.
type ManifestFile struct {
	Kind   string `json:"kind"` // agent, bottle, devcontainer, dockerfile, config
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
}

// AgentFile says who works in the bottle. The Markdown body of the file is the
// agent's system prompt.
type AgentFile struct {
	Name        string   `yaml:"-" json:"name"`
	Description string   `yaml:"description,omitempty" json:"description,omitempty" jsonschema:"description=One line shown by list and info."`
	Bottle      string   `yaml:"bottle,omitempty" json:"bottle,omitempty" jsonschema:"description=Name of the bottle file this agent runs in."`
	Skills      []string `yaml:"skills,omitempty" json:"skills,omitempty" jsonschema:"description=Names of skills below ~/.claude-bottle/skills or ~/.claude/skills."`
	Model       string   `yaml:"model,omitempty" json:"model,omitempty" jsonschema:"description=Model that claude is started with."`
	Prompt      string   `yaml:"-" json:"-"`
}

// BottleFile says what a bottle may do.
type BottleFile struct {
	Name    string  `yaml:"-" json:"name"`
	Extends string  `yaml:"extends,omitempty" json:"extends,omitempty" jsonschema:"description=Bottle file that this one adds to."`
	Image   string  `yaml:"image,omitempty" json:"image,omitempty" jsonschema:"description=Image reference; with @sha256:... it is pinned."`
	Recipe  *Recipe `yaml:"-" json:"recipe,omitempty"` // in place of Image
	// Dockerfile is in place of both.
	Dockerfile *Dockerfile `yaml:"-" json:"dockerfile,omitempty"`
	// Devcontainer is where Image or Dockerfile is from, if it is from such a file.
	Devcontainer *Devcontainer `yaml:"-" json:"devcontainer,omitempty"`

	Runtime   RuntimePolicy     `yaml:"runtime,omitempty" json:"runtime,omitempty" jsonschema:"enum=auto,enum=gvisor,enum=runc,description=OCI runtime: auto and gvisor refuse to run without gVisor. runc is the weaker one by explicit word."`
	Env       map[string]string `yaml:"env,omitempty" json:"-" jsonschema:"description=Variables inside: a literal or ${HOSTVAR} (forwarded) or ?prompt text (asked at launch)."`
	Egress    Egress            `yaml:"egress,omitempty" json:"egress"`
	Anthropic AnthropicFile     `yaml:"anthropic,omitempty" json:"anthropic"`
	SSH       []SSHEntry        `yaml:"ssh,omitempty" json:"ssh,omitempty"`
	Resources Resources         `yaml:"resources,omitempty" json:"resources"`
	Projects  []string          `yaml:"projects,omitempty" json:"projects,omitempty" jsonschema:"description=Directories whose own agent files may name this bottle."`
	Debug     bool              `yaml:"debug,omitempty" json:"debug,omitempty" jsonschema:"description=Gives ptrace and process_vm_* back to the agent."`

	Credentials []CredentialEntry `yaml:"credentials,omitempty" json:"credentials,omitempty" jsonschema:"description=HTTP services that the agent may use with secrets that stay on the host."`

	DLP DLPMode `yaml:"dlp,omitempty" json:"dlp,omitempty" jsonschema:"enum=warn,enum=block,description=Look for secrets in what leaves through the routes; warn tells of them and block refuses the request."`
}

// AnthropicFile is what the bottle file says of the Anthropic API.
type AnthropicFile struct {
	ServerTools []string `yaml:"serverTools,omitempty" json:"serverTools,omitempty" jsonschema:"description=What Anthropic's servers may fetch for the agent: web_search or web_fetch or code_execution or mcp or url or file."`
}

// SSHEntry is one host that the agent may reach over SSH.
type SSHEntry struct {
	Host         string `yaml:"host" json:"host" jsonschema:"required"`
	IdentityFile string `yaml:"identityFile" json:"identityFile" jsonschema:"required"`
	Hostname     string `yaml:"hostname,omitempty" json:"hostname,omitempty"`
	User         string `yaml:"user,omitempty" json:"user,omitempty"`
	Port         uint16 `yaml:"port,omitempty" json:"port,omitempty"`
	KnownHostKey string `yaml:"knownHostKey,omitempty" json:"knownHostKey,omitempty" jsonschema:"description=The host's public key as TYPE BASE64; without copy it is required."`
	Copy         bool   `yaml:"copy,omitempty" json:"copy,omitempty" jsonschema:"description=Copies the key into the bottle instead of signing with it outside."`
}

// Resources are the limits of one bottle as the file spells them. Sizes take
// the usual suffixes (512Mi, 4Gi); empty takes the default.
type Resources struct {
	Memory    string `yaml:"memory,omitempty" json:"memory,omitempty" jsonschema:"example=4Gi"`
	CPUs      string `yaml:"cpus,omitempty" json:"cpus,omitempty" jsonschema:"example=2,example=1.5"`
	Processes int64  `yaml:"processes,omitempty" json:"processes,omitempty"`
	OpenFiles int64  `yaml:"openFiles,omitempty" json:"openFiles,omitempty"`
	Tmp       string `yaml:"tmp,omitempty" json:"tmp,omitempty"`
}

// HostFile is /etc/claude-bottle/config.yaml: what the host demands of every
// bottle. No flag, file or variable weakens it.
type HostFile struct {
	RequireRuntime RuntimePolicy `yaml:"requireRuntime,omitempty" json:"requireRuntime,omitempty" jsonschema:"enum=gvisor,enum=runc"`
	// EngineIdle is how long the bundled engine goes on when nobody uses it, where
	// --engine-idle does not say so.
	EngineIdle string `yaml:"engineIdle,omitempty" json:"engineIdle,omitempty" jsonschema:"example=30m,example=0s"`
	// Users are the limits of users who are not root, by their names. default holds for
	// what is not said of a user.
	Users map[string]UserLimits `yaml:"users,omitempty" json:"users,omitempty" jsonschema:"description=Limits of the users of group claude-bottle by name; default is for all others."`
}

// UserLimits are what all bottles of one user that run may take together. What is not said
// is as under default, and there as the program has it.
type UserLimits struct {
	Bottles   int64           `yaml:"bottles,omitempty" json:"bottles,omitempty" jsonschema:"description=How many bottles may run at a time (default: 4)."`
	Memory    string          `yaml:"memory,omitempty" json:"memory,omitempty" jsonschema:"description=Memory of all together (default: 16Gi).,example=16Gi"`
	CPUs      string          `yaml:"cpus,omitempty" json:"cpus,omitempty" jsonschema:"description=Processor cores of all together (default: 8).,example=8"`
	Processes int64           `yaml:"processes,omitempty" json:"processes,omitempty" jsonschema:"description=Processes of all together (default: 4096)."`
	Runtimes  []RuntimePolicy `yaml:"runtimes,omitempty" json:"runtimes,omitempty" jsonschema:"description=OCI runtimes that a bottle may get: gvisor or runc (default: gvisor alone)."`
	Pull      *bool           `yaml:"pull,omitempty" json:"pull,omitempty" jsonschema:"description=Whether images are pulled that are not on this host (default: no)."`
}

// Quota is what all running bottles of a user may take together, resolved.
type Quota struct {
	Bottles  int64
	Limits   Limits // MemoryBytes, CPUMillis and Processes
	Runtimes []string
	Pull     bool
}
