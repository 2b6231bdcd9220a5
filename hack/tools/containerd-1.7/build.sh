#!/usr/bin/env bash
# Builds the containerd and the runc shim of the 1.7 line that go.mod beside this file pins, so that tests can run
# against it. It is never installed. usage: build.sh OUTPUT_DIRECTORY
#
# What bottles never use is left out, as in the containerd that is built beside it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

module=github.com/containerd/containerd
version=$(go list -m -f '{{.Version}}' "$module")
tags="osusergo netgo static_build no_cri no_aufs no_btrfs no_zfs no_devmapper no_tracing"

# build TAGS PACKAGE
build() {
	CGO_ENABLED=0 go build -trimpath -tags "$1" -ldflags "-s -w -X $module/version.Version=$version" -o "$output/" "$2"
}

output=$1/containerd-1.7
mkdir -p "$output"
build "$tags" "$module/cmd/containerd"
build "$tags no_grpc" "$module/cmd/containerd-shim-runc-v2"
