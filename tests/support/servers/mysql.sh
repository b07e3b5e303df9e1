# MySQL: from the private root, or a container.

MYSQL_OPTIONS=(--log-bin=ybin --server-id=2 --gtid-mode=ON --enforce-gtid-consistency=ON --binlog-row-metadata=FULL
  --max-allowed-packet=256M --skip-name-resolve --mysqlx=OFF --innodb-flush-log-at-trx-commit=2 --sync-binlog=0
  --innodb-buffer-pool-size=256M ${TIDEMILL_TEST_MYSQL_OPTIONS:-})
MYSQL_INITIAL=(--no-defaults --secure-file-priv=NULL --mysqlx=OFF)

mysql_installed() { [ -f "$PRIVATE/templates/mysql.made" ] && [ -f "$SID/unpacked" ]; }

mysql_install() {
  ensure_private_root || return 1
  local template=$PRIVATE/templates/mysql
  rm -rf "$template"
  mkdir -p "$template"
  chown "$SERVER_UID:$SERVER_UID" "$template"
  logged mysql in_private_root /usr/sbin/mysqld "${MYSQL_INITIAL[@]}" --datadir=/templates/mysql --initialize-insecure || return 1
  rm -f "$template/auto.cnf"   # each server gets an id of its own
  in_private_root /usr/sbin/mysqld --version >"$template.made"
}

mysql_start() {
  local data port folder
  port=$(free_port)
  data=$(private_data mysql mysql)
  case " ${TIDEMILL_TEST_MYSQL_OPTIONS:-} " in
    *lower-case-table-names*) mysql_initialize "$data" || return 1 ;;   # only taken from the very beginning
  esac
  folder=$(data_folder mysql.files "$PRIVATE/data")
  mysql_family_logins caching_sha2_password >"$folder/logins.sql"
  tls_into "$folder"
  chown -R "$SERVER_UID:$SERVER_UID" "$folder"
  folder=${folder#"$PRIVATE"}
  launch mysql chroot --userspec="$SERVER_UID:$SERVER_UID" "$PRIVATE" /usr/sbin/mysqld "${MYSQL_INITIAL[@]}" --datadir="$data" \
    --port="$port" --bind-address=127.0.0.1 --socket="$folder/s.sock" --pid-file="$folder/pid" --init-file="$folder/logins.sql" \
    "${MYSQL_OPTIONS[@]}" --ssl-ca="$folder/ca.pem" --ssl-cert="$folder/server-cert.pem" --ssl-key="$folder/server-key.pem"
  wait_until 90 in_private_root /usr/bin/mysql --no-defaults -h 127.0.0.1 -P "$port" -u root "-p$PASSWORD" -e 'SELECT 1' || return 1
  echo "mysql://root:$PASSWORD@127.0.0.1:$port/" >"$RUN/mysql.url"
}

# Begins an empty data folder, with the options of the test.
mysql_initialize() {
  find "$PRIVATE$1" -mindepth 1 -delete
  logged mysql in_private_root /usr/sbin/mysqld "${MYSQL_INITIAL[@]}" --datadir="$1" ${TIDEMILL_TEST_MYSQL_OPTIONS:-} --initialize-insecure || return 1
  chown -R "$SERVER_UID:$SERVER_UID" "$PRIVATE$1"
}

mysql_start_container() {
  launch_container mysql 3306 -e "MYSQL_ROOT_PASSWORD=$PASSWORD" -v "$TLS:/tls:ro" -- \
    mysql:8.4 "${MYSQL_OPTIONS[@]}" --ssl-ca=/tls/ca.pem --ssl-cert=/tls/server-cert.pem --ssl-key=/tls/server-key.pem || return 1
  wait_until 180 in_container mysql mysql -h 127.0.0.1 -u root "-p$PASSWORD" -e 'SELECT 1' || return 1
  echo "mysql://root:$PASSWORD@127.0.0.1:$(container_port mysql 3306)/" >"$RUN/mysql.url"
}
