#!/usr/bin/env bash
# Builds runc of the version that go.mod beside this file pins. usage: build.sh OUTPUT_DIRECTORY
#
# Needs a C compiler, pkg-config and libseccomp-dev. All libraries are linked in: it runs where there are none. Without
# the tag libpathrs runc resolves paths in Go.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

CGO_ENABLED=1 go build -trimpath -ldflags "-s -w -extldflags -static" -tags "seccomp osusergo netgo static_build urfave_cli_no_docs" \
	-o "$1/runc" github.com/opencontainers/runc
