#!/usr/bin/env bash
# Runs a program of tests in namespaces of its own, as `go test -exec` calls it: it sees no process of other tests, has
# its own /dev/shm and TMPDIR, and all that it has started ends with it, however it ends.
#
# usage: hack/apart.sh PROGRAM [ARGUMENT...]
set -euo pipefail

# Short, for the paths of sockets are; and passed by the users of bottles, who own none of it.
directory=$(mktemp -d /tmp/cb.XXXX)
trap 'rm -rf --one-file-system "$directory"' EXIT
chmod 0711 "$directory"

# The shell stays: the first process of a namespace has to reap those whose parents are gone, which a test does not.
# shellcheck disable=SC2016 # it is the inner shell that expands them
TMPDIR=$directory unshare --mount --pid --fork --kill-child --mount-proc -- \
	sh -c 'mount -t tmpfs tmpfs /dev/shm && "$@"; exit $?' sh "$@"
