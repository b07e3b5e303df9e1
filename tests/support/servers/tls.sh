# A certificate authority of the tests' own, and one server certificate for localhost and 127.0.0.1 that it signed.

TLS=$CACHE/tls

ensure_tls() {
  if openssl x509 -in "$TLS/server-cert.pem" -noout -checkend 864000 >/dev/null 2>&1; then return 0; fi
  command -v openssl >/dev/null || die "openssl is missing: apt-get install openssl"
  rm -rf "$TLS.part"
  mkdir -p "$TLS.part"
  (cd "$TLS.part" && logged tls make_certificates) || die "no certificates for the test servers"
  rm -rf "$TLS"
  mv "$TLS.part" "$TLS"
}

# One authority, one server certificate; no system-wide openssl.cnf, whose defaults differ.
make_certificates() {
  printf '%s\n' '[req]' 'distinguished_name=name' 'prompt=no' '[name]' 'CN=Tidemill test authority' \
    '[authority]' 'basicConstraints=critical,CA:TRUE' 'keyUsage=critical,keyCertSign,cRLSign' 'subjectKeyIdentifier=hash' \
    '[server]' 'basicConstraints=CA:FALSE' 'keyUsage=digitalSignature,keyEncipherment' 'extendedKeyUsage=serverAuth' \
    'subjectAltName=DNS:localhost,IP:127.0.0.1' >openssl.cnf
  openssl req -config openssl.cnf -x509 -extensions authority -newkey rsa:2048 -nodes -days 3650 -keyout ca-key.pem -out ca.pem &&
    openssl req -config openssl.cnf -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server-key.pem -out server.csr &&
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 3650 \
      -extfile openssl.cnf -extensions server -out server-cert.pem &&
    chmod 644 server-key.pem   # servers in containers read it as a user of their own
}

# Copies what a server needs into a folder of its own.
tls_into() {
  cp "$TLS/ca.pem" "$TLS/server-cert.pem" "$TLS/server-key.pem" "$1/"
}
