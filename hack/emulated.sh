#!/usr/bin/env bash
# Runs the release for arm64 in an emulated machine: Debian's kernel for arm64, busybox, and what the archive holds. In it
# bottles are started under gVisor and runc with a stand-in for claude, and an attack tries what must be refused
# (hack/emulated/story.sh). It proves that the programs, the fence and the seccomp profiles do on arm64 what they should.
# It proves nothing of speed, of a real claude, and of the real processors' own faults.
#
# usage: hack/emulated.sh [ARCHIVE]   (as root; otherwise it takes dist/claude-bottle_*_linux_arm64.tar.gz)
#
# `make emulated` makes the archive and what else is needed. CPU names another processor than qemu's "max", as
# cortex-a72; qemu-system-aarch64 -M virt -cpu help lists them.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# What the machine has. Under emulation all of it takes a few minutes.
processor=${CPU:-max,pauth-impdef=on}
memory=2048 # MiB
disk=4G
limit=30m # of a busy host

say() { echo "emulated: $*"; }

fail() {
	echo "emulated.sh: $*" >&2
	exit 1
}

# the_archive prints the one release that there is.
the_archive() {
	local -a found
	mapfile -t found < <(compgen -G "$repository/dist/claude-bottle_*_linux_arm64.tar.gz")
	[[ ${#found[@]} -eq 1 ]] || fail "there are ${#found[@]} archives for arm64 in dist: run make release ARCH=arm64, or name one"
	echo "${found[0]}"
}

# userland DIRECTORY puts busybox there, with a link for each of its commands: the lower layer of the test image.
userland() {
	local layer
	mkdir "$scratch/image"
	tar -C "$scratch/image" -xf "$libexec/images/test.tar"
	for layer in "$scratch"/image/blobs/sha256/*; do
		if tar -tf "$layer" 2>/dev/null | grep -E '^(\./)?bin/busybox$' >/dev/null; then
			tar -C "$1" -xf "$layer"
			return
		fi
	done
	fail "there is no busybox in $libexec/images/test.tar"
}

# make_disk makes the file system that the machine lives on.
make_disk() {
	local tree=$scratch/tree
	mkdir "$tree"
	userland "$tree"
	install -m 0755 "$repository/hack/emulated/init.sh" "$tree/init"
	install -m 0755 "$repository/hack/emulated/story.sh" "$tree/story"
	tar -xzf "$1" --no-same-owner --strip-components=1 -C "$tree/usr/local"
	mkdir "$tree/test"
	cp "$libexec/images/test.tar" "$bin/fake-anthropic" "$tree/test"
	(cd "$repository" && CGO_ENABLED=0 GOARCH=arm64 go build -trimpath -ldflags "-s -w" -o "$tree/test/attack" ./test/attack)
	truncate --size "$disk" "$scratch/disk"
	mke2fs -q -t ext4 -d "$tree" "$scratch/disk"
}

# make_ramfs makes what is there before the disk: busybox, and the modules in the order in which they need each other.
make_ramfs() {
	local tree=$scratch/ramfs version path name number=10
	version=$(basename "$libexec"/kernel/lib/modules/*)
	mkdir -p "$tree/modules" "$tree/dev"
	cp -a "$scratch/tree/bin" "$tree/bin"
	cp "$scratch/tree/init" "$tree/init"
	for name in virtio_pci virtio_blk overlay; do
		modprobe --dirname "$libexec/kernel" --set-version "$version" --show-depends "$name"
	done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' >"$scratch/modules"
	while read -r path; do
		cp "$path" "$tree/modules/$((number++)).ko"
	done <"$scratch/modules"
	(cd "$tree" && find . | cpio --quiet --create --format=newc) >"$scratch/initrd"
}

[[ $EUID -eq 0 ]] || fail "be root: the files on the machine's disk have to be root's"
[[ $# -le 1 ]] || { sed -n 's/^# usage: /usage: /p' "${BASH_SOURCE[0]}" >&2; exit 2; }
bin=$repository/bin libexec=$repository/libexec
if [[ $(go env GOHOSTARCH) != arm64 ]]; then
	bin+=/arm64
	libexec+=/arm64
fi
archive=${1:-$(the_archive)}
for needed in "$archive" "$bin/fake-anthropic" "$libexec/images/test.tar" "$libexec/kernel/boot"; do
	[[ -e $needed ]] || fail "there is no $needed: run make emulated"
done
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
say "making a disk of ${archive##*/}"
make_disk "$archive"
make_ramfs
say "starting a machine with the processor $processor"
# It ends itself, and is no machine that starts again.
timeout "$limit" qemu-system-aarch64 -M virt -cpu "$processor" -accel tcg,thread=multi -smp 2 -m "$memory" \
	-kernel "$libexec"/kernel/boot/vmlinuz-* -initrd "$scratch/initrd" -append "console=ttyAMA0 quiet panic=-1" \
	-drive "file=$scratch/disk,format=raw,if=virtio,cache=unsafe" -nic none -display none -serial stdio -monitor none -no-reboot </dev/null 2>&1 |
	sed -u 's/\r$//' | tee "$scratch/console" || fail "the machine did not end within $limit"
grep -qx 'story: all of it held' "$scratch/console" || fail "not all of it held"
say "all of it held"
