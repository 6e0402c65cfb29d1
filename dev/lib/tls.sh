# shellcheck shell=bash
# A certificate authority of this checkout, and what it signed:
#   server.pem server.key   for localhost and 127.0.0.1 (server.both.pem holds both)
#   expired.pem             the same names, no longer valid
#   other.pem               valid, for a host of another name
#   stranger.pem            the right names, signed by an authority that nobody trusts
# They share one key, server.key.

make_tls() {
    [ -f "$tls/done" ] || { need openssl openssl && locked "$files/tls.lock" sign_all; }
}

sign_all() {
    [ ! -f "$tls/done" ] || return 0
    rm -rf "$tls"
    mkdir -p "$tls"
    {
        authority ca "Ductape Events test authority"
        authority stranger-ca "An authority that nobody trusts"
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$tls/server.key"
        local here='DNS:localhost,IP:127.0.0.1,IP:::1'
        sign ca server localhost "$here" 20200101000000Z 20491231235959Z
        sign ca expired localhost "$here" 20200101000000Z 20210101000000Z
        sign ca other elsewhere.example DNS:elsewhere.example 20200101000000Z 20491231235959Z
        sign stranger-ca stranger localhost "$here" 20200101000000Z 20491231235959Z
        cat "$tls/server.key" "$tls/server.pem" "$tls/ca.pem" >"$tls/server.both.pem"
    } >"$files/tls.log" 2>&1 || fail "openssl failed; its output is in $files/tls.log"
    # Servers that run as a user of their own read them too.
    chmod 644 "$tls"/*
    touch "$tls/done"
}

authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 10000 -subj "/CN=$2" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
        -keyout "$tls/$1.key" -out "$tls/$1.pem"
}

# sign AUTHORITY NAME HOST NAMES FROM TO: `openssl ca`, for only it lets one say both dates.
sign() {
    local work=$tls/work
    rm -rf "$work"
    mkdir -p "$work"
    : >"$work/index"
    openssl rand -hex 16 >"$work/serial"
    cat >"$work/conf" <<END
[ca]
default_ca = here
[here]
dir = $work
new_certs_dir = $work
database = $work/index
serial = $work/serial
default_md = sha256
policy = any
x509_extensions = server
[any]
commonName = supplied
[server]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = $4
END
    openssl req -new -key "$tls/server.key" -subj "/CN=$3" -out "$work/csr" &&
        openssl ca -batch -notext -config "$work/conf" -cert "$tls/$1.pem" -keyfile "$tls/$1.key" \
            -startdate "$5" -enddate "$6" -in "$work/csr" -out "$tls/$2.pem"
    rm -rf "$work"
}
