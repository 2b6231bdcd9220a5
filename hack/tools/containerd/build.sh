#!/usr/bin/env bash
# Builds containerd, ctr and the runc shim of the version that go.mod beside this file pins.
# usage: build.sh OUTPUT_DIRECTORY
#
# Kubernetes' plugin (CRI) and the snapshotters for btrfs, ZFS and device mapper are left out: bottles use none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

module=github.com/containerd/containerd/v2
version=$(go list -m -f '{{.Version}}' "$module")
tags="osusergo netgo static_build urfave_cli_no_docs no_cri no_btrfs no_zfs no_devmapper no_tracing"

# build TAGS PACKAGE...
build() {
	CGO_ENABLED=0 go build -trimpath -tags "$1" -ldflags "-s -w -X $module/version.Version=$version" \
		-o "$output/" "${@:2}"
}

output=$1
build "$tags" "$module/cmd/containerd" "$module/cmd/ctr"
build "$tags no_grpc" "$module/cmd/containerd-shim-runc-v2"
