# What every part of tests/servers uses: places, messages, the lock, ports, waiting.

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/tidemill
LOGS=$CACHE/logs
RUN=$CACHE/runs/${TIDEMILL_TEST_RUN:-$(printf %s "$ROOT" | cksum | cut -d' ' -f1)}
PASSWORD=tidemill

say() { echo "servers: $*" >&2; }
die() { say "$*"; exit 1; }

# The kinds named, or all of them; a wrong name ends the script.
chosen() {
  local kind
  for kind in "$@"; do [[ " ${KINDS[*]} " == *" $kind "* ]] || die "no such kind \`$kind\`; there are: ${KINDS[*]}"; done
  if [ $# -gt 0 ]; then echo "$@"; else echo "${KINDS[@]}"; fi
}

# The URL that the user gave for a kind; empty if it is one that an earlier `start` of this run gave.
given_url() {
  local name=TIDEMILL_TEST_${1^^}
  local url=${!name:-}
  if [ -n "$url" ] && [ "$url" != "$(cat "$RUN/$1.url" 2>/dev/null)" ]; then echo "$url"; fi
}

# Whether something listens at a URL's host and port; one without a port is taken as it is.
answers_at_all() {
  local place=${1#*://}
  place=${place%%/*}
  place=${place##*@}
  [[ $place == *:* ]] || return 0
  (exec 3<>"/dev/tcp/${place%%:*}/$(cut -d: -f2 <<<"${place%%,*}")") 2>/dev/null
}

# Runs a function while no other tests/servers does. Started servers must not inherit descriptor 9: they would keep the lock.
locked() {
  mkdir -p "$CACHE/runs" "$LOGS"
  exec 9>"$CACHE/lock"
  flock -n 9 || { say "waiting for another tests/servers to finish"; flock 9; }
  "$@"
}

# `together f a b c` runs `f a`, `f b` and `f c` at once and fails if one of them does.
together() {
  local function=$1 argument pid pids=() failed=0
  shift
  for argument in "$@"; do
    (set -e; "$function" "$argument") &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
  return $failed
}

# Runs a command with its output in $LOGS/NAME.log; the end of it is shown if the command fails.
logged() {
  local log=$LOGS/$1.log
  shift
  "$@" >>"$log" 2>&1 </dev/null && return 0
  say "failed: ${*:0:3} ..."
  show_log "$log"
  return 1
}

# Package mirrors are nobody's business: addresses are left out.
show_log() { [ ! -f "$1" ] || tail -n 15 "$1" | sed -E 's#(https?|ftp)://[^ "]*#<address>#g; s/^/    /' >&2; }

# A port of 127.0.0.1 that nobody listens on, below the range from which the kernel hands out ports of its own accord.
free_port() {
  local port
  while :; do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}

# `wait_until SECONDS COMMAND...` asks until the command succeeds. Fails when the time is over or `still_starting` is false.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] && still_starting || return 1
    sleep 0.1
  done
}
still_starting() { true; }

is_root() { [ "$(id -u)" = 0 ]; }
