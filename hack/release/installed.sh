#!/bin/sh
# Runs after the package's files have come: systemd reads its units anew, and a controller that is at work, also as a
# service of OpenRC, becomes the new one. Bottles live on meanwhile. Nothing is enabled or started that was not.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
	systemctl try-restart claude-bottle-controller.service || true
fi
if [ -d /run/openrc ] && [ -e /etc/init.d/claude-bottle-controller ]; then
	rc-service --ifstarted claude-bottle-controller restart || true
fi
