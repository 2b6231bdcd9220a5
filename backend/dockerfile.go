package backend

// Dockerfile says what BuildKit makes an image of. Paths in a bottle file may be relative
// to its directory; they are absolute once it is loaded.
type Dockerfile struct {
	// Within is the directory that a foreign file was found to stay in with both paths, which
	// lead through no link then; "" for the user's own word.
	Within  string            `yaml:"-" json:"-"`
	File    string            `yaml:"dockerfile" json:"dockerfile" jsonschema:"required,description=Path of the Dockerfile: absolute or below ~/ or relative to the directory of this file."`
	Context string            `yaml:"context,omitempty" json:"context,omitempty" jsonschema:"description=Directory that COPY takes files of; the Dockerfile's own by default."`
	Target  string            `yaml:"target,omitempty" json:"target,omitempty" jsonschema:"description=Stage of the Dockerfile that is built; the last one by default."`
	Args    map[string]string `yaml:"args,omitempty" json:"args,omitempty" jsonschema:"description=Values of its ARGs. No secrets."`
}

// Builds says that the bottle's image is made on this host, and not named.
func (b BottleFile) Builds() bool { return b.Recipe != nil || b.Dockerfile != nil }

// MakesImage says that something else than a reference stands where a bottle file names its
// image.
func (b BottleFile) MakesImage() bool { return b.Builds() || b.Devcontainer != nil }
