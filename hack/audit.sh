#!/usr/bin/env bash
# Holds Go programs against Go's database of known vulnerabilities, as of the day that hack/tools/govulncheck/db/go.mod
# pins: the same tree gives the same answer, and a newer database is a change like any other.
#
# usage: hack/audit.sh imports [DIRECTORY]   no package that the module imports has one (a moment; part of `make lint`)
#        hack/audit.sh calls                 no function that is called has one, in the module's packages and in the
#                                            programs of libexec/ that a release holds (minutes)
#
# hack/accepted-vulnerabilities lists what is known and taken, each with a reason.
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
libexec=$repository/libexec
accepted=$repository/hack/accepted-vulnerabilities

# found REPORT prints what it lists. What is known of a Go that is not the one of go.mod, which could not be had, is the
# host's to mend: it is told, and not listed.
found() {
	local mended='s/^Vulnerability #[0-9]*: //p'
	[[ $GOTOOLCHAIN == local ]] || {
		sed -n "$mended" <<<"$1"
		return
	}
	echo "audit: this host's $(go env GOVERSION) is not held against the database" >&2
	awk '/^Vulnerability #/ { id = $3 } /^  Module: / { print id }' <<<"$1"
}

# scan WHAT ARGUMENT... runs govulncheck, and fails when it finds what is not accepted.
scan() {
	local what=$1 report list id code=0
	local -a news=()
	report=$("$libexec/govulncheck" -db "file://$database/data/osv" "${@:2}") || code=$?
	if ((code != 0 && code != 3)); then # 3 says that something was found
		echo "audit: $what: govulncheck failed" >&2
		return 1
	fi
	list=$(found "$report")
	if ((code == 3)) && [[ -z $list && $GOTOOLCHAIN != local ]]; then
		printf '%s\n' "$report" >&2
		echo "audit: $what: govulncheck has found something, and it can't be told what" >&2
		return 1
	fi
	for id in $list; do
		grep -q "^$id $what:" "$accepted" || news+=("$id")
	done
	if ((${#news[@]} > 0)); then
		printf '%s\n' "$report" >&2
		echo "audit: $what: update the module that has it, or accept it in hack/accepted-vulnerabilities for a reason: ${news[*]}" >&2
		return 1
	fi
	echo "audit: $what: nothing new"
}

GOTOOLCHAIN=$("$repository/hack/toolchain.sh")
export GOTOOLCHAIN
[[ -x $libexec/govulncheck ]] || "$repository/hack/setup.sh" audit
database=$(go -C "$repository/hack/tools/govulncheck/db" mod download -json golang.org/x/vulndb | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
failed=0
case ${1-} in
imports)
	scan "packages that are imported" -C "${2-$repository}" -scan package ./... || failed=1
	;;
calls)
	scan "functions that are called" -C "$repository" ./... || failed=1
	for program in containerd containerd-shim-runc-v2 ctr runc runsc containerd-shim-runsc-v1; do
		scan "$program" -mode binary "$libexec/$program" || failed=1
	done
	;;
*)
	echo "usage: hack/audit.sh imports [DIRECTORY] | calls" >&2
	exit 2
	;;
esac
exit "$failed"
