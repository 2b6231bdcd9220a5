#!/bin/sh
# What the release does in the emulated machine, as its root: each step says what it is, and the first one that is not as
# it must be ends the story. All of it is proved when the last line says so.
set -u

image=docker.io/claude-bottle/test:latest

step() { echo "== $(cut -d ' ' -f 1 /proc/uptime) s: $*"; }

fail() {
	echo "story: $*"
	exit 1
}

# must COMMAND... runs a command, which has to end with 0.
must() { "$@" || fail "$*: exit code $?"; }

# says WANTED COMMAND... runs a command, which has to end with 0 and say that.
says() {
	wanted=$1
	shift
	said=$("$@" 2>&1) || fail "$*: exit code $?: $said"
	case $said in
	*"$wanted"*) echo "$wanted" ;;
	*) fail "$*: it says $said, and not $wanted" ;;
	esac
}

# told COMMAND has claude run it in bottles from now on.
told() {
	mkdir -p "$HOME/.claude-bottle/bottles" "$HOME/.claude-bottle/agents"
	printf -- '---\nbottle: default\n---\n' >"$HOME/.claude-bottle/agents/tester.md"
	printf -- '---\nimage: %s\nenv:\n  FAKE_CLAUDE_RUN: |\n    %s\n---\n' "$image" "$1" >"$HOME/.claude-bottle/bottles/default.md"
}

# programs are run one by one, as they lie in the archive.
programs() {
	[ "$(uname -m)" = aarch64 ] || fail "this is $(uname -m)"
	must claude-bottle version
	for program in runsc runc containerd; do
		must "/usr/local/libexec/claude-bottle/$program" --version
	done
	must /usr/local/libexec/claude-bottle/containerd-shim-runc-v2 -v
}

# fake_api has claude's requests answered in this machine, where there is no network.
fake_api() {
	/test/fake-anthropic --listen 127.0.0.1:0 --address-file /tmp/address >/tmp/fake.log 2>&1 &
	until [ -s /tmp/address ]; do usleep 50000; done
	ANTHROPIC_BASE_URL=http://$(cat /tmp/address)
	export ANTHROPIC_BASE_URL ANTHROPIC_API_KEY=sk-ant-fake-key-for-the-emulated-machine
}

# session RUNTIME is one life with a client: claude's exit code, its work, and where it has run.
session() {
	told 'uname -m; cat /proc/version; echo wish >made; exit 7'
	said=$(claude-bottle start tester --yes --timings --runtime "$1" 2>&1)
	code=$?
	echo "$said"
	[ "$code" -eq 7 ] || fail "exit code $code, and not 7"
	kernel=$(echo "$said" | grep '^Linux version') || fail "no kernel"
	case $1:$kernel in
	gvisor:"Linux version 4.4.0 "* | runc:"$(cat /proc/version)") ;;
	*) fail "$1 shows the kernel $kernel" ;;
	esac
	must claude-bottle wait tester --for=condition=Finished
	work=$(claude-bottle list -o name)
	says wish claude-bottle cp "$work:/workspace/made" -
	must claude-bottle rm --discard "$work"
}

# reaches RUNTIME has claude ask the API, through the neck: a bottle has no other way out.
reaches() {
	# shellcheck disable=SC2016 # it is expanded in the bottle
	told 'wget -qO- --header "x-api-key: $ANTHROPIC_API_KEY" --header "content-type: application/json" --post-data "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"a wish\"}]}" "$ANTHROPIC_BASE_URL/v1/messages"; echo; ip -o link'
	says 'You said: a wish' claude-bottle start tester --yes --quiet --discard --runtime "$1"
	[ "$(echo "$said" | grep -c '^[0-9]*: ')" -eq 1 ] || fail "there are other network cards than lo: $said"
}

# attacked RUNTIME has the attack try what must be refused.
attacked() {
	told './attack calls; ./attack identity'
	said=$(claude-bottle start tester --yes --cwd --quiet --discard --runtime "$1") || fail "the attack: exit code $?: $said"
	attempts=$(echo "$said" | grep '^[a-z].*: ' | grep -vc '^ids: ')
	echo "$attempts attempts, refused"
	[ "$attempts" -gt 40 ] || fail "these are few: $said"
	if echo "$said" | grep ': done$'; then
		fail "these were let through"
	fi
	for word in '1 Seccomp 2' 'self Seccomp 2' 'self no_new_privs 1' 'self CapEff 0000000000000000'; do
		echo "$said" | grep -xF "$word" || fail "the attack does not say $word: $said"
	done
}

# alive RUNTIME is a life without a client: a terminal, commands beside claude, files in, an end.
alive() {
	told 'tty; stty size; exec sleep 3600'
	must claude-bottle start tester --yes --detach --runtime "$1"
	must claude-bottle wait tester --for=condition=Ready
	says WISH claude-bottle exec tester -- sh -c 'echo wish | tr a-z A-Z'
	must claude-bottle cp /story tester:/workspace/story
	says 'the whole story' claude-bottle exec tester -i -- sh -c 'cmp -s story - && echo the whole story' </story
	must claude-bottle top --no-stream
	says /dev/pts/ claude-bottle logs tester
	must claude-bottle stop tester
	must claude-bottle rm --discard "$(claude-bottle list -o name)"
}

# ours lists what still runs of the release.
ours() {
	for process in /proc/[0-9]*; do
		case $(readlink "$process/exe") in
		/usr/local/*) tr '\0' ' ' <"$process/cmdline" && echo ;;
		esac
	done
}

# gone WORD waits until nothing of the release runs that has this word on its command line.
gone() {
	for _ in $(seq 180); do
		left=$(ours | grep -F -- "$1")
		[ -n "$left" ] || return 0
		sleep 1
	done
	fail "these are left: $left"
}

# nothing_left looks for what bottles have left. The controller ends by itself once it has nothing left to do, which it
# sees while the engine answers.
nothing_left() {
	left=$(claude-bottle list -o name) || fail "list: exit code $?"
	[ -z "$left" ] || fail "there is still $left"
	says 'Nothing to clean up' claude-bottle cleanup --dry-run
	gone ' controller '
	must claude-bottle engine stop
	gone ''
	if grep -E 'claude-bottle|overlay' /proc/mounts; then
		fail "mounts are left"
	fi
}

# old_programs shows that this kernel runs programs of 32-bit ARM: that bottles run none is then no deed of the kernel's.
old_programs() {
	mkdir -m 0777 /tmp/old
	cd /tmp/old || fail "no directory"
	echo 'nobody:x:65534:65534::/:/bin/sh' >>/etc/passwd
	says 'exit: done' su -s /bin/sh nobody -c '/test/attack compat'
}

step programs
programs
old_programs
fake_api
told true
step image
must claude-bottle image import /test/test.tar
says '"platform": "linux/arm64"' claude-bottle image inspect "$image"
step doctor
must claude-bottle doctor --quick --image "$image"
mkdir /root/project
cd /root/project || fail "no project"
cp /test/attack .
for runtime in gvisor runc; do
	for part in session reaches attacked alive; do
		step "$runtime: $part"
		"$part" "$runtime"
	done
done
step "nothing left"
nothing_left
step end
echo "story: all of it held"
