#!/usr/bin/env bash
# Makes the images of this project as OCI archives in libexec/images/, each with its manifest's digest beside it:
#
#   default.tar  docker.io/claude-bottle/default:latest, Debian 12 with claude and the tools that it likes to have
#   test.tar     docker.io/claude-bottle/test:latest, busybox with a fake claude, for tests
#
# usage: hack/default-image.sh default|test
#
# With ARCH=arm64, or amd64, test.tar is made for that architecture on any machine, into libexec/ARCH/images. The default
# image is made on amd64, for amd64.
#
# The same Debian packages and the same pins give the same bytes. DEBIAN_MIRROR and DEBIAN_SECURITY_MIRROR name other
# mirrors than deb.debian.org.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
recipes=$repository/hack/image

# Every file that the build itself makes gets this time: 1 November 2026.
export SOURCE_DATE_EPOCH=1793491200

# Left out on purpose: build-essential (42 packages, 266 MB) and npm (351 packages, 107 MB). Who needs them names an
# image of their own in the bottle file.
debian_packages=(
	bash ca-certificates curl git jq less nodejs openssh-client patch perl procps python3 ripgrep unzip xz-utils
)

fail() {
	echo "default-image.sh: $*" >&2
	exit 1
}

# claude_binary fetches the pinned npm package, checks it and puts its binary at the given path.
claude_binary() {
	local target=$1 package version integrity wanted
	package=$(sed -n 's/^package=//p' "$recipes/claude.pin")
	version=$(sed -n 's/^version=//p' "$recipes/claude.pin")
	integrity=$(sed -n 's/^integrity=sha512-//p' "$recipes/claude.pin")
	mkdir "$scratch/npm"
	(cd "$scratch/npm" && npm pack --silent --cache "$scratch/npm-cache" "$package@$version" >/dev/null)
	wanted=$(base64 -d <<<"$integrity" | od -An -v -tx1 | tr -d ' \n')
	sha512sum --check --status <<<"$wanted  $(echo "$scratch"/npm/*.tgz)" ||
		fail "$package@$version is not what hack/image/claude.pin says: look at both before you change the pin"
	tar -xOzf "$scratch"/npm/*.tgz package/claude >"$target"
	chmod 0755 "$target"
	rm -r "$scratch/npm" "$scratch/npm-cache"
}

# debian_tar makes the lower layer of the default image: no manuals, no translations, no device files, and no
# setuid bits, which mean nothing under no_new_privs. Files that a bottle mounts over are left empty. The byte code of
# Debian's packaging helpers goes because it differs with the environment of who builds it.
# shellcheck disable=SC2016 # mmdebstrap expands $1 in its hooks
debian_tar() {
	local mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
	local security=${DEBIAN_SECURITY_MIRROR:-http://deb.debian.org/debian-security}
	local -a options=(
		--quiet --variant=apt --format=tar --skip=output/dev
		--include="$(IFS=, && echo "${debian_packages[*]}")"
		--aptopt='APT::Install-Recommends "false"'
		--dpkgopt=path-exclude='/usr/share/doc/*'
		--dpkgopt=path-include='/usr/share/doc/*/copyright'
		--dpkgopt=path-exclude='/usr/share/info/*'
		--dpkgopt=path-exclude='/usr/share/locale/*'
		--dpkgopt=path-exclude='/usr/share/man/*'
		--customize-hook='find "$1" -xdev -type f -perm /6000 -exec chmod a-s {} +'
		--customize-hook='rm -r "$1/usr/share/python3/debpython/__pycache__"'
		--customize-hook='cd "$1/etc" && for name in hostname hosts resolv.conf; do : >"$name"; chmod 0644 "$name"; done'
	)
	mmdebstrap "${options[@]}" bookworm "$1" \
		"deb $mirror bookworm main" \
		"deb $mirror bookworm-updates main" \
		"deb $security bookworm-security main"
}

# pack_tree makes a tar of the named paths of a directory, with nothing in it that depends on who packs it.
pack_tree() {
	local directory=$1 output=$2
	shift 2
	tar -C "$directory" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
		--format=gnu -cf "$output" "$@"
}

# claude_tar makes the upper layer: claude, and the directories that a bottle mounts over.
claude_tar() {
	local tree=$scratch/claude
	mkdir -p "$tree/usr/local/bin" "$tree/home/claude" "$tree/workspace"
	"$1" "$tree/usr/local/bin/claude"
	pack_tree "$tree" "$2" usr/local/bin/claude home/claude workspace
	rm -r "$tree"
}

fake_claude() {
	install -m 0755 "$recipes/fake-claude.sh" "$1"
}

# busybox_commands lists what busybox can do. One of another architecture can't be asked; Debian's configuration
# is the same everywhere, and so this machine's own speaks for it.
busybox_commands() {
	if [[ $ARCH == "$host" ]]; then
		"$scratch/deb/bin/busybox" --list
		return
	fi
	"$repository/hack/debian.sh" "$host" "$scratch/own" busybox-static
	"$scratch/own/bin/busybox" --list
}

# busybox_tar makes the lower layer of the test image: one static binary and a link for each of its commands.
busybox_tar() {
	local tree=$scratch/busybox command
	mkdir -p "$scratch/deb" "$tree"/{bin,dev,etc,proc,root,run,sys,tmp,usr/local/bin,var/tmp}
	if [[ $ARCH == "$host" ]]; then
		(cd "$scratch/deb" && apt-get download -qq -o APT::Sandbox::User=root busybox-static)
		dpkg -x "$scratch"/deb/busybox-static_*.deb "$scratch/deb"
	else
		"$repository/hack/debian.sh" "$ARCH" "$scratch/deb" busybox-static
	fi
	install -m 0755 "$scratch/deb/bin/busybox" "$tree/bin/busybox"
	for command in $(busybox_commands); do
		[[ $command == busybox ]] || ln -s busybox "$tree/bin/$command"
	done
	ln -s ../bin "$tree/usr/bin"
	mkdir "$tree/usr/lib"
	chmod 1777 "$tree/tmp" "$tree/var/tmp"
	echo 'root:x:0:0:root:/root:/bin/sh' >"$tree/etc/passwd"
	echo 'root:x:0:' >"$tree/etc/group"
	pack_tree "$tree" "$1" .
	rm -r "$tree" "$scratch/deb"
}

# pack puts two layers into an archive and writes its digest last: an archive without one is unfinished.
pack() {
	local name=$1 lower=$2 upper=$3 version=$4 digest
	rm -f "$images/$name.digest"
	digest=$(cd "$repository" && CGO_ENABLED=0 go run ./hack/ociarchive \
		--output "$images/$name.tar" \
		--name "docker.io/claude-bottle/$name:latest" \
		--architecture "$ARCH" \
		--created "$SOURCE_DATE_EPOCH" \
		--layer "$scratch/lower.tar:$lower" \
		--layer "$scratch/upper.tar:$upper" \
		--env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		--env LANG=C.UTF-8 \
		--command sh \
		--directory /workspace \
		--label "org.opencontainers.image.title=claude-bottle/$name" \
		--label "org.opencontainers.image.version=$version")
	echo "$digest" >"$images/$name.digest"
}

make_default() {
	debian_tar "$scratch/lower.tar"
	claude_tar claude_binary "$scratch/upper.tar"
	local version
	version=$(sed -n 's/^version=//p' "$recipes/claude.pin")
	pack default "Debian 12 by mmdebstrap" "claude $version from npm" "$version"
}

make_test() {
	busybox_tar "$scratch/lower.tar"
	claude_tar fake_claude "$scratch/upper.tar"
	pack test "busybox-static of Debian" "fake claude" 0.0.0
}

host=$(go env GOHOSTARCH)
ARCH=${ARCH:-$host}
images=$repository/libexec/images
[[ $ARCH == "$host" ]] || images=$repository/libexec/$ARCH/images
umask 022
mkdir -p "$images"
scratch=$(mktemp -d "$images/build.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
case ${1-} in
default)
	[[ $ARCH == amd64 && $host == amd64 ]] || fail "the default image is made on amd64, for amd64: hack/image/claude.pin names its claude; this is $host"
	make_default
	;;
test) make_test ;;
*) fail "usage: hack/default-image.sh default|test" ;;
esac
