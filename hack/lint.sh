#!/usr/bin/env bash
# Checks the format of the Go files and the modules, runs go vet, golangci-lint and govulncheck over them, shellcheck over
# the scripts, and systemd over its units. All checks run, and one that fails makes the whole fail. usage: hack/lint.sh
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
	mapfile -t found < <(find hack test .ci -type f -exec grep -lE '^#!.*[/ ]((ba)?sh|openrc-run)$' {} +)
	shellcheck "${found[@]}"
}

# units asks systemd whether it understands ours; the program need not be installed for that.
units() {
	local dir unit failed=0
	command -v systemd-analyze >/dev/null || {
		echo "no systemd-analyze here: units are not checked" >&2
		return 0
	}
	dir=$(mktemp -d)
	for unit in hack/systemd/*.service; do
		sed 's|^ExecStart=/usr/local/bin/claude-bottle |ExecStart=/bin/true |' "$unit" >"$dir/${unit##*/}"
		SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no "$dir/${unit##*/}" >"$dir/said" 2>&1 || failed=1
		grep -F "${unit##*/}" "$dir/said" >&2 && failed=1
	done
	rm -rf "$dir"
	return "$failed"
}

if [[ ! -x libexec/golangci-lint ]] || ! command -v shellcheck >/dev/null; then
	hack/setup.sh lint
fi
check gofmt format
check "go vet" go vet ./...
check golangci-lint libexec/golangci-lint run --allow-parallel-runners ./...
check "go mod verify" go mod verify
check "known vulnerabilities" hack/audit.sh imports
check shellcheck scripts
check "systemd units" units
exit "$failed"
