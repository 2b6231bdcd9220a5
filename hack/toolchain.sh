#!/usr/bin/env bash
# Says which Go builds here, as a value of GOTOOLCHAIN: auto, that is the one that go.mod names under toolchain or a newer
# one, also where the host's default is to take its own (GOTOOLCHAIN=local, as images of Go have it). Where that one can't
# be had it is local, with a warning. Who names a version by GOTOOLCHAIN=go1.N.M has it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case ${GOTOOLCHAIN-} in
"" | local) ;;
*)
	echo "$GOTOOLCHAIN"
	exit
	;;
esac
for _ in 1 2; do
	if said=$(GOTOOLCHAIN=auto go version 2>&1); then
		echo auto
		exit
	fi
done
echo "toolchain.sh: $(sed -n 's/^toolchain //p' go.mod) can't be had, this host's Go builds instead: ${said##*$'\n'}" >&2
echo local
