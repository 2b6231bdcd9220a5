package fetch

// fetchScript runs in the bottle, or in a helper of it, with the agent's own git:
// whatever the repository makes git do happens there. It reads names of objects
// that the host has, one a line, to the end of its input. It prints a listing, for
// readListing, and then a pack. What is not committed becomes a commit of its own.
// The repository stays as it was: new objects, and the index that names them, lie
// in a directory of the script's own.
//
// Its argument is how packs may be made: --thin, or nothing.
const fetchScript = `set -eu
export LC_ALL=C GIT_OPTIONAL_LOCKS=0 GIT_TERMINAL_PROMPT=0 GIT_NO_REPLACE_OBJECTS=1 GIT_NO_LAZY_FETCH=1
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES || :
g() { git -c core.checkStat=default -c core.fsmonitor=false -c core.hooksPath=/dev/null -c core.untrackedCache=false -c gc.auto=0 -c core.pager=cat "$@"; }
# present takes back what the index says of files that stayed on the host, where there
# are files of those names by now: git would pass over them.
present() {
	g ls-files -t -z | xargs -0 sh -c 'for entry; do case $entry in "S "*) name=${entry#S }; if [ -e "$name" ] || [ -h "$name" ]; then printf "%s\\0" "$name"; fi ;; esac; done' sh |
		g update-index -z --no-skip-worktree --stdin
}
fresh() {
	[ ! -f "$index" ] || cp -p "$index" "$scratch/index"
	present
}
# state takes all that can be read: 1 says that something could not.
state() {
	code=0
	fresh
	g add -A --ignore-errors >&2 || code=$?
	[ "$code" -le 1 ] && g write-tree --missing-ok
}
# raw takes files as they are: a filter fails, or its program is not here.
raw() (
	number=0
	g config --name-only --get-regexp '^filter\.' >"$scratch/filters" || :
	while IFS= read -r name; do
		value=
		case $name in *.required) value=false ;; esac
		export "GIT_CONFIG_KEY_$number=$name" "GIT_CONFIG_VALUE_$number=$value"
		number=$((number + 1))
	done <"$scratch/filters"
	export GIT_CONFIG_COUNT=$number
	state
)
work=$PWD
command -v git >/dev/null || { echo "this image has no git" >&2; exit 69; }
directory=$(g rev-parse --git-dir) || exit 66
case $directory in /*) ;; *) directory=$work/$directory ;; esac
bare=$(g rev-parse --is-bare-repository)
objects=$(g rev-parse --git-path objects)
case $objects in /*) ;; *) objects=$work/$objects ;; esac
index=$(g rev-parse --git-path index)
scratch=$(mktemp -d "$HOME/.claude-bottle-fetch.XXXXXX" 2>/dev/null || mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 70' HUP INT TERM PIPE
mkdir "$scratch/objects"
cat >"$scratch/haves"
export GIT_GRAFT_FILE="$scratch/none"
export GIT_OBJECT_DIRECTORY="$scratch/objects" GIT_ALTERNATE_OBJECT_DIRECTORIES="$objects"
echo "claude-bottle 1"
echo "format $(g rev-parse --show-object-format)"
head=$(g rev-parse -q --verify 'HEAD^{commit}' || :)
branch=$(g symbolic-ref -q HEAD || :)
[ -z "$head" ] || echo "head $head ${branch:--}"
[ "$(g rev-parse --is-shallow-repository)" != true ] || echo shallow
uncommitted=
if [ "$bare" = false ]; then
	export GIT_INDEX_FILE="$scratch/index" GIT_DIR="$directory" GIT_WORK_TREE="$work"
	tree=$(state) || tree=$(raw)
	before=$(g rev-parse -q --verify 'HEAD^{tree}' || g hash-object -t tree /dev/null)
	if [ "$tree" != "$before" ]; then
		uncommitted=$(echo "What was not committed" |
			GIT_AUTHOR_NAME=claude-bottle GIT_AUTHOR_EMAIL=claude-bottle@localhost GIT_COMMITTER_NAME=claude-bottle GIT_COMMITTER_EMAIL=claude-bottle@localhost \
				g -c i18n.commitEncoding=UTF-8 commit-tree --no-gpg-sign "$tree" ${head:+-p "$head"})
		echo "uncommitted $uncommitted"
	fi
	unset GIT_INDEX_FILE GIT_DIR GIT_WORK_TREE
fi
g for-each-ref --format='%(objectname) %(refname)' refs/heads refs/tags refs/notes >"$scratch/refs"
sed 's/^/ref /' "$scratch/refs"
stashes=
if g rev-parse -q --verify refs/stash >/dev/null; then
	stashes=$(g log -g --format=%H refs/stash | head -n 100)
	number=0
	for stash in $stashes; do
		echo "stash $number $stash"
		number=$((number + 1))
	done
fi
echo end
{
	sed 's/ .*//' "$scratch/refs"
	for name in $head $uncommitted $stashes; do echo "$name"; done
	g cat-file --batch-check='%(objectname) %(objecttype)' <"$scratch/haves" | sed -n -e 's/^\([0-9a-f]*\) commit$/^\1/p' -e 's/^\([0-9a-f]*\) tag$/^\1/p'
} | sort -u >"$scratch/revisions"
g -c pack.packSizeLimit=0 pack-objects --revs --stdout --delta-base-offset --progress "$@" <"$scratch/revisions"
`
