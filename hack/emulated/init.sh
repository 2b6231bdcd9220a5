#!/bin/sh
# The first process of the emulated machine: from the initial ramfs, whose root no container runtime can pivot away from, to
# the disk. There it mounts what every system has, tells the story, and switches the machine off.
set -u
export PATH=/usr/local/bin:/bin HOME=/root LANG=C.UTF-8

if [ "${1-}" != moved ]; then
	mkdir /disk
	mount -t devtmpfs dev /dev
	for module in /modules/*; do insmod "$module"; done
	for _ in $(seq 100); do # the kernel looks at devices on the side
		[ ! -b /dev/vda ] || break
		usleep 100000
	done
	mount -t ext4 /dev/vda /disk
	mount --move /dev /disk/dev
	exec switch_root -c /dev/console /disk /init moved
fi

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
# shellcheck disable=SC3045 # busybox has it
ulimit -n 65536
sh /story </dev/null 2>&1 | cat # which makes it no terminal
sync
poweroff -f
