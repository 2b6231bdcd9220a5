#!/usr/bin/env bash
# Builds runc of the version that go.mod beside this file pins. usage: build.sh OUTPUT_DIRECTORY
#
# Needs a C compiler, pkg-config and libseccomp-dev; for another GOARCH than this machine's Debian's cross compiler, and
# its libseccomp is unpacked for the time of the build. All libraries are linked in: it runs where there are none. Without
# the tag libpathrs runc resolves paths in Go.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# cross_compile sets up cgo for a GOARCH that is not this machine's. The compiler is called by a script that knows the
# scratch directory: a flag with that name would go into the ID of the program, which then is another one each time.
cross_compile() {
	local triplet compiler
	case $GOARCH in
	amd64) triplet=x86_64-linux-gnu ;;
	arm64) triplet=aarch64-linux-gnu ;;
	*)
		echo "runc/build.sh: no C compiler is known for $GOARCH" >&2
		exit 1
		;;
	esac
	scratch=$(mktemp -d)
	trap 'rm -rf "$scratch"' EXIT
	../../debian.sh "$GOARCH" "$scratch" libseccomp-dev
	compiler=$(command -v "$triplet-gcc")
	mkdir "$scratch/bin"
	printf '#!/bin/sh\nexec %s -I%s "$@" -L%s\n' "$compiler" "$scratch/usr/include" "$scratch/usr/lib/$triplet" >"$scratch/bin/$triplet-gcc"
	chmod +x "$scratch/bin/$triplet-gcc"
	export CC=$triplet-gcc PATH=$scratch/bin:$PATH PKG_CONFIG_LIBDIR=$scratch/usr/lib/$triplet/pkgconfig
}

[[ $(go env GOARCH) == "$(go env GOHOSTARCH)" ]] || cross_compile
CGO_ENABLED=1 go build -trimpath -ldflags "-s -w -extldflags -static" -tags "seccomp osusergo netgo static_build urfave_cli_no_docs" \
	-o "$1/runc" github.com/opencontainers/runc
