#!/usr/bin/env bash
# Builds golangci-lint of the version that go.mod beside this file pins. usage: build.sh OUTPUT_DIRECTORY
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

module=github.com/golangci/golangci-lint/v2
version=$(go list -m -f '{{.Version}}' "$module")
CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${version#v}" \
	-o "$1/golangci-lint" "$module/cmd/golangci-lint"
