#!/bin/sh
# Runs after the package's files have gone: systemd reads its units anew.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
fi
