#!/usr/bin/env bash
# Makes what a release is: an archive that runs where nothing is installed, a .deb, an .rpm, a bill of materials, and
# checksums. The same commit gives the same bytes. `make release` builds the programs first.
#
# usage: hack/release/release.sh all DIRECTORY        everything, into the directory
#        hack/release/release.sh programs DIRECTORY   only the programs, as they lie below a prefix: bin and libexec
#
# VERSION says which one it is; otherwise git does. ARCH=arm64, or amd64, says for which machines; otherwise it is for
# those like this one. What is there of the same version for another architecture stays, and is in the checksums.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
host=$(go env GOHOSTARCH)
architecture=${ARCH:-$host}
bin=$repository/bin
libexec=$repository/libexec
if [[ $architecture != "$host" ]]; then
	bin+=/$architecture
	libexec+=/$architecture
fi
tools=(containerd containerd-shim-runc-v2 runc runsc containerd-shim-runsc-v1)

say() { echo "release: $*"; }

fail() {
	echo "release.sh: $*" >&2
	exit 1
}

# programs DIRECTORY copies the programs and their parts.
programs() {
	local tool missing=
	for tool in "${tools[@]}"; do
		[[ -x $libexec/$tool ]] || missing+=" $libexec/$tool"
	done
	[[ -z $missing ]] || fail "there is no$missing: run ARCH=$architecture hack/setup.sh tools"
	install -D -m 0755 "$bin/claude-bottle" "$1/bin/claude-bottle"
	install -D -m 0755 -t "$1/libexec/claude-bottle" "$bin/bottle-init" "${tools[@]/#/$libexec/}"
}

# must_be_static DIRECTORY: a program that needs a library of the host is none that runs everywhere, nor is one for
# other machines.
must_be_static() {
	local program machine='X86-64'
	[[ $architecture != arm64 ]] || machine=AArch64
	for program in "$1"/bin/* "$1"/libexec/claude-bottle/*; do
		readelf --file-header "$program" | grep -q "Machine:.*$machine" || fail "${program##*/} is not for $architecture"
		if readelf --dynamic "$program" | grep -F NEEDED; then
			fail "${program##*/} needs libraries of the host"
		fi
	done
}

# services DIRECTORY PREFIX copies the units, with the place of the program in them.
services() {
	install -D -m 0644 "$repository/hack/systemd/claude-bottle-controller.service" "$1/lib/systemd/system/claude-bottle-controller.service"
	install -D -m 0755 "$repository/hack/openrc/claude-bottle-controller" "$1/share/claude-bottle/openrc/claude-bottle-controller"
	sed -i "s|/usr/local/bin/|$2/bin/|" "$1/lib/systemd/system/claude-bottle-controller.service" "$1/share/claude-bottle/openrc/claude-bottle-controller"
}

# manual DIRECTORY writes man pages and completions.
manual() {
	local program=$scratch/claude-bottle
	(cd "$repository" && CGO_ENABLED=0 go build -trimpath -o "$program" ./cmd/claude-bottle) # one that runs here
	mkdir -p "$1"/man/man1 "$1"/bash-completion/completions "$1"/zsh/site-functions "$1"/fish/vendor_completions.d
	(cd "$repository" && MANUAL=$1/man/man1 VERSION=$version go test -count=1 -run '^TestEveryVerbHasAManPage$' ./cmd/claude-bottle) >/dev/null
	gzip -9 --no-name "$1"/man/man1/*.1
	"$program" completion bash >"$1/bash-completion/completions/claude-bottle"
	"$program" completion zsh >"$1/zsh/site-functions/_claude-bottle"
	"$program" completion fish >"$1/fish/vendor_completions.d/claude-bottle.fish"
}

# materials STAGE SBOM says what the programs are made of.
materials() {
	(cd "$repository" && go run ./hack/materials -version "$version" -time "$SOURCE_DATE_EPOCH" -sbom "$2" \
		-notices "$1/share/doc/claude-bottle/THIRD-PARTY-NOTICES.txt" -with "Go=$(go env GOROOT)/LICENSE" \
		-with "rules of gitleaks=leaks/gitleaks.LICENSE" \
		-with "libseccomp (in runc)=/usr/share/doc/libseccomp-dev/copyright" \
		-with "GNU C library (in runc)=/usr/share/doc/libc6-dev/copyright" \
		"$1"/bin/* "$1"/libexec/claude-bottle/*)
}

# stage DIRECTORY PREFIX SBOM makes the tree that lies below the prefix.
stage() {
	programs "$1"
	must_be_static "$1"
	services "$1" "$2"
	manual "$1/share"
	install -D -m 0644 -t "$1/share/doc/claude-bottle" "$repository"/{LICENSE,README.md,CHANGELOG.md}
	install -D -m 0644 -t "$1/share/doc/claude-bottle/docs" "$repository"/docs/*.md
	materials "$1" "$3"
	clamp "$1"
}

# clamp DIRECTORY gives all files the time of the commit, and modes that hang on no umask.
clamp() {
	find "$1" -type d -exec chmod 0755 {} +
	find "$1" -type f -perm -u=x -exec chmod 0755 {} +
	find "$1" -type f ! -perm -u=x -exec chmod 0644 {} +
	find "$1" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
}

archive() {
	local name=claude-bottle_${version}_linux_$architecture
	say "$name.tar.gz"
	stage "$scratch/$name" /usr/local "$output/$name.sbom.json"
	tar --create --directory "$scratch" --sort=name --format=gnu --owner=0 --group=0 --numeric-owner "$name" |
		gzip --no-name >"$output/$name.tar.gz"
}

# packages makes .deb and .rpm of the same tree, but for the place in its units.
packages() {
	local name=claude-bottle_${version}_linux_$architecture kind
	cp -a "$scratch/$name" "$scratch/usr"
	services "$scratch/usr" /usr
	mv "$scratch/usr/share/claude-bottle/openrc" "$scratch/usr/share/doc/claude-bottle/openrc"
	mv "$scratch/usr/share/zsh/site-functions/_claude-bottle" "$scratch/_claude-bottle"
	rm -r "$scratch/usr/share/claude-bottle" "$scratch/usr/share/zsh"
	sed "s|@DATE@|$(LC_ALL=C date --utc --date "@$SOURCE_DATE_EPOCH" --rfc-email)|; s|@VERSION@|$package_version|" "$repository/hack/release/changelog" |
		gzip -9 --no-name >"$scratch/usr/share/doc/claude-bottle/changelog.gz"
	install -m 0644 "$repository/hack/release/copyright" "$scratch/usr/share/doc/claude-bottle/copyright"
	clamp "$scratch/usr"
	sed "s|@VERSION@|$package_version|; s|@ARCHITECTURE@|$architecture|; s|@TREE@|$scratch/usr|; s|@SCRATCH@|$scratch|; s|@HERE@|$repository/hack/release|" \
		"$repository/hack/release/nfpm.yaml" >"$scratch/nfpm.yaml"
	for kind in deb rpm; do
		say "claude-bottle_${version}_linux_$architecture.$kind"
		"$repository/libexec/nfpm" package --config "$scratch/nfpm.yaml" --packager "$kind" --target "$output/$name.$kind" >"$scratch/nfpm.log" 2>&1 || {
			cat "$scratch/nfpm.log" >&2
			fail "nfpm made no .$kind"
		}
	done
}

# numbered prints a version that packages can have: a tag's, or one below all tags.
numbered() {
	if [[ $1 =~ ^v?[0-9]+\. ]]; then
		echo "${1#v}" | sed 's/-/+/; s/-/./g'
	else
		echo "0.0.0+$(date --utc --date "@$SOURCE_DATE_EPOCH" +%Y%m%d).${1//-/.}"
	fi
}

all() {
	[[ -x $repository/libexec/nfpm ]] || fail "there is no libexec/nfpm: run hack/setup.sh release"
	version=${VERSION:-$(git -C "$repository" describe --tags --always --dirty)}
	SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$repository" log -1 --format=%ct)}
	export SOURCE_DATE_EPOCH TZ=UTC LC_ALL=C
	package_version=$(numbered "$version")
	mkdir -p "$1"
	output=$(cd "$1" && pwd)
	find "$output" -maxdepth 1 -name 'claude-bottle_*' ! -name "claude-bottle_${version}_linux_*" -delete
	rm -f "$output/claude-bottle_${version}_linux_$architecture".* "$output/SHA256SUMS"
	scratch=$(mktemp -d)
	trap 'rm -rf "$scratch"' EXIT
	archive
	packages
	(cd "$output" && sha256sum claude-bottle_* >SHA256SUMS)
	say "in $output:"
	(cd "$output" && ls -sh --block-size=M)
}

[[ $# -eq 2 ]] || { sed -n 's/^# usage: /usage: /p; s/^#  *hack/       hack/p' "${BASH_SOURCE[0]}" >&2; exit 2; }
case $1 in
all | programs) "$1" "$2" ;;
*) fail "usage: release.sh all|programs DIRECTORY" ;;
esac
