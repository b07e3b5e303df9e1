# Started processes and containers, their data, and stopping exactly them.
#
# A run folder holds for each server: NAME.process (pid and start time, so that a pid used again is never taken for ours) or
# NAME.container (engine and id), NAME.data (folders to remove), NAME.log, and KIND.url once the server answered.
# A kind may need helpers: their names are KIND.helper.

# pid and start time of a process; nothing and failure if it is gone.
identity() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  set -- "$1" ${stat##*) }
  [ "$2" != Z ] && echo "$1 ${21}"
}

identity_lives() {
  local pid start
  read -r pid start <"$1" || return 1
  [ "$(identity "$pid")" = "$pid $start" ]
}

# `launch NAME COMMAND...` starts a server detached from this terminal and session. Waiting for it ends early if it dies.
launch() {
  local name=$1
  shift
  printf '%q ' "$@" >"$RUN/$name.command"
  setsid "$@" </dev/null >>"$RUN/$name.log" 2>&1 9>&- &
  identity $! >"$RUN/$name.process" || true
  LAUNCHED=$RUN/$name.process
  still_starting() { identity_lives "$LAUNCHED"; }
}

# `data_folder NAME PARENT` makes a fresh folder, to be removed when NAME is stopped.
data_folder() {
  local folder
  folder=$(mktemp -d "$2/tidemill-$1-XXXXXX")
  echo "$folder" >>"$RUN/$1.data"
  echo "$folder"
}

is_running() {
  [ -f "$RUN/$1.url" ] || return 1
  if [ -f "$RUN/$1.container" ]; then container_lives "$RUN/$1.container"; else identity_lives "$RUN/$1.process"; fi
}

# `restart KIND...` ends servers and starts them again on their data, at the same port. It does not wait until they answer.
restart() {
  local kind
  for kind in $(chosen "$@"); do
    is_running "$kind" || die "$kind is not running"
    if [ -f "$RUN/$kind.container" ]; then
      restart_container "$RUN/$kind.container"
    else
      stop_process "$RUN/$kind.process"
      eval "launch $kind $(cat "$RUN/$kind.command")"
    fi
  done
}

stop_run() {
  local run=$1 kind
  [ -d "$run" ] || return 0
  for kind in "${KINDS[@]}"; do stop_kind "$run" "$kind" & done
  wait
  rm -rf "$run"
}

# A server goes before the helpers it uses.
stop_kind() {
  local file
  for file in "$1/$2.process" "$1/$2."*.process; do [ ! -f "$file" ] || stop_process "$file"; done
  for file in "$1/$2.container" "$1/$2."*.container; do [ ! -f "$file" ] || stop_container "$file"; done
  for file in "$1/$2.data" "$1/$2."*.data; do [ ! -f "$file" ] || { xargs -r -d '\n' rm -rf <"$file"; rm -f "$file"; }; done
  rm -f "$1/$2.url" "$1/$2.log" "$1/$2."*.log "$1/$2.command" "$1/$2."*.command
}

# Asks for a quick clean end (PostgreSQL's word for it is INT), then insists.
stop_process() {
  local pid signal=TERM deadline=$((SECONDS + 20))
  pid=$(cut -d' ' -f1 "$1")
  [[ $1 != *[./]postgres.process ]] || signal=INT
  if identity_lives "$1"; then
    kill -$signal "$pid" 2>/dev/null || true
    while identity_lives "$1"; do
      [ $SECONDS -lt $deadline ] || kill -KILL "$pid" 2>/dev/null || true
      sleep 0.05
    done
  fi
  rm -f "$1"
}

# Runs whose owner died without stopping them, and runs of which nothing is alive any more.
sweep_abandoned_runs() {
  local run file alive
  for run in "$CACHE"/runs/*/; do
    run=${run%/}
    if [ ! -d "$run" ] || [ "$run" = "$RUN" ]; then continue; fi
    alive=
    for file in "$run"/*.process; do if [ -f "$file" ] && identity_lives "$file"; then alive=1; fi; done
    for file in "$run"/*.container; do if [ -f "$file" ] && container_lives "$file"; then alive=1; fi; done
    if [ -f "$run/owner" ] && ! identity_lives "$run/owner"; then alive=; fi
    [ -n "$alive" ] || stop_run "$run"
  done
}
