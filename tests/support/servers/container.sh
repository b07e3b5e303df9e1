# Servers from Docker or Podman, if an engine answers.

# The engine to use; nothing where none answers.
detect_engine() {
  local candidate
  case ${TIDEMILL_TEST_ENGINE:-} in
    none) ;;
    ?*) echo "$TIDEMILL_TEST_ENGINE" ;;
    *)
      for candidate in docker podman; do
        if command -v $candidate >/dev/null && timeout 10 $candidate info >/dev/null 2>&1; then
          echo $candidate
          return
        fi
      done ;;
  esac
}

# `launch_container NAME PORT [RUN-OPTION...] -- IMAGE [ARGUMENT...]`; the container's PORT comes out on a free one of 127.0.0.1.
launch_container() {
  local name=$1 port=$2 options=() id
  shift 2
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  shift
  id=$("$ENGINE" run -d -p "127.0.0.1:$(free_port):$port" "${options[@]}" "$@" 2>>"$RUN/$name.log") || return 1
  echo "$ENGINE $id" >"$RUN/$name.container"
  LAUNCHED=$RUN/$name.container
  still_starting() { container_lives "$LAUNCHED"; }
}

# The port of 127.0.0.1 behind which a container's port is.
container_port() { "$ENGINE" port "$(cut -d' ' -f2 "$RUN/$1.container")" "$2/tcp" | head -n 1 | sed 's/.*://'; }

in_container() {
  local name=$1 engine id
  shift
  read -r engine id <"$RUN/$name.container"
  "$engine" exec "$id" "$@"
}

container_lives() {
  local engine id
  read -r engine id <"$1" || return 1
  [ "$("$engine" inspect -f '{{.State.Running}}' "$id" 2>/dev/null)" = true ]
}

restart_container() {
  local engine id
  read -r engine id <"$1"
  "$engine" restart "$id" >/dev/null
}

stop_container() {
  local engine id
  read -r engine id <"$1"
  "$engine" rm -f -v "$id" >/dev/null 2>&1 || say "could not remove the $engine container $id"
  rm -f "$1"
}
