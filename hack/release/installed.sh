#!/bin/sh
# Runs after the package's files have come: systemd reads its units anew, and a controller that is at work becomes the
# new one. Bottles live on meanwhile. Nothing is enabled or started that was not.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
	systemctl try-restart claude-bottle-controller.service || true
fi
