#!/bin/sh
# Stands in for claude in the test image, so that a test needs no second to start it. It obeys these variables:
#
#   FAKE_CLAUDE_PRINT  words of: args (one a line, as [ARG]), env, cwd, id, size (rows and columns), stdin
#   FAKE_CLAUDE_RUN    a shell command to run
#   FAKE_CLAUDE_EXIT   the exit code; 0, or what FAKE_CLAUDE_RUN gave, when unset
set -u

if [ "${1-}" = --version ]; then
	echo "0.0.0 (fake claude)"
	exit 0
fi

code=0
for word in ${FAKE_CLAUDE_PRINT-}; do
	case $word in
	args) for argument in "$@"; do printf '[%s]\n' "$argument"; done ;;
	env) env ;;
	cwd) pwd ;;
	id) id ;;
	size) stty size ;;
	stdin) cat ;;
	*)
		echo "fake claude: FAKE_CLAUDE_PRINT has the unknown word $word" >&2
		exit 64
		;;
	esac
done
if [ -n "${FAKE_CLAUDE_RUN-}" ]; then
	sh -c "$FAKE_CLAUDE_RUN" || code=$?
fi
exit "${FAKE_CLAUDE_EXIT:-$code}"
