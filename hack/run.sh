#!/usr/bin/env bash
# Tries claude-bottle on this machine, from nothing: sets up, builds, makes sure of a containerd and
# of the default image, and starts the agent "claude" in a bottle. usage: hack/run.sh (as root)
#
# With neither ANTHROPIC_API_KEY nor CLAUDE_CODE_OAUTH_TOKEN in the environment, claude talks to a fake of the API on
# this machine, so that the tour costs nothing and needs no network. AGENT names another agent.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

image=docker.io/claude-bottle/default:latest
namespace=${CONTAINERD_NAMESPACE:-claude-bottle}
agent=${AGENT:-claude}

# Seconds until a fake API that does not say its address is given up.
fake_limit=10

say() { echo "run: $*"; }

fail() {
	echo "run.sh: $*" >&2
	exit 1
}

# control runs ctr, and keeps what it complains about for when that matters.
control() {
	libexec/ctr --address "$address" --connect-timeout 2s --namespace "$namespace" "$@" 2>"$scratch/ctr.log"
}

# choose_containerd takes the host's containerd if one answers, else the engine that the program brings along.
choose_containerd() {
	address=${CONTAINERD_ADDRESS:-/run/containerd/containerd.sock}
	if [[ -S $address ]] && control version >/dev/null; then
		say "containerd answers on $address"
		return
	fi
	[[ -z ${CONTAINERD_ADDRESS-} ]] || fail "no containerd answers on $address, which CONTAINERD_ADDRESS names"
	address=$(bin/claude-bottle engine start)
}

# import_image imports by the client's own code (--local), which every containerd from 1.6 on understands.
import_image() {
	local wanted
	wanted=$(<libexec/images/default.digest)
	if control images list "name==$image" | grep -qF "$wanted"; then
		say "image $image: up to date"
		return
	fi
	say "image $image: importing"
	control images import --local libexec/images/default.tar >/dev/null || {
		cat "$scratch/ctr.log" >&2
		fail "the import of libexec/images/default.tar into $address failed"
	}
}

make_agent() {
	if ! compgen -G "$HOME/.claude-bottle/agents/*.md" >/dev/null; then
		bin/claude-bottle init
	fi
}

# start_fake_api starts the fake and points the agent to it.
start_fake_api() {
	local address_file=$scratch/address deadline=$((SECONDS + fake_limit))
	bin/fake-anthropic --listen 127.0.0.1:0 --address-file "$address_file" >"$scratch/fake.log" 2>&1 &
	fake=$!
	until [[ -s $address_file ]]; do
		if ! kill -0 "$fake" 2>/dev/null || ((SECONDS >= deadline)); then
			cat "$scratch/fake.log" >&2
			fail "bin/fake-anthropic does not say where it listens"
		fi
		sleep 0.05
	done
	ANTHROPIC_BASE_URL=http://$(<"$address_file")
	export ANTHROPIC_BASE_URL ANTHROPIC_API_KEY=sk-ant-fake-key-for-the-offline-tour
	say "no ANTHROPIC_API_KEY and no CLAUDE_CODE_OAUTH_TOKEN: claude talks to a fake API on $ANTHROPIC_BASE_URL"
}

clean_up() {
	[[ -z ${fake-} ]] || kill "$fake" 2>/dev/null || true
	rm -rf "$scratch"
}

start_agent() {
	if [[ -t 0 && -t 1 ]]; then
		bin/claude-bottle start "$agent" --yes
	else
		bin/claude-bottle start "$agent" --yes -- -p "Say hello from inside the bottle"
	fi
}

[[ $EUID -eq 0 ]] || fail "be root: containerd and containers need it"
scratch=$(mktemp -d)
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 143' TERM
hack/setup.sh tools image
make build
choose_containerd
import_image
make_agent
if [[ -z ${ANTHROPIC_API_KEY-} && -z ${CLAUDE_CODE_OAUTH_TOKEN-} ]]; then
	start_fake_api
fi
start_agent
