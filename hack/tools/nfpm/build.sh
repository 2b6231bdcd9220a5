#!/usr/bin/env bash
# Builds nfpm, which makes .deb and .rpm, of the version that go.mod beside this file pins. usage: build.sh OUTPUT_DIRECTORY
#
# 2.45 is the last line without packages for Windows, whose module not every Go module proxy has.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

module=github.com/goreleaser/nfpm/v2
version=$(go list -m -f '{{.Version}}' "$module")
CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${version#v}" -o "$1/nfpm" "$module/cmd/nfpm"
