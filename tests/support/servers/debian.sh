# The Debian way: packages of the system's own release where they fit, and a private root with packages of Debian sid.
#
# The private root is unpacked, not installed: no system package changes. Programs in it run by chroot as user SERVER_UID.
# The packages stay in $SID/cache/archives, because sid moves on.

SID_PACKAGES=(dash mysql-server-core mysql-client-core postgresql-18 postgresql-18-documentdb postgresql-18-postgis-3-scripts)
SID=$CACHE/sid-$(cksum <<<"1 ${SID_PACKAGES[*]}" | cut -d' ' -f1)   # another list, another root: servers may be running in the old one
PRIVATE=$SID/root
SERVER_UID=61234

debian_install() {
  "$1_installed" && return 0
  is_root || die "$1: installing needs root. Otherwise start Docker or Podman, or name a server: TIDEMILL_TEST_${1^^}=URL"
  command -v apt-get >/dev/null ||
    die "$1: this is not a Debian system. Start Docker or Podman, or name a server: TIDEMILL_TEST_${1^^}=URL"
  local began=$SECONDS
  "$1_install" && say "$1: installed in $((SECONDS - began)) s"
}

# Installs into the system what is missing there.
apt_install() {
  local install=(env DEBIAN_FRONTEND=noninteractive apt-get -y --no-install-recommends -o DPkg::Lock::Timeout=600 install "$@")
  if ! is_root || ! command -v apt-get >/dev/null; then
    say "missing here: $*; install them with this system's package manager"
    return 1
  fi
  mkdir -p "$LOGS"
  "${install[@]}" >"$LOGS/apt.log" 2>&1 </dev/null && return 0   # package lists that are too old are no failure yet
  logged apt apt-get -o DPkg::Lock::Timeout=600 update && logged apt "${install[@]}"
}

in_private_root() { chroot --userspec="$SERVER_UID:$SERVER_UID" "$PRIVATE" "$@"; }

# Several kinds live in the private root and are installed at once; the first one makes it.
ensure_private_root() {
  exec 8>"$CACHE/sid.lock"
  flock 8
  if [ ! -f "$SID/unpacked" ]; then
    fetch_from_sid "$SID" "${SID_PACKAGES[@]}" && logged sid unpack_private_root && touch "$SID/unpacked" || return 1
  fi
  exec 8>&-
}

# `fetch_from_sid FOLDER PACKAGE...` downloads packages, and what they need beyond FOLDER/status, into FOLDER/cache/archives. This
# apt has all its state in FOLDER and knows nothing of the system's.
fetch_from_sid() {
  local folder=$1 mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  shift
  [ "$(cat "$folder/fetched" 2>/dev/null)" != "$*" ] || return 0
  mirror=$(debian_mirror)
  [ -n "$mirror" ] && [ -f $keyring ] || { say "apt names no Debian mirror here; start Docker or Podman instead"; return 1; }
  rm -rf "$folder"
  mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
  : >"$folder/status"
  echo "deb [signed-by=$keyring] $mirror sid main" >"$folder/sources.list"
  # Sid's Release file may be past its date on a mirror that is a frozen copy.
  cat >"$folder/apt.conf" <<X
Dir::State "$folder"; Dir::State::lists "$folder/lists"; Dir::State::status "$folder/status"; Dir::Cache "$folder/cache";
Dir::Etc::sourcelist "$folder/sources.list"; Dir::Etc::sourceparts "-"; APT::Install-Recommends "false";
Acquire::Check-Valid-Until "false"; APT::Sandbox::User "root";
X
  logged sid env APT_CONFIG="$folder/apt.conf" apt-get update &&
    logged sid env APT_CONFIG="$folder/apt.conf" apt-get -y --download-only install "$@" &&
    (cd "$folder/cache/archives" && printf '%s\n' *.deb) >"$folder/versions" &&
    echo "$*" >"$folder/fetched"
}

# The mirror that this machine's own apt uses.
debian_mirror() {
  local all
  all=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages')
  { grep '^Debian Debian ' <<<"$all" || grep -v -i -e security <<<"$all"; } | sed 's/.* //' | sort -u | head -n 1
}

unpack_private_root() {
  local deb link node
  rm -rf "$PRIVATE"
  mkdir -p "$PRIVATE"
  for deb in "$SID"/cache/archives/*.deb; do dpkg -x "$deb" "$PRIVATE" || return 1; done
  cd "$PRIVATE"
  for link in bin sbin lib lib64; do [ -e $link ] || ln -s usr/$link $link; done
  [ -e usr/bin/sh ] || ln -s dash usr/bin/sh
  mkdir -p tmp dev/shm proc run/postgresql data templates etc
  chmod 1777 tmp dev/shm data templates run/postgresql
  for node in 'null 3' 'zero 5' 'urandom 9'; do mknod -m 666 "dev/${node% *}" c 1 "${node#* }" || return 1; done
  printf '%s\n' root:x:0:0::/:/bin/sh "server:x:$SERVER_UID:$SERVER_UID::/data:/bin/sh" >etc/passwd
  printf '%s\n' root:x:0: "server:x:$SERVER_UID:" >etc/group
  echo '127.0.0.1 localhost' >etc/hosts         # DocumentDB connects to "localhost"; without this every write fails
  echo 'hosts: files' >etc/nsswitch.conf
  cd usr/share/postgresql/18/extension && cp -n postgis-3.control postgis.control   # otherwise done by the package's own script
}

# `private_data NAME TEMPLATE` makes a folder of the private root for a server's data, owned by the server's user: filled from a template,
# which is a data folder as the server's own initialisation makes it.
private_data() {
  local folder
  folder=$(data_folder "$1" "$PRIVATE/data")
  cp -a --reflink=auto "$PRIVATE/templates/$2/." "$folder/"
  chown -R "$SERVER_UID:$SERVER_UID" "$folder"
  echo "${folder#"$PRIVATE"}"
}
