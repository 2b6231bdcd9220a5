#!/usr/bin/env bash
# Says which Go builds here, as a value of GOTOOLCHAIN: auto, that is the one that go.mod names under toolchain or a newer
# one, wherever the host's default is to take its own. Where that one can't be had it is local, with a warning.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if said=$(GOTOOLCHAIN=auto go version 2>&1); then
	echo auto
	exit
fi
echo "toolchain.sh: $(sed -n 's/^toolchain //p' go.mod) can't be had, this host's Go builds instead: ${said##*$'\n'}" >&2
echo local
