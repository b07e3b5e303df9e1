# PostgreSQL: from the private root, or a container. It judges the answers to queries; nothing in it outlives a run.

POSTGRES=/usr/lib/postgresql/18/bin   # in the private root
POSTGRES_OPTIONS=(-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c jit=off -c max_connections=200)

postgres_installed() { [ -f "$PRIVATE/templates/postgresql.made" ] && [ -f "$SID/unpacked" ]; }

postgres_install() {
  ensure_private_root || return 1
  postgres_template postgresql || return 1
  in_private_root $POSTGRES/postgres --version >"$PRIVATE/templates/postgresql.made"
}

# An empty data folder as the template of that name.
postgres_template() {
  local template=$PRIVATE/templates/$1
  rm -rf "$template"
  mkdir -m 700 "$template"
  chown "$SERVER_UID:$SERVER_UID" "$template"
  logged "$1" in_private_root $POSTGRES/initdb -D "/templates/$1" -E UTF8 --locale=C -A trust -U postgres --no-sync || return 1
  cat >>"$template/postgresql.conf" <<X
listen_addresses = '127.0.0.1'
unix_socket_directories = '/run/postgresql'
X
}

postgres_start() {
  local data port
  port=$(free_port)
  data=$(private_data postgres postgresql)
  postgres_launch postgres "$data" "$port" "${POSTGRES_OPTIONS[@]}" || return 1
  echo "postgres://postgres@127.0.0.1:$port/postgres" >"$RUN/postgres.url"
}

# `postgres_launch NAME DATA PORT [OPTION...]` starts a server on a data folder of the private root and waits until it answers.
postgres_launch() {
  local name=$1 data=$2 port=$3
  shift 3
  launch "$name" chroot --userspec="$SERVER_UID:$SERVER_UID" "$PRIVATE" $POSTGRES/postgres -D "$data" -p "$port" "$@"
  wait_until 60 in_private_root $POSTGRES/psql -h 127.0.0.1 -p "$port" -U postgres -c 'SELECT 1'
}

postgres_start_container() {
  launch_container postgres 5432 -e POSTGRES_HOST_AUTH_METHOD=trust -- postgres:18 "${POSTGRES_OPTIONS[@]}" || return 1
  wait_until 180 in_container postgres psql -h 127.0.0.1 -U postgres -c 'SELECT 1' || return 1
  echo "postgres://postgres@127.0.0.1:$(container_port postgres 5432)/postgres" >"$RUN/postgres.url"
}
