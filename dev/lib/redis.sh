# shellcheck shell=bash
# Redis: `redis` without a password, `redis-secure` with one and with TLS beside.
names+=(redis redis-secure)

redis_install() { need redis-server redis-server; }
redis_ports() { echo $((base + 79)); }
redis_prepare() { redis_conf redis "port $((base + 79))"; }
redis_run() { become redis-server "$files/redis/conf"; }
redis_answers() { [ "$(redis_says $((base + 79)) PING)" = +PONG ]; }
redis_env() {
    echo "DUCTAPE_TEST_REDIS=127.0.0.1:$((base + 79))"
    echo "DUCTAPE_TEST_REDIS_PORT=$((base + 79))"
}

redis_secure_install() { redis_install; }
redis_secure_ports() { printf '%s\n' $((base + 80)) $((base + 81)); }
redis_secure_prepare() {
    redis_conf redis-secure "port $((base + 80))
requirepass $password
user $user on >$password ~* &* +@all
tls-port $((base + 81))
tls-cert-file $tls/server.pem
tls-key-file $tls/server.key
tls-ca-cert-file $tls/ca.pem
tls-auth-clients no"
}
redis_secure_run() { become redis-server "$files/redis-secure/conf"; }
redis_secure_answers() {
    [ "$(redis_says $((base + 80)) "AUTH $user $password" PING)" = +OK+PONG ] && speaks_tls $((base + 81))
}
redis_secure_env() {
    echo "DUCTAPE_TEST_REDIS_SECURE=127.0.0.1:$((base + 80))"
    echo "DUCTAPE_TEST_REDIS_TLS=localhost:$((base + 81))"
}

# What is acknowledged survives a crash of the process; of the machine, all but the last second.
redis_conf() {
    cat >"$files/$1/conf" <<END
bind 127.0.0.1
$2
dir $files/$1/data
appendonly yes
appendfsync everysec
save ""
daemonize no
END
}

# Prints the answers to the commands, each of one line.
redis_says() {
    local port=$1 command answer
    shift
    exec 3<>"/dev/tcp/127.0.0.1/$port" || return
    for command in "$@"; do
        printf '%s\r\n' "$command" >&3
        read -r -t 5 -u 3 answer || break
        printf '%s' "${answer%$'\r'}"
    done
    exec 3>&-
}
