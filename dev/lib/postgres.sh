# shellcheck shell=bash
# PostgreSQL, for the store.
names+=(postgres)

postgres_install() {
    [ -n "$(postgres_bin)" ] || need pg_ctlcluster postgresql
}
postgres_bin() { compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1 || dirname "$(command -v postgres)"; }
postgres_ports() { echo $((base + 32)); }

# The server refuses to run as root; its user may not be able to enter a folder of root's.
postgres_data() {
    local folder=$files/postgres
    if [ "$(id -u)" != 0 ] || postgres_as test -x "$folder"; then
        echo "$folder/data"
    else
        echo "${TMPDIR:-/tmp}/ductape-brokers-$base/postgres"
    fi
}
postgres_as() {
    if [ "$(id -u)" = 0 ]; then setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; else "$@"; fi
}

postgres_prepare() {
    local folder data
    folder=$files/postgres
    data=$(postgres_data)
    mkdir -p "$data"
    echo "$data" >"$folder/where"
    [ "$(id -u)" != 0 ] || chown postgres "$data"
    if [ -e "$data/PG_VERSION" ]; then
        # After a crash; what it names is gone, but its number may live again.
        rm -f "$data/postmaster.pid"
        return
    fi
    printf '%s\n' "$password" >"$folder/password"
    postgres_as "$(postgres_bin)/initdb" -D "$data" -U "$user" --pwfile=/dev/stdin --auth=scram-sha-256 --encoding=UTF8 --no-locale \
        <"$folder/password" >>"$folder/log" 2>&1 || fail "postgres: initdb failed; its log is $folder/log"
}
postgres_run() {
    local data as=()
    data=$(<"$files/postgres/where")
    cd "$data" || exit
    [ "$(id -u)" != 0 ] || as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
    become "${as[@]}" "$(postgres_bin)/postgres" -D "$data" -p $((base + 32)) -c listen_addresses=127.0.0.1 -c unix_socket_directories=
}
postgres_answers() {
    PGPASSWORD=$password PGCONNECT_TIMEOUT=5 "$(postgres_bin)/psql" -h 127.0.0.1 -p $((base + 32)) -U "$user" -d postgres -qAtc 'select 1'
}
# At once, without waiting for clients.
postgres_end() { kill -INT "$1"; }
postgres_after_end() { [ ! -f "$files/postgres/where" ] || rm -rf "$(<"$files/postgres/where")"; }
postgres_env() { echo "DUCTAPE_TEST_POSTGRES=postgres://$user:$password@127.0.0.1:$((base + 32))/postgres"; }
