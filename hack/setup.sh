#!/usr/bin/env bash
# Makes ready what building, testing and running claude-bottle needs, on Debian 12 with Go: packages, then tools and
# images in libexec/. What is there and up to date is left alone, so a second run takes a moment.
#
# usage: [ARCH=arm64] hack/setup.sh [all|tools|image|ssh|disk|audit|lint|release|buildkit|emulator|services]...
#
#   tools  runc, containerd with ctr and its shim, runsc with its shim, and for tests containerd 1.7,
#          built as the newer one is, and Debian's 1.6 and docker-registry
#   image  the archives of the default image and of the test image
#   ssh    sshd, which tests start on ports of their own
#   disk   mkfs.xfs, for a file system whose files can share content, and strace, which sees when what is synced
#   audit  govulncheck, and Go's database of known vulnerabilities
#   lint   golangci-lint and shellcheck, and what audit has
#   all    everything so far (the default)
#   release  nfpm, for `make release`
#   buildkit  buildkitd and buildctl, for `make dockerfile`
#   emulator  qemu, and Debian's kernel for arm64, for `make emulated`
#   services  the roots of machines with systemd and with OpenRC, for `make services`
#
# ARCH=arm64, or amd64, on a machine of the other kind: what a release holds of tools, and the test image, are made for
# that architecture, in libexec/ARCH.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { echo "setup: $*"; }

fail() {
	echo "setup.sh: $*" >&2
	exit 1
}

# installed PACKAGE... succeeds when dpkg has every one of them.
installed() {
	local states
	states=$(dpkg-query -W -f '${db:Status-Abbrev}\n' "$@" 2>/dev/null) || return 1
	! grep -qv '^.i' <<<"$states"
}

# update_package_lists asks the mirrors, at most once a run.
update_package_lists() {
	[[ -z ${lists_updated-} ]] || return 0
	say "apt-get update"
	apt-get update -qq
	lists_updated=yes
}

# want_package_lists serves `apt-get download` where there are no lists at all, as in a fresh container.
want_package_lists() {
	compgen -G '/var/lib/apt/lists/*Packages*' >/dev/null || update_package_lists
}

# want_packages WHY PACKAGE... installs what is missing.
want_packages() {
	local why=$1
	shift
	if installed "$@"; then
		say "packages for $why: installed"
		return
	fi
	[[ $EUID -eq 0 ]] || fail "packages are missing for $why: run this as root, or install: $*"
	update_package_lists
	say "packages for $why: installing $*"
	if ! DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" \
		</dev/null >"$libexec/apt.log" 2>&1; then
		tail -n 20 "$libexec/apt.log" >&2
		fail "packages for $why: apt-get failed; its log is $libexec/apt.log"
	fi
	rm -f "$libexec/apt.log"
}

# want_npm is apart because npm often comes from elsewhere than Debian.
want_npm() {
	command -v npm >/dev/null || want_packages "fetching claude" npm
}

# recipe_of PATH... prints one hash of all that goes into a thing: the files below the paths, and Go's version.
recipe_of() {
	(cd "$repository" && find "$@" -type f ! -name '*_test.go' -print0 | sort -z | xargs -0 sha256sum && echo "$go_version") |
		sha256sum | cut -d ' ' -f 1
}

# make_unless_current NAME OUTPUT RECIPE_PATHS -- COMMAND... runs the command unless OUTPUT exists in libexec/ and its
# stamp says that it came from the very recipe. RECIPE_PATHS is one word, split at spaces.
make_unless_current() {
	local name=$1 output=$libexec/$2 recipe log=$libexec/$1.log started=$SECONDS
	local -a paths
	read -r -a paths <<<"$3"
	shift 4
	recipe=$(recipe_of "${paths[@]}")
	if [[ -e $output && $(cat "$stamps/$name" 2>/dev/null) == "$recipe" ]]; then
		say "$name: up to date"
		return
	fi
	say "$name: building"
	rm -f "$stamps/$name"
	if ! "$@" >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		fail "$name: the build failed; its log is $log"
	fi
	rm -f "$log"
	echo "$recipe" >"$stamps/$name"
	say "$name: built in $((SECONDS - started)) s"
}

# make_tool NAME OUTPUT builds one tool by its folder in hack/tools.
make_tool() {
	make_unless_current "$1" "$2" "hack/tools/$1" -- env GOARCH="$ARCH" "$repository/hack/tools/$1/build.sh" "$libexec"
}

# setup_foreign_tools builds what a release for another architecture holds.
setup_foreign_tools() {
	local compiler=gcc-x86-64-linux-gnu
	[[ $ARCH != arm64 ]] || compiler="gcc-aarch64-linux-gnu"
	want_packages "building tools for $ARCH" ca-certificates debian-archive-keyring git libc6-dev libseccomp-dev make pkg-config \
		"$compiler" "libc6-dev-$ARCH-cross"
	make_tool runc runc
	make_tool containerd containerd
	make_tool runsc runsc
}

setup_tools() {
	if [[ $ARCH != "$host" ]]; then
		setup_foreign_tools
		return
	fi
	want_packages "building tools" ca-certificates gcc git libc6-dev libseccomp-dev make pkg-config
	make_tool runc runc
	make_tool containerd containerd
	make_tool containerd-1.7 containerd-1.7/containerd
	make_tool runsc runsc
	want_package_lists
	make_tool containerd-1.6 containerd-1.6/usr/bin/containerd
	make_tool docker-registry docker-registry
}

setup_image() {
	local recipe="hack/default-image.sh hack/image hack/ociarchive"
	if [[ $ARCH != "$host" ]]; then
		make_unless_current image-test images/test.digest "$recipe hack/debian.sh" -- env ARCH="$ARCH" "$repository/hack/default-image.sh" test
		return
	fi
	want_packages "making images" ca-certificates mmdebstrap
	want_npm
	want_package_lists
	make_unless_current image-test images/test.digest "$recipe" -- "$repository/hack/default-image.sh" test
	make_unless_current image-default images/default.digest "$recipe" -- "$repository/hack/default-image.sh" default
}

setup_ssh() {
	if installed openssh-server; then
		say "packages for testing SSH: installed"
		return
	fi
	want_packages "testing SSH" openssh-server
	# Its program alone is wanted: no service that listens from now on.
	[[ ! -d /run/systemd/system ]] || systemctl disable --quiet --now ssh
}

setup_disk() {
	want_packages "testing what reaches the disk" strace xfsprogs
}

setup_lint() {
	want_packages "linting scripts" shellcheck
	make_tool golangci-lint golangci-lint
	setup_audit
}

setup_audit() {
	make_tool govulncheck govulncheck
}

# nfpm runs here, whatever the packages are for.
setup_release() {
	local ARCH=$host libexec=$repository/libexec stamps=$repository/libexec/.stamps
	make_tool nfpm nfpm
}

setup_buildkit() {
	make_tool buildkit buildkit/buildkitd
}

# The kernel is that of Debian's images for clouds: the smallest one that has all that bottles need.
setup_emulator() {
	[[ $ARCH == arm64 ]] || fail "ARCH=$ARCH: the emulated machine is one for arm64"
	want_packages "emulating arm64" ca-certificates cpio debian-archive-keyring e2fsprogs kmod qemu-system-arm
	make_unless_current kernel kernel/boot "hack/debian.sh" -- unpack_kernel linux-image-cloud-arm64
}

# unpack_kernel PACKAGE unpacks the kernel that a package of no content stands for, with the list of what its modules need.
unpack_kernel() {
	rm -rf "$libexec/kernel"
	"$repository/hack/debian.sh" "$ARCH" "$libexec/kernel" --dependencies "$1"
	depmod --basedir "$libexec/kernel" "$(basename "$libexec"/kernel/lib/modules/*)"
}

setup_services() {
	local init
	want_packages "making machines" ca-certificates mmdebstrap
	mkdir -p "$libexec/machines"
	for init in systemd openrc; do
		make_unless_current "machine-$init" "machines/$init.tar" hack/machine/root.sh -- \
			"$repository/hack/machine/root.sh" "$init" "$libexec/machines/$init.tar"
	done
}

command -v go >/dev/null || fail "go is not on PATH: install the Go version that go.mod names"
GOTOOLCHAIN=$("$repository/hack/toolchain.sh")
export GOTOOLCHAIN
go_version=$(cd "$repository" && go env GOVERSION)
host=$(go env GOHOSTARCH)
ARCH=${ARCH:-$host}
libexec=$repository/libexec
case $ARCH in
"$host") ;;
amd64 | arm64) libexec+=/$ARCH ;;
*) fail "ARCH=$ARCH: a release is for amd64 or for arm64" ;;
esac
stamps=$libexec/.stamps
mkdir -p "$stamps" "$libexec/images" "$repository/libexec/.stamps"
exec 9>"$repository/libexec/.lock"
flock --nonblock 9 || {
	say "waiting for another set-up"
	flock 9
}

[[ $# -gt 0 ]] || set -- all
for part in "$@"; do
	[[ $ARCH == "$host" || $part =~ ^(tools|image|release|emulator)$ ]] || fail "$part is made for $host alone, not for ARCH=$ARCH"
	case $part in
	all)
		setup_tools
		setup_image
		setup_ssh
		setup_disk
		setup_lint
		;;
	tools | image | ssh | disk | audit | lint | release | buildkit | emulator | services) "setup_$part" ;;
	*) fail "usage: hack/setup.sh [all|tools|image|ssh|disk|audit|lint|release|buildkit|emulator|services]..." ;;
	esac
done
