# MariaDB: the system's mariadb-server, or a container.

MARIADB_OPTIONS=(--log-bin=mbin --binlog-format=ROW --binlog-row-image=FULL --binlog-row-metadata=FULL --server-id=1
  --max-allowed-packet=256M --skip-name-resolve --innodb-flush-log-at-trx-commit=2 --sync-binlog=0
  --innodb-buffer-pool-size=256M --innodb-log-file-size=64M ${TIDEMILL_TEST_MARIADB_OPTIONS:-})
MARIADB_TEMPLATE=$CACHE/templates/mariadb

mariadb_installed() { [ "$(mariadbd --version 2>/dev/null)" = "$(cat "$MARIADB_TEMPLATE/made" 2>/dev/null || echo none)" ]; }

mariadb_install() {
  command -v mariadbd mariadb-install-db mariadb >/dev/null || apt_install mariadb-server mariadb-client || return 1
  rm -rf "$MARIADB_TEMPLATE"
  mkdir -p "$MARIADB_TEMPLATE"
  logged mariadb mariadb-install-db --no-defaults --user=root --datadir="$MARIADB_TEMPLATE/data" \
    --auth-root-authentication-method=normal --skip-test-db --innodb-log-file-size=64M &&
    mariadbd --version >"$MARIADB_TEMPLATE/made"
}

# Runs as user mysql, who may not read the caches of root: hence a temp folder.
mariadb_start() {
  local folder port user=()
  port=$(free_port)
  folder=$(data_folder mariadb "${TMPDIR:-/tmp}")
  cp -a --reflink=auto "$MARIADB_TEMPLATE/data" "$folder/data"
  mysql_family_logins mysql_native_password >"$folder/logins.sql"
  tls_into "$folder"
  if is_root; then
    chown -R mysql "$folder"
    user=(--user=mysql)
  fi
  launch mariadb mariadbd --no-defaults "${user[@]}" --datadir="$folder/data" --port="$port" --bind-address=127.0.0.1 \
    --socket="$folder/s.sock" --pid-file="$folder/pid" --init-file="$folder/logins.sql" "${MARIADB_OPTIONS[@]}" \
    --ssl-ca="$folder/ca.pem" --ssl-cert="$folder/server-cert.pem" --ssl-key="$folder/server-key.pem"
  wait_until 60 mariadb --no-defaults -h 127.0.0.1 -P "$port" -u root "-p$PASSWORD" -e 'SELECT 1' || return 1
  echo "mysql://root:$PASSWORD@127.0.0.1:$port/" >"$RUN/mariadb.url"
}

mariadb_start_container() {
  launch_container mariadb 3306 -e "MARIADB_ROOT_PASSWORD=$PASSWORD" -v "$TLS:/tls:ro" -- \
    mariadb:11 "${MARIADB_OPTIONS[@]}" --ssl-ca=/tls/ca.pem --ssl-cert=/tls/server-cert.pem --ssl-key=/tls/server-key.pem || return 1
  wait_until 180 in_container mariadb mariadb -h 127.0.0.1 -u root "-p$PASSWORD" -e 'SELECT 1' || return 1
  echo "mysql://root:$PASSWORD@127.0.0.1:$(container_port mariadb 3306)/" >"$RUN/mariadb.url"
}

# Root with a password, from everywhere that reaches the port; one statement a line, as --init-file wants it. Logins that are more
# specific go first: anonymous ones from localhost and, from MariaDB's own initialisation, root without a password.
mysql_family_logins() {
  local host identified="IDENTIFIED WITH $1 BY '$PASSWORD'"
  if [ "$1" = mysql_native_password ]; then
    echo "DELETE FROM mysql.global_priv WHERE user = '' OR (user = 'root' AND host NOT IN ('localhost', '%'));"
    echo "FLUSH PRIVILEGES;"
    identified="IDENTIFIED VIA $1 USING PASSWORD('$PASSWORD')"
  fi
  for host in localhost %; do
    echo "CREATE USER IF NOT EXISTS 'root'@'$host';"
    echo "ALTER USER 'root'@'$host' $identified;"
    echo "GRANT ALL PRIVILEGES ON *.* TO 'root'@'$host' WITH GRANT OPTION;"
  done
}
