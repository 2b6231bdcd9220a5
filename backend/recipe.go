package backend

// Recipe says how an image is made: what it starts from, and what is put onto that,
// in this order: packages, npm, files, run. Each step runs in a bottle of its own.
type Recipe struct {
	From     string            `yaml:"from" json:"from" jsonschema:"required,description=Image reference that the recipe starts from; with @sha256:... it is pinned. debootstrap:SUITE makes one of the packages of Debian."`
	Packages []string          `yaml:"packages,omitempty" json:"packages,omitempty" jsonschema:"description=Debian packages that apt installs without what they recommend."`
	NPM      []RecipePackage   `yaml:"npm,omitempty" json:"npm,omitempty" jsonschema:"description=npm packages that need no others; each pinned by version and integrity."`
	Files    []RecipeFile      `yaml:"files,omitempty" json:"files,omitempty" jsonschema:"description=Files beside the recipe that are put into the image."`
	Run      []string          `yaml:"run,omitempty" json:"run,omitempty" jsonschema:"description=Shell commands; each one is a step of its own."`
	Env      map[string]string `yaml:"env,omitempty" json:"env,omitempty" jsonschema:"description=Variables of the steps; they stand in the image's configuration too. No secrets."`
	Egress   Egress            `yaml:"egress,omitempty" json:"egress" jsonschema:"description=What the steps of packages and run may reach. A recipe with packages reaches the preset debian besides."`
	// Directory is what the paths of files are relative to.
	Directory string `yaml:"-" json:"-"`
}

// RecipePackage is one npm package.
type RecipePackage struct {
	Package   string            `yaml:"package" json:"package" jsonschema:"required,description=name@version,example=@anthropic-ai/claude-code-linux-x64@2.1.330"`
	Integrity string            `yaml:"integrity" json:"integrity" jsonschema:"required,description=npm's own value: npm view PACKAGE@VERSION dist.integrity"`
	Bin       map[string]string `yaml:"bin,omitempty" json:"bin,omitempty" jsonschema:"description=Names in /usr/local/bin and the files of the package that they lead to; without it those that the package names."`
}

// RecipeFile is one file or directory that is put into the image.
type RecipeFile struct {
	From string `yaml:"from" json:"from" jsonschema:"required,description=Path below the directory of the recipe."`
	To   string `yaml:"to" json:"to" jsonschema:"required,description=Absolute path in the image."`
	Mode string `yaml:"mode,omitempty" json:"mode,omitempty" jsonschema:"description=Octal mode of the file; 0644 unless its owner may run it here.,example=0755"`
}

// BuiltImage is the name of the image that the recipe of a bottle makes. Nobody can pull
// it: the name is this host's.
func BuiltImage(bottle string) string { return "claude-bottle.localhost/" + bottle + ":latest" }
