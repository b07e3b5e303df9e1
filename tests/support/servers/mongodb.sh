# A server that speaks MongoDB's protocol: FerretDB 2 on PostgreSQL with DocumentDB, or MongoDB itself in a container.
# MongoDB's own server is in no package registry, so without a container engine FerretDB is what the tests meet. It has no transactions.

FERRETDB_VERSION=v2.7.0
FERRETDB=$CACHE/ferretdb/ferretdb-$FERRETDB_VERSION

mongodb_installed() { [ -x "$FERRETDB" ] && [ -f "$PRIVATE/templates/documentdb.made" ] && [ -f "$SID/unpacked" ]; }

mongodb_install() { together mongodb_part documentdb ferretdb; }

mongodb_part() {
  case $1 in
    documentdb) documentdb_install ;;
    ferretdb) [ -x "$FERRETDB" ] || ferretdb_build ;;
  esac
}

# PostgreSQL with the extension made, so that a start is a copy of this folder.
documentdb_install() {
  ensure_private_root || return 1
  local template=$PRIVATE/templates/documentdb port made
  port=$(free_port)
  postgres_template documentdb || return 1
  cat >>"$template/postgresql.conf" <<X
shared_preload_libraries = 'pg_cron,pg_documentdb_core,pg_documentdb'
cron.database_name = 'postgres'
jit = off
fsync = off
X
  logged documentdb in_private_root $POSTGRES/pg_ctl -D /templates/documentdb -w -t 60 -o "-p $port" -l /templates/documentdb.log start || return 1
  logged documentdb in_private_root $POSTGRES/psql -h 127.0.0.1 -p "$port" -U postgres -c 'CREATE EXTENSION documentdb CASCADE'
  made=$?
  logged documentdb in_private_root $POSTGRES/pg_ctl -D /templates/documentdb -w -m fast stop || return 1
  [ $made = 0 ] && in_private_root $POSTGRES/postgres --version >"$template.made"
}

ferretdb_build() {
  local module=github.com/FerretDB/FerretDB/v2@$FERRETDB_VERSION source=$CACHE/ferretdb/src
  ensure_go || return 1
  mkdir -p "$CACHE/ferretdb"
  # `go install` asks for a list of versions, which not every proxy has.
  logged ferretdb "$GO" mod download "$module" || return 1
  rm -rf "$source"
  cp -r "$("$GO" env GOMODCACHE)/github.com/!ferret!d!b/!ferret!d!b/v2@$FERRETDB_VERSION" "$source"
  chmod -R u+w "$source"
  echo "$FERRETDB_VERSION" >"$source/build/version/version.txt"   # without it the program panics at start
  logged ferretdb env -C "$source" GOTOOLCHAIN=local CGO_ENABLED=0 "$GO" build -o "$FERRETDB" ./cmd/ferretdb || return 1
  rm -rf "$source"
}

# GO becomes a Go that is new enough for FerretDB: the one in PATH, or else sid's, unpacked beside the private root.
ensure_go() {
  local needed=go1.25 found folder=$CACHE/go deb
  found=$(go env GOVERSION 2>/dev/null) || found=go0
  GO=go
  if [ "$(printf '%s\n' "$needed" "$found" | sort -V | head -n 1)" = "$needed" ]; then return 0; fi
  fetch_from_sid "$folder" golang-go || return 1
  for deb in "$folder"/cache/archives/golang-*.deb; do logged ferretdb dpkg -x "$deb" "$folder/root" || return 1; done
  GO=$(echo "$folder"/root/usr/lib/go-*/bin/go)
}

mongodb_start() {
  local data postgres port state
  postgres=$(free_port)
  data=$(private_data mongodb.postgres documentdb)
  postgres_launch mongodb.postgres "$data" "$postgres" || return 1
  port=$(free_port)
  state=$(data_folder mongodb "${TMPDIR:-/tmp}")
  launch mongodb "$FERRETDB" --postgresql-url="postgres://postgres@127.0.0.1:$postgres/postgres" --listen-addr="127.0.0.1:$port" \
    --debug-addr=- --telemetry=disable --state-dir="$state" --no-auth
  wait_until 60 mongodb_answers "$port" || return 1
  echo "mongodb://127.0.0.1:$port/" >"$RUN/mongodb.url"
}

mongodb_start_container() {
  launch_container mongodb 27017 -- mongo:8 || return 1
  wait_until 180 in_container mongodb mongosh --quiet --eval 'db.runCommand({ping: 1}).ok' || return 1
  echo "mongodb://127.0.0.1:$(container_port mongodb 27017)/" >"$RUN/mongodb.url"
}

# Sends {ping: 1, $db: "admin"} as one OP_MSG and looks for `ok: 1` in the answer.
mongodb_answers() {
  local answer
  exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
  printf '\x33\0\0\0\1\0\0\0\0\0\0\0\xdd\7\0\0\0\0\0\0\0\x1e\0\0\0\x10ping\0\1\0\0\0\x02$db\0\6\0\0\0admin\0\0' >&3
  answer=$(timeout 5 head -c 38 <&3 | od -An -v -tx1 | tr -d ' \n')
  exec 3>&-
  [[ $answer == *6f6b00000000000000f03f* ]]   # ok: 1.0
}
