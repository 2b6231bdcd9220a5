#!/usr/bin/env bash
# Runs every fuzz target of the module for the given number of seconds, one after the other, and goes on after one
# that found something. usage: hack/fuzz.sh SECONDS
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:?usage: hack/fuzz.sh SECONDS}
failed=0
targets=$(find . -name '*_test.go' -not -path './libexec/*' -exec grep -HoE '^func Fuzz[A-Za-z0-9_]*' {} + | sort) || true
while IFS=: read -r file function; do
	[[ -n $file ]] || continue
	echo "== fuzz: ${function#func } in $(dirname "$file") for $seconds s"
	go test -run '^$' -fuzz "^${function#func }\$" -fuzztime "${seconds}s" "$(dirname "$file")" || failed=1
done <<<"$targets"
exit "$failed"
