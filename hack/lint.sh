#!/usr/bin/env bash
# Checks the format of the Go files, runs go vet and golangci-lint over them, and shellcheck over the scripts. All
# checks run, and one that fails makes the whole fail. usage: hack/lint.sh
# shellcheck disable=SC2317 # checks are called by name
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

failed=0

# check NAME COMMAND... runs one check and remembers that it failed.
check() {
	echo "== lint: $1"
	"${@:2}" || failed=1
}

format() {
	local unformatted
	unformatted=$(find . -name '*.go' -not -path './libexec/*' -not -path './.git/*' -exec gofmt -l {} +)
	[[ -z $unformatted ]] || {
		printf 'not formatted, run gofmt -w on:\n%s\n' "$unformatted" >&2
		return 1
	}
}

scripts() {
	local -a found
	mapfile -t found < <(find hack test .ci -type f -exec grep -lE '^#!.*[/ ](ba)?sh$' {} +)
	shellcheck "${found[@]}"
}

if [[ ! -x libexec/golangci-lint ]] || ! command -v shellcheck >/dev/null; then
	hack/setup.sh lint
fi
check gofmt format
check "go vet" go vet ./...
check golangci-lint libexec/golangci-lint run ./...
check shellcheck scripts
exit "$failed"
