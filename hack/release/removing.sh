#!/bin/sh
# Runs before the package's files go: the controller ends, and no link to its unit stays, nor is it in a runlevel of
# OpenRC. Debian's dpkg says "remove" when it is no upgrade, rpm says 0.
set -e
case "${1-}" in
remove | 0) ;;
*) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
	systemctl stop claude-bottle-controller.service || true
	rm -f /run/claude-bottle.sock # its name is left by the controller, for the next one
fi
if [ -d /run/openrc ] && [ -e /etc/init.d/claude-bottle-controller ]; then
	rc-service --ifstarted claude-bottle-controller stop || true
	rc-update --quiet --all delete claude-bottle-controller || true # the script is the administrator's own copy
	rm -f /run/claude-bottle.sock
fi
if command -v systemctl >/dev/null; then
	systemctl --quiet disable claude-bottle-controller.service || true
fi
