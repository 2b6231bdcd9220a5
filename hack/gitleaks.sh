#!/usr/bin/env bash
# Takes gitleaks' rule file and its licence over from a release of its Go module: the rules alone, none of its code.
# usage: hack/gitleaks.sh VERSION, such as v8.30.1
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=${1:?usage: hack/gitleaks.sh VERSION}
dir=$(cd / && go mod download -json "github.com/zricethezav/gitleaks/v8@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
[[ -d $dir ]] || { echo "gitleaks $version has no directory in the module cache" >&2; exit 1; }
install -m 0644 "$dir/config/gitleaks.toml" leaks/gitleaks.toml
install -m 0644 "$dir/LICENSE" leaks/gitleaks.LICENSE
go test ./leaks
