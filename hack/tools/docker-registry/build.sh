#!/usr/bin/env bash
# Unpacks the registry of Debian's docker-registry, so that tests can pull from a real one. The package is not
# installed: it would start a service. usage: build.sh OUTPUT_DIRECTORY
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
(cd "$scratch" && apt-get download -qq -o APT::Sandbox::User=root docker-registry)
dpkg -x "$scratch"/docker-registry_*.deb "$scratch/unpacked"
install -m 0755 "$scratch/unpacked/usr/bin/docker-registry" "$1/docker-registry"
"$1/docker-registry" --version
