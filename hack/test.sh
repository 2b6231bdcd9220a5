#!/usr/bin/env bash
# Runs one stage of tests and shows all that failed in it.
#
# usage: hack/test.sh unit|integration|e2e|chaos|soak|bench|recipe [GO TEST ARGUMENT...]
#
# The stages other than unit are the folders of that name below test/. They start daemons and bottles: their packages
# run one at a time, never from the cache. Everything else is unit, and runs with the race detector.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

heavy='/test/(integration|e2e|chaos|bench|soak|recipe)(/|$)'

# run_tests drops the lines about packages without tests, and keeps go's exit code.
run_tests() {
	go test "$@" | { grep -v '\[no test files\]$' || true; }
}

unit() {
	local -a packages
	mapfile -t packages < <(go list ./... | grep -vE "$heavy")
	run_tests -race -timeout 30m "$@" "${packages[@]}"
}

# folder STAGE TIMEOUT [ARGUMENT...]
folder() {
	if [[ ! -d test/$1 ]]; then
		echo "test.sh: there is no test/$1"
		return
	fi
	run_tests -p 1 -count=1 -timeout "$2" "${@:3}" "./test/$1/..."
}

stage=${1-}
[[ $# -eq 0 ]] || shift
echo "== $stage"
case $stage in
unit) unit "$@" ;;
integration | e2e) folder "$stage" 60m "$@" ;;
chaos | soak | bench | recipe) folder "$stage" 0 -v "$@" ;;
*)
	echo "usage: hack/test.sh unit|integration|e2e|chaos|soak|bench|recipe [GO TEST ARGUMENT...]" >&2
	exit 2
	;;
esac
