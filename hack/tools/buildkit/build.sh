#!/usr/bin/env bash
# Builds buildkitd and buildctl of the version that go.mod beside this file pins. usage: build.sh OUTPUT_DIRECTORY
#
# No C compiler is needed: both programs are static.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

module=github.com/moby/buildkit
version=$(go list -m -f '{{.Version}}' "$module")
mkdir -p "$1/buildkit"
for program in buildkitd buildctl; do
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X $module/version.Version=$version" -tags "osusergo netgo" \
		-o "$1/buildkit/$program" "$module/cmd/$program"
done
"$1/buildkit/buildctl" --version
