package recipe

import _ "embed" // the recipe that ships

// shipped is the recipe of the default image.
//
//go:embed shipped/default.yaml
var shipped []byte

// Default is the recipe of the default image, as a file would hold it.
func Default() []byte { return shipped }
