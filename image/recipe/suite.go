package recipe

import (
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
)

// suitePrefix is what from begins with when an image is made of Debian's own packages.
const suitePrefix = "debootstrap:"

// Suite is the suite of Debian's whose packages a recipe starts from; false when it
// starts from an image.
func Suite(from string) (string, bool) { return strings.CutPrefix(from, suitePrefix) }

// configureScript has dpkg configure what was unpacked only. base-passwd makes its files
// before it is unpacked, when dpkg unpacks it.
const configureScript = `
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true
for name in passwd group; do
	test -e "/etc/$name" || cp "/usr/share/base-passwd/$name.master" "/etc/$name"
done
dpkg --force-unsafe-io --configure -a
test -z "$(dpkg --audit)"
` + cleanScript

// configure is the step that makes a system of unpacked packages. What they run, runs
// here and nowhere else.
func configure() backend.BuildStep {
	return backend.BuildStep{
		Title: "configure Debian's packages", Inputs: hash("configure", configureScript),
		Argv: []string{"/bin/sh", "-e", "-u", "-c", configureScript},
	}
}
