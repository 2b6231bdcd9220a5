#!/usr/bin/env bash
# Unpacks packages of Debian 12, of any architecture, into a directory. Nothing is installed, and this host's own apt
# learns nothing of it: the lists lie in libexec/.debian/, and are fetched anew when they are a day old.
#
# usage: hack/debian.sh [--depends] ARCHITECTURE DIRECTORY PACKAGE...
#
# With --depends what the packages name as Depends is unpacked, too: a kernel's package is such a name.
# DEBIAN_MIRROR and DEBIAN_SECURITY_MIRROR name other mirrors than deb.debian.org.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
keys=/usr/share/keyrings/debian-archive-keyring.gpg

depends=
if [[ ${1-} == --depends ]]; then
	depends=yes
	shift
fi
[[ $# -ge 3 ]] || { sed -n 's/^# usage: /usage: /p' "${BASH_SOURCE[0]}" >&2; exit 2; }
architecture=$1
mkdir -p "$2"
directory=$(cd "$2" && pwd)
shift 2

state=$repository/libexec/.debian/$architecture
mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
exec 9>"$state/lock"
flock 9
touch "$state/status"
cat >"$state/sources.list" <<SOURCES
deb [signed-by=$keys] ${DEBIAN_MIRROR:-http://deb.debian.org/debian} bookworm main
deb [signed-by=$keys] ${DEBIAN_SECURITY_MIRROR:-http://deb.debian.org/debian-security} bookworm-security main
SOURCES
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
if [[ -n $depends ]]; then
	mapfile -t -O "${#packages[@]}" packages < <(apt-cache depends --important "$@" | sed -n 's/^ *Depends: //p')
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
(cd "$scratch" && apt-get download -qq "${packages[@]}")
for package in "$scratch"/*.deb; do
	dpkg-deb --extract "$package" "$directory"
done
