package recipe

import (
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
)

// aptScript installs its arguments, and leaves nothing that the next build would
// write in another way. The methods of apt run as root, for a bottle has no second
// user to hand its network to; the files that dpkg writes need not be on the disk
// before they are packed.
const aptScript = `
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true
apt() { command apt-get -qq -o APT::Sandbox::User=root -o Acquire::Retries=3 -o Acquire::Languages=none -o APT::Install-Recommends=false -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-unsafe-io "$@"; }
apt update
apt install -y -- "$@"
apt clean
` + cleanScript

// cleanScript removes what the next build would write in another way.
const cleanScript = `rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/debconf/*-old /var/cache/ldconfig/aux-cache /var/log/apt /var/log/*.log /var/lib/dpkg/*-old /var/lib/systemd/catalog/database /etc/machine-id
rm -rf /usr/share/python3/debpython/__pycache__
`

// debian is the preset of the hosts that Debian's packages are at.
const debian = "debian"

// reach is what the commands of a recipe may reach.
func reach(recipe backend.Recipe) backend.Egress {
	egress := recipe.Egress
	if len(recipe.Packages) > 0 && !slices.Contains(egress.Presets, debian) {
		egress.Presets = append(slices.Clone(egress.Presets), debian)
	}
	return egress
}

// packages is the step that has apt install them.
func packages(recipe backend.Recipe) backend.BuildStep {
	return backend.BuildStep{
		Title:  "packages " + strings.Join(recipe.Packages, " "),
		Inputs: hash("packages", recipe.Packages, aptScript, reach(recipe)),
		Argv:   append([]string{"/bin/sh", "-e", "-u", "-c", aptScript, "packages"}, recipe.Packages...),
		Egress: reach(recipe),
	}
}
