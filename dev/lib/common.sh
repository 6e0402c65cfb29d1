# What the servers of dev/brokers have in common: folders, ports, installing, starting, ending.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
home="$root/target/brokers"
# Downloads, so that a second checkout need not fetch them again.
cache="${DUCTAPE_BROKERS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ductape-brokers}"
base="${DUCTAPE_BROKERS_PORT:-29000}"
user=ductape
password=hunter2-CANARY
# How long a server may take until it answers.
wait_seconds=90

say() { echo "dev/brokers: $*" >&2; }
fail() { say "$*"; return 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# need COMMAND PACKAGE: installs a Debian package for a command that is missing.
need() {
    has "$1" && return
    if [ "$(id -u)" = 0 ] && has apt-get; then
        say "installing $2"
        apt-get install -y -qq --no-install-recommends "$2" >"$home/apt.log" 2>&1 ||
            { apt-get update -qq >"$home/apt.log" 2>&1 && apt-get install -y -qq --no-install-recommends "$2" >"$home/apt.log" 2>&1; } ||
            fail "can't install $2; see $home/apt.log" || return
        has "$1" && return
    fi
    fail "\`$1\` is missing; install it: sudo apt-get install $2"
}

# venv PACKAGE: a Python package in the cache's environment.
venv() {
    [ -x "$cache/venv/bin/pip" ] || { need python3 python3-venv && mkdir -p "$cache" && python3 -m venv "$cache/venv"; } || return
    "$cache/venv/bin/pip" show -q "${1%%\[*}" 2>/dev/null && return
    say "installing the Python package $1"
    "$cache/venv/bin/pip" install -q "$1" >"$home/pip.log" 2>&1 || fail "can't install $1; see $home/pip.log"
}

# answers PORT: whether something takes a connection there.
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# pid_of NAME: the server's process, if it runs.
pid_of() {
    local pid
    pid="$(cat "$home/$1/pid" 2>/dev/null)" && [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null && echo "$pid"
}

# launch NAME COMMAND…: in the background, apart from this shell, with its output in a file.
launch() {
    local name="$1"
    shift
    # Its own session, so that a signal to this script's group does not reach it.
    setsid "$@" >>"$home/$name/log" 2>&1 </dev/null &
    echo $! >"$home/$name/pid"
    disown
}

# start NAME: starts the server on its own data, and waits until it answers.
start() {
    local name="$1" port until
    mkdir -p "$home/$name"
    if pid_of "$name" >/dev/null && "${name//-/_}_ready" 2>/dev/null; then
        return
    fi
    "${name//-/_}_install" || return
    port="$("${name//-/_}_port")"
    if ! pid_of "$name" >/dev/null && answers "$port"; then
        fail "port $port, which $name wants, is taken by another process; end it, or set DUCTAPE_BROKERS_PORT to another base"
        return
    fi
    pid_of "$name" >/dev/null || "${name//-/_}_start" || { fail "$name can't be started; see $home/$name/log"; return; }
    until=$((SECONDS + wait_seconds))
    until "${name//-/_}_ready" 2>/dev/null; do
        if ! pid_of "$name" >/dev/null; then
            tail -n 5 "$home/$name/log" >&2
            fail "$name ended by itself; see $home/$name/log"
            return
        fi
        if [ $SECONDS -ge $until ]; then
            fail "$name does not answer within $wait_seconds s; see $home/$name/log"
            return
        fi
        sleep 0.05
    done
}

# stop NAME [SIGNAL]: ends the server (at once unless a signal is given) and keeps its data.
stop() {
    local name="$1" signal="${2:-KILL}" pid group
    pid="$(pid_of "$name")" || return 0
    # What it started has its own session, and ends with it.
    group="$(ps -o sid= -p "$pid" | tr -d ' ')"
    kill "-$signal" "$pid" 2>/dev/null
    if [ "$signal" != KILL ]; then
        for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    fi
    [ "$group" = "$pid" ] && pkill -KILL -s "$group" 2>/dev/null
    while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
    rm -f "$home/$name/pid"
}

# certificates: an authority, a server's certificate, one that has expired, and one of another host.
certificates() {
    local tls="$home/tls"
    [ -s "$tls/ready" ] && return
    need openssl openssl || return
    rm -rf "$tls" && mkdir -p "$tls" && (
        cd "$tls" || exit
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 3650 -subj "/CN=Ductape test authority" \
            -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign"
        # issue NAME HOST DAYS
        issue() {
            openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$2"
            printf 'subjectAltName=DNS:%s%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$2" "$4" >"$1.ext"
            # shellcheck disable=SC2086 # the days are two words
            openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -out "$1.pem" $3 -extfile "$1.ext"
        }
        issue server localhost "-days 3650" ",IP:127.0.0.1"
        issue other other.example "-days 3650" ""
        # Valid for no time at all: it has expired as soon as it is made.
        issue expired localhost "-days 0" ",IP:127.0.0.1"
        cat server.pem server.key >server-both.pem
        chmod 644 ./*.key
    ) >"$tls/log" 2>&1 && echo yes >"$tls/ready" || fail "can't make certificates; see $tls/log"
}
