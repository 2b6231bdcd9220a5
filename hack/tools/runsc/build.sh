#!/usr/bin/env bash
# Builds runsc, gVisor's runtime, and its own shim containerd-shim-runsc-v1, of the version that go.mod beside this
# file pins. usage: build.sh OUTPUT_DIRECTORY
#
# Bottles run runsc under runc's shim; gVisor's own is for who asks for it by name. That shim gives up where it may
# not lower an oom_score_adj (no CAP_SYS_RESOURCE), which runc's shim takes as a warning. So does ours: one line
# is changed in a copy of the module that lives as long as the build (Go's -overlay refuses files of its module cache).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

module=gvisor.dev/gvisor
version=$(go list -m -f '{{.Version}}' "$module")

fatal='return "", fmt.Errorf("failed to set OOM Score on shim: %w", err)'
# Only at debug level: containerd takes whatever the starting shim prints for its address.
harmless='log.L.Debugf("failed to set OOM Score on shim: %v", err)'

# copy_with_harmless_line puts the changed module, and a go.mod that uses it, into the scratch directory.
copy_with_harmless_line() {
	local source changed=pkg/shim/v1/service.go
	source=$(go list -m -f '{{.Dir}}' "$module")
	if [[ $(grep -cF -- "$fatal" "$source/$changed") != 1 ]]; then
		echo "runsc/build.sh: the line to change is gone from gVisor's shim: see whether the change is still needed" >&2
		exit 1
	fi
	cp -R "$source" "$scratch/gvisor"
	chmod -R u+w "$scratch/gvisor"
	sed -i "s/$fatal/$harmless/" "$scratch/gvisor/$changed"
	cp go.mod go.sum "$scratch"
	go mod edit -replace "$module=./gvisor" "$scratch/go.mod"
}

output=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export CGO_ENABLED=0
go build -trimpath -ldflags "-s -w -X $module/runsc/version.version=${version#v}" -o "$output/runsc" "$module/runsc"
copy_with_harmless_line
go -C "$scratch" build -trimpath -ldflags "-s -w" -o "$output/containerd-shim-runsc-v1" "$module/shim"
