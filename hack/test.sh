#!/usr/bin/env bash
# Runs one stage of tests and shows all that failed in it.
#
# usage: hack/test.sh unit|integration|e2e|bottles|dockerfile|recipe|services|chaos|soak|bench [GO TEST ARGUMENT...]
#
# The stages other than unit are the folders of that name below test/. They start daemons and bottles, and never come
# from the cache. Without arguments the tests of integration and e2e (bottles is both) are dealt out in shares, and as
# many shares run at a time as there are cores, four at most: they wait more than they work, and see nothing of each
# other. Everything else is unit, and runs with the race detector.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
repository=$PWD

heavy='/test/(integration|e2e|dockerfile|recipe|services|chaos|bench|soak)(/|$)'

# run_tests drops the lines about packages without tests, and keeps go's exit code.
run_tests() {
	go test "$@" | { grep --line-buffered -v '\[no test files\]$' || true; }
}

unit() {
	local -a packages
	mapfile -t packages < <(go list ./... | grep -vE "$heavy")
	run_tests -race -timeout 30m "$@" "${packages[@]}"
}

# folder STAGE TIMEOUT [ARGUMENT...]
folder() {
	run_tests -p 1 -count=1 -timeout "$2" "${@:3}" "./test/$1/..."
}

# deal STAGE... runs all tests of these stages in shares.
deal() {
	local stage cores
	programs=$(mktemp -d)
	trap 'rm -rf "$programs"' EXIT
	for stage; do
		go test -c -o "$programs/$stage" "./test/$stage"
	done
	cores=$(nproc)
	for stage; do
		(cd "test/$stage" && "$programs/$stage" -test.list . | xargs -n 10 echo "$programs/$stage")
	done | xargs -L 1 -P $((cores < 4 ? cores : 4)) "$repository/hack/test.sh" share
}

# share PROGRAM TEST... runs these tests.
share() {
	local stage started=$SECONDS
	stage=$(basename "$1")
	[[ $# -gt 1 ]] || {
		echo "FAIL $stage: it has no tests"
		exit 1
	}
	cd "test/$stage"
	"$repository/hack/apart.sh" "$1" -test.timeout 60m -test.run "^($(IFS='|' && echo "${*:2}"))\$" || {
		echo "FAIL $stage: a share of $(($# - 1)) tests, after $((SECONDS - started)) s"
		exit 1
	}
	echo "ok   $stage: a share of $(($# - 1)) tests, in $((SECONDS - started)) s"
}

stage=${1-}
[[ $# -eq 0 ]] || shift
if [[ $stage == share ]]; then
	share "$@"
	exit
fi
echo "== $stage"
case $stage in
unit) unit "$@" ;;
bottles) deal e2e integration ;;
integration | e2e)
	if [[ $# -eq 0 ]]; then
		deal "$stage"
	else
		folder "$stage" 60m -exec "$repository/hack/apart.sh" "$@"
	fi
	;;
dockerfile | services) folder "$stage" 60m "$@" ;;
chaos | soak | bench | recipe) folder "$stage" 0 -v "$@" ;;
*)
	echo "usage: hack/test.sh unit|integration|e2e|bottles|dockerfile|recipe|services|chaos|soak|bench [GO TEST ARGUMENT...]" >&2
	exit 2
	;;
esac
