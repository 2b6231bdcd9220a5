#!/usr/bin/env bash
# Builds govulncheck of the version that go.mod beside this file pins, and gets the database of the day that db/go.mod
# pins. usage: build.sh OUTPUT_DIRECTORY
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$1/govulncheck" golang.org/x/vuln/cmd/govulncheck
go -C db mod download golang.org/x/vulndb
