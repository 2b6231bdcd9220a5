#!/usr/bin/env bash
# Makes the root directory of a small Debian 12 with an init of its own, as a tar: systemd, or sysvinit with OpenRC.
# What boots a real machine is left out where hack/machine/boot.sh does it, or where it would reach the host: kernel
# settings, and file systems that are checked, mounted anew or mounted read-only.
#
# usage: hack/machine/root.sh systemd|openrc FILE
#
# DEBIAN_MIRROR and DEBIAN_SECURITY_MIRROR name other mirrors than deb.debian.org.
set -euo pipefail

mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
security=${DEBIAN_SECURITY_MIRROR:-http://deb.debian.org/debian-security}

# shellcheck disable=SC2016 # mmdebstrap expands $1 in its hooks
case ${1-} in
systemd)
	variant=apt # for apt-get, which an administrator upgrades and removes by
	packages=systemd,systemd-sysv,passwd
	hook='cd "$1/etc/systemd/system" && for unit in systemd-sysctl systemd-binfmt systemd-modules-load modprobe@ systemd-remount-fs \
		console-getty getty@; do ln -sf /dev/null "$unit.service"; done; rm -f timers.target.wants/*'
	;;
openrc)
	variant=essential
	packages=openrc,sysvinit-core,passwd
	# Whatever mounts, unmounts or makes read-only would do so with the file system of the host: it does nothing here.
	hook='cd "$1/etc" && rm runlevels/*/* && for script in init.d/*; do
			case $script in
			*/cgroups | */halt | */reboot | */rc | */rcS | */sendsigs | */functions.sh) ;;
			*) sed -i "/^### END INIT INFO/a exit 0" "$script" ;;
			esac
		done
		ln -s /etc/init.d/cgroups runlevels/sysinit/ && ln -s /etc/init.d/sendsigs runlevels/off/ && sed -i "/getty/d" inittab'
	;;
*)
	echo "usage: hack/machine/root.sh systemd|openrc FILE" >&2
	exit 2
	;;
esac
rm -f "$2"
mmdebstrap --quiet --variant="$variant" --format=tar --include="$packages" \
	--aptopt='APT::Install-Recommends "false"' \
	--dpkgopt=path-exclude='/usr/share/doc/*' --dpkgopt=path-include='/usr/share/doc/claude-bottle/*' \
	--dpkgopt=path-exclude='/usr/share/info/*' --dpkgopt=path-exclude='/usr/share/locale/*' --dpkgopt=path-exclude='/usr/share/man/*' \
	--customize-hook="$hook" \
	bookworm "$2.new" \
	"deb $mirror bookworm main" \
	"deb $mirror bookworm-updates main" \
	"deb $security bookworm-security main"
mv "$2.new" "$2"
