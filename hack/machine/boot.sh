#!/usr/bin/env bash
# Boots the init of a root directory as a machine: it is the first process of namespaces of its own, with cgroups, /dev
# and /run of its own, and no network but a loopback. One that is powered off leaves nothing but its root. When standard
# input ends, or a signal comes, the machine is as if its plug were pulled, and its root goes with it. Standard output has
# the pid of the init as this host knows it; the terminal that standard error is becomes /dev/console.
#
# usage: hack/machine/boot.sh ROOT NAME
#
# NAME is that of its cgroups, in each hierarchy of this host. A process that writes itself into NAME/login of each is
# where those of a login are.
set -euo pipefail

# hierarchies prints where the cgroups of this host are.
hierarchies() {
	awk '/ - cgroup2? / { print $5 }' /proc/self/mountinfo | sort -u
}

# join makes the cgroups, and takes the calling process into them.
join() {
	local mountpoint file controller
	for mountpoint in $(hierarchies); do
		for controller in cpu memory pids; do
			if grep -qw "$controller" "$mountpoint/cgroup.controllers" 2>/dev/null; then
				echo "+$controller" >"$mountpoint/cgroup.subtree_control" || true # it is on, or never will be
			fi
		done
		mkdir -p "$mountpoint/$name/login"
		for file in cpuset.cpus cpuset.mems; do
			[[ ! -e $mountpoint/tasks || ! -e $mountpoint/$file ]] || for cgroup in "$name" "$name/login"; do
				cat "$mountpoint/$file" >"$mountpoint/$cgroup/$file"
			done
		done
		echo 0 >"$mountpoint/$name/cgroup.procs"
	done
}

# bind_cgroups lets the machine see its own cgroups, where init systems look for them.
bind_cgroups() {
	local mountpoint place
	if [[ -e /sys/fs/cgroup/cgroup.procs ]]; then
		mount --bind "/sys/fs/cgroup/$name" sys/fs/cgroup
		return
	fi
	mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
	for mountpoint in $(hierarchies); do
		place=sys/fs/cgroup/${mountpoint##*/}
		mkdir "$place"
		mount --bind "$mountpoint/$name" "$place"
	done
}

# devices makes what programs expect in /dev, and nothing that is hardware.
devices() {
	local device file major minor
	mount -t tmpfs -o mode=755 tmpfs dev
	mkdir dev/pts dev/shm
	mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
	mount -t tmpfs -o mode=1777 tmpfs dev/shm
	for device in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
		IFS=: read -r file major minor <<<"$device"
		mknod -m 0666 "dev/$file" c "$major" "$minor"
	done
	ln -s pts/ptmx dev/ptmx
	ln -s /proc/self/fd dev/fd
	: >dev/console
	mount --bind "$(readlink /proc/self/fd/2)" dev/console
}

# inside furnishes the root directory, and becomes its init.
inside() {
	local pid _
	read -r pid _ </proc/self/stat # this host's /proc knows it by its pid here
	mount --make-rprivate /
	mount --bind "$root" "$root"
	cd "$root"
	mount -t proc proc proc
	mount -t sysfs -o ro sysfs sys
	mount -t tmpfs -o mode=755 tmpfs run
	devices
	bind_cgroups
	# Settings of the kernel are those of this host, but for the network's. A second, whole /proc is there because the
	# kernel lets a user namespace mount one only where it sees a whole one.
	mkdir -p opt/proc
	mount -t proc proc opt/proc
	mount --bind proc/sys proc/sys
	mount -o remount,bind,ro proc/sys
	mount --bind opt/proc/sys/net proc/sys/net
	pivot_root . .
	umount -l .
	echo "$pid"
	exec env -i container=machine TERM=dumb PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		chroot . /sbin/init </dev/null >/dev/console 2>&1
}

# clear ends what is left, and removes the cgroups once the last process has gone.
clear() {
	local mountpoint
	kill -0 "$machine" 2>/dev/null || root=
	kill -KILL "$machine" "$input" 2>/dev/null || true
	wait
	for mountpoint in $(hierarchies); do
		until [[ ! -e $mountpoint/$name ]] || find "$mountpoint/$name" -depth -type d -exec rmdir {} + 2>/dev/null; do
			sleep 0.05
		done
	done
	[[ -z $root ]] || rm -rf --one-file-system "$root"
}

if [[ ${1-} == --first ]]; then
	root=$2 name=$3
	join
	exec unshare --cgroup -- "$0" --inside "$root" "$name"
elif [[ ${1-} == --inside ]]; then
	root=$2 name=$3
	inside
fi
[[ $# -eq 2 ]] || { sed -n 's/^# usage: /usage: /p' "${BASH_SOURCE[0]}" >&2; exit 2; }
root=$(cd "$1" && pwd)
name=$2
exec 3<&0
unshare --mount --pid --fork --kill-child --uts --ipc --net -- "$0" --first "$root" "$name" 3<&- &
machine=$!
cat <&3 >/dev/null &
input=$!
trap clear EXIT
trap 'exit 1' INT TERM HUP
wait -n || true
