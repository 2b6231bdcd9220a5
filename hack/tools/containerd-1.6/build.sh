#!/usr/bin/env bash
# Unpacks Debian 12's own containerd, the oldest one that this project supports, so that tests can run against it.
# It is never installed. usage: build.sh OUTPUT_DIRECTORY
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
(cd "$scratch" && apt-get download -qq -o APT::Sandbox::User=root containerd)
rm -rf "$1/containerd-1.6"
dpkg -x "$scratch"/containerd_*.deb "$1/containerd-1.6"
"$1/containerd-1.6/usr/bin/containerd" --version | grep -q ' 1\.6\.' || {
	echo "containerd-1.6/build.sh: apt's containerd is not 1.6: this needs the package sources of Debian 12" >&2
	exit 1
}
