#!/usr/bin/env bash
# Unpacks packages of Debian 12, of any architecture, into a directory. Nothing is installed, and this host's own apt
# learns nothing of it: the lists lie in libexec/.debian/, and are fetched anew when they are a day old.
#
# usage: hack/debian.sh ARCHITECTURE DIRECTORY [--dependencies] PACKAGE...
#
# With --dependencies it is what these packages depend on that is unpacked, and not they themselves.
#
# DEBIAN_MIRROR and DEBIAN_SECURITY_MIRROR name other mirrors than deb.debian.org.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
keys=/usr/share/keyrings/debian-archive-keyring.gpg

[[ $# -ge 3 ]] || { sed -n 's/^# usage: /usage: /p' "${BASH_SOURCE[0]}" >&2; exit 2; }
architecture=$1
mkdir -p "$2"
directory=$(cd "$2" && pwd)
shift 2
dependencies=
if [[ $1 == --dependencies ]]; then
	dependencies=yes
	shift
fi

state=$repository/libexec/.debian/$architecture
mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
exec 9>"$state/lock"
flock 9
touch "$state/status"
cat >"$state/sources.new" <<SOURCES
deb [signed-by=$keys] ${DEBIAN_MIRROR:-http://deb.debian.org/debian} bookworm main
deb [signed-by=$keys] ${DEBIAN_SECURITY_MIRROR:-http://deb.debian.org/debian-security} bookworm-security main
SOURCES
# The lists are those of a mirror.
cmp -s "$state/sources.new" "$state/sources.list" || rm -f "$state/updated"
mv "$state/sources.new" "$state/sources.list"
cat >"$state/apt.conf" <<CONFIGURATION
APT::Architecture "$architecture";
APT::Architectures { "$architecture"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Dir::State "$state";
Dir::State::status "$state/status";
Dir::Cache "$state/cache";
Dir::Etc::SourceList "$state/sources.list";
Dir::Etc::SourceParts "/dev/null";
CONFIGURATION
export APT_CONFIG=$state/apt.conf

if [[ -z $(find "$state/updated" -mmin -1440 2>/dev/null) ]]; then
	apt-get update -qq
	touch "$state/updated"
fi
packages=("$@")
if [[ -n $dependencies ]]; then
	mapfile -t packages < <(apt-cache depends --no-pre-depends --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$@" |
		sed -n 's/^ *Depends: //p')
	[[ ${#packages[@]} -gt 0 ]] || { echo "debian.sh: $* depends on nothing" >&2; exit 1; }
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
(cd "$scratch" && apt-get download -qq "${packages[@]}")
for package in "$scratch"/*.deb; do
	dpkg-deb --extract "$package" "$directory"
done
