#!/usr/bin/env bash
# Starts, stops and describes a private containerd by hand: of another version, or apart from all others. The program
# starts one by itself where none answers (`claude-bottle engine`); this one goes on until it is stopped. It has its own
# root, state and socket, and shares nothing with a containerd or Docker already on the host.
#
# usage: hack/containerd.sh start|stop|status [--containerd BIN] [--root DIR] [--state DIR] [--address SOCKET]
#
#   start   does nothing when the socket answers already; else starts the daemon and waits until it answers
#   stop    ends the daemon (containers live on, as they do under any containerd: their shims hold them)
#   status  exit code 0 when the socket answers, 1 when it does not
#
# BIN may be another containerd of version 1.6 or later: the shim beside it is the one that it finds first.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
libexec=$repository/libexec
ctr=$libexec/ctr

# Seconds until a daemon that does not answer, or does not end, is given up.
start_limit=30
stop_limit=15

usage() {
	sed -n 's/^# usage: /usage: /p' "${BASH_SOURCE[0]}" >&2
	exit 2
}

fail() {
	echo "containerd.sh: $*" >&2
	exit 1
}

parse_arguments() {
	[[ $# -ge 1 ]] || usage
	verb=$1
	shift
	binary=$libexec/containerd
	root=/var/lib/claude-bottle/containerd
	state=/run/claude-bottle/containerd
	address=
	while [[ $# -gt 0 ]]; do
		[[ $# -ge 2 && -n $2 ]] || usage
		case $1 in
		--containerd) binary=$2 ;;
		--root) root=$2 ;;
		--state) state=$2 ;;
		--address) address=$2 ;;
		*) usage ;;
		esac
		shift 2
	done
	address=${address:-$state/containerd.sock}
	config=$state/config.toml
	pid_file=$state/containerd.pid
	log=$root/containerd.log
	local path
	for path in "$binary" "$root" "$state" "$address"; do
		[[ $path == /* ]] || fail "$path: give an absolute path"
	done
}

answers() {
	[[ -S $address ]] && timeout 5 "$ctr" --address "$address" --connect-timeout 2s version >/dev/null 2>&1
}

# daemon_pid prints the pid of the daemon that start wrote down, if that process is still this daemon.
daemon_pid() {
	local pid
	pid=$(cat "$pid_file" 2>/dev/null) || return 1
	tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qxF -- "$config" || return 1
	echo "$pid"
}

# write_config fills in the configuration that every private containerd of this project has.
write_config() {
	local text
	text=$(<"$repository/engine/containerd.toml")
	text=${text//@ROOT@/"$root"}
	text=${text//@STATE@/"$state"}
	echo "${text//@ADDRESS@/"$address"}" >"$config"
}

prepare_directories() {
	local directory
	for directory in "$root" "$state" "$(dirname "$address")"; do
		(umask 066 && mkdir -p "$directory")
	done
	# As containerd itself has them: the root of a user namespace must pass.
	chmod 0711 "$root" "$state"
}

# launch runs the daemon apart from this terminal. Its PATH starts with the shim beside its binary, then our runtimes.
launch() {
	local -a clean_environment=(env -i HOME=/root LANG=C.UTF-8)
	local path
	path=$(dirname "$binary"):$libexec:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	"${clean_environment[@]}" "PATH=$path" setsid "$binary" --config "$config" >>"$log" 2>&1 </dev/null 9>&- &
	daemon=$!
	echo "$daemon" >"$pid_file"
}

wait_until_it_answers() {
	local deadline=$((SECONDS + start_limit))
	until answers; do
		if ! kill -0 "$daemon" 2>/dev/null; then
			tail -n 5 "$log" >&2
			fail "the daemon ended at once; its log is $log"
		fi
		((SECONDS < deadline)) || fail "no answer on $address within $start_limit s; the log is $log"
		sleep 0.05
	done
	chmod 0600 "$address" "$address.ttrpc"
}

start() {
	[[ $EUID -eq 0 ]] || fail "be root to start containerd"
	[[ -x $ctr && -x $binary ]] || fail "$ctr or $binary is missing: run hack/setup.sh tools"
	prepare_directories
	exec 9>"$state/start.lock"
	flock 9
	if answers; then
		echo "containerd: answers on $address"
		return
	fi
	write_config
	launch
	wait_until_it_answers
	echo "containerd: started on $address, log $log"
}

stop() {
	local pid deadline=$((SECONDS + stop_limit))
	if ! pid=$(daemon_pid); then
		echo "containerd: not running on $address"
		return
	fi
	kill -TERM "$pid"
	while daemon_pid >/dev/null; do
		if ((SECONDS >= deadline)); then
			kill -KILL "$pid" || true
			break
		fi
		sleep 0.05
	done
	rm -f "$pid_file" "$address" "$address.ttrpc"
	echo "containerd: stopped on $address"
}

status() {
	if ! answers; then
		echo "containerd: no answer on $address"
		return 1
	fi
	"$ctr" --address "$address" version | sed -n '/^Server/,$s/^ *Version: */containerd: version /p' | head -n 1
	echo "containerd: address $address, root $root, state $state, log $log"
}

parse_arguments "$@"
case $verb in
start | stop | status) "$verb" ;;
*) usage ;;
esac
