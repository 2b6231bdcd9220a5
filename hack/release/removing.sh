#!/bin/sh
# Runs before the package's files go: the controller ends, and no link to its unit stays. Debian's dpkg says "remove"
# when it is no upgrade, rpm says 0.
set -e
case "${1-}" in
remove | 0) ;;
*) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
	systemctl stop claude-bottle-controller.service || true
	rm -f /run/claude-bottle.sock # its name is left by the controller, for the next one
fi
if command -v systemctl >/dev/null; then
	systemctl --quiet disable claude-bottle-controller.service || true
fi
