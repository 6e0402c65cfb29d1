# shellcheck shell=bash
# RabbitMQ, with TLS beside, a second virtual host, a user of ours beside `guest`, and an epmd of its own.
names+=(rabbitmq)

rabbitmq_install() {
    if [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]; then return; fi
    need rabbitmq-server rabbitmq-server
}
rabbitmq_ports() { printf '%s\n' $((base + 72)) $((base + 71)) $((base + 73)); }
rabbitmq_seconds() { echo 120; }

rabbitmq_prepare() {
    local folder=$files/rabbitmq salt=ductape1 guest ours
    # `limited` may read, and nothing else.
    guest=$(rabbitmq_hash "${salt:0:4}" guest)
    ours=$(rabbitmq_hash "${salt:4:4}" "$password")
    cat >"$folder/conf" <<END
listeners.tcp.1 = 127.0.0.1:$((base + 72))
listeners.ssl.1 = 127.0.0.1:$((base + 71))
ssl_options.cacertfile = $tls/ca.pem
ssl_options.certfile = $tls/server.pem
ssl_options.keyfile = $tls/server.key
ssl_options.verify = verify_none
ssl_options.fail_if_no_peer_cert = false
load_definitions = $folder/definitions.json
log.console = true
log.console.level = info
log.file = false
END
    cat >"$folder/definitions.json" <<END
{
  "users": [
    {"name": "guest", "password_hash": "$guest", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": "administrator"},
    {"name": "$user", "password_hash": "$ours", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": "administrator"},
    {"name": "limited", "password_hash": "$ours", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ""}
  ],
  "vhosts": [{"name": "/"}, {"name": "shop"}],
  "permissions": [
    {"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
    {"user": "guest", "vhost": "shop", "configure": ".*", "write": ".*", "read": ".*"},
    {"user": "$user", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
    {"user": "$user", "vhost": "shop", "configure": ".*", "write": ".*", "read": ".*"},
    {"user": "limited", "vhost": "/", "configure": "^$", "write": "^$", "read": ".*"}
  ]
}
END
    printf '[].\n' >"$folder/plugins"
    : >"$folder/env.conf"
    rabbitmq_variables
    rabbitmq_epmd
}

# Erlang's list of this machine's nodes: our own, so that a node of the system's is not touched. It outlives a crash of the server.
rabbitmq_epmd() {
    local file=$files/rabbitmq/epmd.pid port=$((base + 74))
    recorded "$file" >/dev/null && return
    if open $port; then fail "rabbitmq: port $port is taken$(holder $port)"; fi
    (
        exec 9>&- </dev/null >>"$files/rabbitmq/epmd.log" 2>&1
        become epmd -address 127.0.0.1
    ) &
    record "$file" $!
    local end=$((SECONDS + 10))
    until open $port; do
        [ $SECONDS -lt $end ] || fail "epmd does not answer; its log is $files/rabbitmq/epmd.log"
        sleep 0.05
    done
}

# How RabbitMQ keeps a password: SHA-256 over a salt of four bytes and the password, behind the salt.
rabbitmq_hash() {
    { printf '%s' "$1"; printf '%s%s' "$1" "$2" | openssl dgst -sha256 -binary; } | openssl base64 -A
}

rabbitmq_variables() {
    local folder=$files/rabbitmq
    export HOME=$folder ERL_EPMD_PORT=$((base + 74)) ERL_EPMD_ADDRESS=127.0.0.1
    export RABBITMQ_NODENAME=ductape$base@localhost RABBITMQ_DIST_PORT=$((base + 73))
    export RABBITMQ_CONFIG_FILE=$folder/conf RABBITMQ_CONF_ENV_FILE=$folder/env.conf RABBITMQ_ENABLED_PLUGINS_FILE=$folder/plugins
    export RABBITMQ_ADVANCED_CONFIG_FILE=$folder/advanced.config RABBITMQ_PID_FILE=$folder/node.pid
    export RABBITMQ_MNESIA_BASE=$folder/data RABBITMQ_LOG_BASE=$folder/logs
    export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'
    # Makes its script become the server instead of staying before it, so that the process recorded is the server.
    export RUNNING_UNDER_SYSTEMD=true
}

rabbitmq_run() {
    rabbitmq_variables
    become /usr/lib/rabbitmq/bin/rabbitmq-server
}

# After AMQP's header the server sends Connection.Start: a frame of type 1, class 10, method 10.
rabbitmq_answers() {
    rabbitmq_greets && speaks_tls $((base + 71))
}
rabbitmq_greets() {
    local start
    exec 3<>"/dev/tcp/127.0.0.1/$((base + 72))" || return
    printf 'AMQP\x00\x00\x09\x01' >&3
    start=$(timeout 5 head -c 11 <&3 | od -An -tx1 | tr -d ' \n')
    exec 3>&-
    [[ $start == 010000????????000a000a ]]
}

# RabbitMQ 3.10 keeps the names of its quorum queues in memory for up to 3 s: a queue declared just before a crash would be
# broken for good, whatever was confirmed. Tests crash it to see what is promised, so that one is written first.
rabbitmq_before_crash() {
    rabbitmq_variables
    echo '[dets:sync(Table) || Table <- dets:all()].' |
        timeout 5 erl_call -sname "$RABBITMQ_NODENAME" -e >/dev/null 2>&1 || say "rabbitmq: the names of its queues were not written"
}

rabbitmq_after_end() {
    local pid file=$files/rabbitmq/epmd.pid
    if pid=$(recorded "$file"); then
        kill "$pid"
        gone "$pid" 5 || kill -9 "$pid"
    fi
    rm -f "$file"
}

rabbitmq_env() {
    echo "DUCTAPE_TEST_RABBITMQ=amqp://127.0.0.1:$((base + 72))"
    echo "DUCTAPE_TEST_RABBITMQ_TLS=amqps://localhost:$((base + 71))"
}
