#!/usr/bin/env bash
# Runs every fuzz target of the module whose name matches, for the given number of seconds, one after the other, and goes
# on after one that found something. usage: hack/fuzz.sh SECONDS [REGULAR EXPRESSION]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:?usage: hack/fuzz.sh SECONDS [REGULAR EXPRESSION]}
pattern=${2-.}
failed=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT

# only_late says that a target failed for nothing but the end of its time. Before Go 1.27 a worker that is busy at that
# moment is reported so (go.dev/issue/75804); a real find writes its input below testdata/.
only_late() {
	! grep -q 'Failing input written' "$output" &&
		[[ $(grep -A1 -- '^--- FAIL' "$output" | tail -n 1) =~ ^[[:space:]]*context\ deadline\ exceeded$ ]]
}

targets=$(find . -name '*_test.go' -not -path './libexec/*' -exec grep -HoE '^func Fuzz[A-Za-z0-9_]*' {} + | sort) || true
while IFS=: read -r file function; do
	[[ -n $file && ${function#func } =~ $pattern ]] || continue
	echo "== fuzz: ${function#func } in $(dirname "$file") for $seconds s"
	go test -run '^$' -fuzz "^${function#func }\$" -fuzztime "${seconds}s" "$(dirname "$file")" |& tee "$output" || only_late || failed=1
done <<<"$targets"
exit "$failed"
