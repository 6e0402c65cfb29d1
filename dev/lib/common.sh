# shellcheck shell=bash
# What all brokers have in common: how a server is installed, started, waited for, killed and ended.
#
# A broker NAME is described by functions; a dash in its name is an underscore in theirs.
#   NAME_install   gets the server's program
#   NAME_ports     prints the ports that it listens on
#   NAME_prepare   writes its configuration (called before each start)
#   NAME_run       becomes the server (exec), in the foreground
#   NAME_answers   succeeds when the server answers in its own protocol
#   NAME_env       prints NAME=value lines for the tests
#   NAME_before_crash  optional: called before the server is killed
#   NAME_end       optional: ends the process $1 in a better way than SIGTERM
#   NAME_after_end optional: ends what is left after that, and removes what is not in target/brokers
#   NAME_seconds   optional: how long it may take to answer; 60 when not given

fail() {
    echo "dev/brokers: $*" >&2
    exit 1
}

say() { echo "dev/brokers: $*" >&2; }

has() { declare -F "${1//-/_}_$2" >/dev/null; }

call() {
    local name=$1 what=$2
    shift 2
    "${name//-/_}_$what" "$@"
}

# Runs the rest while no other dev/brokers holds the lock file $1.
locked() {
    local lock=$1
    shift
    mkdir -p "$(dirname "$lock")"
    command -v flock >/dev/null 2>&1 || { "$@"; return; }
    (
        flock 9
        "$@"
    ) 9>"$lock"
}

# Installs Debian's package $2 when the command $1 is missing.
need() {
    local program=$1 package=$2
    command -v "$program" >/dev/null 2>&1 && return
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        fail "\`$program\` is missing; install it, as root: apt-get install $package"
    fi
    locked "$cache/apt.lock" install_package "$package"
    hash -r
    command -v "$program" >/dev/null 2>&1 || fail "\`$program\` is missing still after: apt-get install $package"
}

# Installs a package of Debian's without letting it start a server on its usual port.
install_package() {
    local package=$1 policy=/usr/sbin/policy-rc.d ours=
    say "installing $package"
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
        ours=yes
    fi
    local status=0
    {
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package"
    } >"$cache/apt.log" 2>&1 </dev/null || status=$?
    [ -z "$ours" ] || rm -f $policy
    [ $status -eq 0 ] || {
        tail -n 5 "$cache/apt.log" >&2
        fail "apt-get install $package failed; its output is in $cache/apt.log"
    }
}

# Makes the folder $cache/$1 once, for all checkouts, with a function $2 that is given a folder to fill.
cached() {
    [ -d "$cache/$1" ] || locked "$cache/$1.lock" fill "$@"
}

fill() {
    local folder=$cache/$1 fill=$2
    [ ! -d "$folder" ] || return 0
    say "getting $1"
    rm -rf "$folder.new"
    mkdir -p "$folder.new"
    "$fill" "$folder.new" >"$folder.log" 2>&1 </dev/null || {
        tail -n 20 "$folder.log" >&2
        fail "getting $1 failed; the output is in $folder.log"
    }
    mv "$folder.new" "$folder"
}

need_pip() {
    python3 -m pip --version >/dev/null 2>&1 || need pip3 python3-pip
}

# Fills the folder $1 with packages from PyPI.
pip_into() {
    local folder=$1
    shift
    python3 -m pip install -q --disable-pip-version-check --no-input --target "$folder" "$@"
}

# A process is ours only if it began when the recorded one did: its number may belong to another by now.
began() {
    local stat
    if [ -r /proc/self/stat ]; then
        { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
        # The name, in parentheses, may hold spaces.
        # shellcheck disable=SC2086
        set -- ${stat##*) }
        echo "${20}"
    else
        ps -o lstart= -p "$1" 2>/dev/null || true
    fi
}

# Becomes the server, in a session of its own, so that what ends this command (Ctrl-C, a closed terminal) does not end it.
become() {
    if command -v setsid >/dev/null 2>&1; then exec setsid "$@"; fi
    exec nohup "$@"
}

# Keeps in the file $1 that process $2 is ours.
record() { printf '%s\n%s\n' "$2" "$(began "$2")" >"$1"; }

# Prints the process that the file $1 names, if it lives.
recorded() {
    local pid at
    [ -f "$1" ] || return 1
    { read -r pid && read -r at; } <"$1" || return 1
    [ -n "$pid" ] && [ "$(began "$pid")" = "$at" ] && [[ "$(ps -o stat= -p "$pid")" != Z* ]] && echo "$pid"
}

process() { recorded "$files/$1/pid"; }

open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

holder() {
    command -v ss >/dev/null 2>&1 || return 0
    ss -ltnpH "sport = :$1" 2>/dev/null | sed -n 's/.*users:((\(.*\))).*/ by \1/p' | head -n 1
}

up() { locked "$files/$1/lock" bring_up "$1"; }
down() { locked "$files/$1/lock" bring_down "$1"; }
crash() { locked "$files/$1/lock" kill_now "$1"; }

bring_up() {
    local name=$1 started=$SECONDS port
    if process "$name" >/dev/null; then
        wait_for "$name"
        say "$name is up"
        return
    fi
    need pgrep procps
    call "$name" install
    for port in $(call "$name" ports); do
        if open "$port"; then
            fail "$name: port $port is taken$(holder "$port"); end that process, or set DUCTAPE_BROKERS_PORT to move all ports"
        fi
    done
    mkdir -p "$files/$name/data"
    call "$name" prepare
    (
        # The lock is this command's, not the server's.
        exec 9>&- </dev/null >>"$files/$name/log" 2>&1
        echo "== $(date -u +%FT%TZ) start"
        cd "$files/$name" || exit
        call "$name" run
    ) &
    record "$files/$name/pid" $!
    wait_for "$name"
    say "$name is up, after $((SECONDS - started)) s"
}

wait_for() {
    local name=$1 seconds=60
    ! has "$name" seconds || seconds=$(call "$name" seconds)
    local end=$((SECONDS + seconds))
    until call "$name" answers >/dev/null 2>&1; do
        if ! process "$name" >/dev/null; then
            tail -n 15 "$files/$name/log" >&2
            fail "$name ended; its log is $files/$name/log"
        fi
        if [ $SECONDS -ge $end ]; then
            tail -n 15 "$files/$name/log" >&2
            fail "$name does not answer after $seconds s; its log is $files/$name/log"
        fi
        sleep 0.1
    done
}

# Waits until the process $1 is gone, for $2 seconds.
gone() {
    local end=$((SECONDS + $2))
    # A zombie whose other threads still end (`Zl`) has its ports still.
    while kill -0 "$1" 2>/dev/null && [[ "$(ps -o stat= -p "$1")" != Z* || "$(ps -o stat= -p "$1")" == Z*l* ]]; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}

bring_down() {
    local name=$1 pid
    if pid=$(process "$name"); then
        if has "$name" end; then call "$name" end "$pid"; else kill "$pid"; fi
        gone "$pid" 30 || { kill -9 "$pid" 2>/dev/null || true; gone "$pid" 5; } || fail "$name: process $pid does not end"
        say "$name is down"
    fi
    ! has "$name" after_end || call "$name" after_end
    # All but the lock, which this command holds.
    find "$files/$name" -mindepth 1 -maxdepth 1 ! -name lock -exec rm -rf {} + 2>/dev/null || true
}

# The server and the processes that it started end at once, as when the machine's memory runs out.
kill_now() {
    local name=$1 pid child children
    pid=$(process "$name") || { say "$name is not up"; return; }
    # In a process of its own, for what it exports.
    if has "$name" before_crash; then (call "$name" before_crash); fi
    mapfile -t children < <(pgrep -P "$pid")
    kill -9 "$pid" "${children[@]}" 2>/dev/null || true
    for child in "$pid" "${children[@]}"; do
        gone "$child" 10 || fail "$name: process $child does not end"
    done
    rm -f "$files/$name/pid"
}

status() {
    local name=$1 pid
    if pid=$(process "$name"); then
        if call "$name" answers >/dev/null 2>&1; then
            printf '%-12s up        process %s, ports %s\n' "$name" "$pid" "$(call "$name" ports | tr '\n' ' ')"
        else
            printf '%-12s silent    process %s does not answer; see dev/brokers logs %s\n' "$name" "$pid" "$name"
        fi
    else
        printf '%-12s down\n' "$name"
    fi
}

print_env() {
    local name line
    for name in "$@"; do known "$name" || fail "\`$name\` is no broker; there are: ${names[*]}"; done
    {
        if [ $# -gt 0 ]; then
            for name in "$@"; do call "$name" env; done
        else
            for name in "${names[@]}"; do
                if process "$name" >/dev/null && call "$name" answers >/dev/null 2>&1; then call "$name" env; fi
            done
            printf '%s\n' "DUCTAPE_TEST_BROKERS=$command"
        fi
        [ ! -f "$tls/ca.pem" ] || printf '%s\n' "DUCTAPE_TEST_CA=$tls/ca.pem" "DUCTAPE_TEST_TLS=$tls"
        printf '%s\n' "DUCTAPE_TEST_USER=$user" "DUCTAPE_TEST_PASSWORD=$password"
    } | while IFS= read -r line; do printf 'export %s=%q\n' "${line%%=*}" "${line#*=}"; done
}

# Succeeds when the TLS server on port $1 shows a certificate of our authority.
speaks_tls() {
    timeout 5 openssl s_client -connect "127.0.0.1:$1" -servername localhost -CAfile "$tls/ca.pem" -verify_return_error </dev/null
}

# http PORT REQUEST [HEADER…]: prints the whole answer. A POST sends an empty object.
http() {
    local port=$1 request=$2 body=
    shift 2
    [[ $request != POST* ]] || body='{}'
    (
        exec 3<>"/dev/tcp/127.0.0.1/$port" || exit 1
        {
            printf '%s\r\n' "$request HTTP/1.1" "Host: 127.0.0.1:$port" 'Connection: close' "Content-Length: ${#body}" "$@"
            printf '\r\n%s' "$body"
        } >&3
        timeout 5 cat <&3
    ) 2>/dev/null
}
