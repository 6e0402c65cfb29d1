# shellcheck shell=bash
# Pub/Sub: Google's emulator, a Java program that comes with gcloud, behind the door of dev/pubsub, without which a
# subscriber that ends leaves its subscription stuck. It keeps everything in memory.
names+=(pubsub)

pubsub_install() {
    need java openjdk-17-jre-headless
    [ -n "$(pubsub_jar)" ] || fail "pubsub: Google's emulator is missing; install gcloud (https://cloud.google.com/sdk) and then: gcloud components install pubsub-emulator"
    need go golang-go
    (cd "$root/dev/pubsub" && go build -o "$cache/pubsub-door" .) || fail "pubsub: dev/pubsub can't be built"
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
    become "$cache/pubsub-door" -listen "127.0.0.1:$((base + 85))" -emulator "127.0.0.1:$((base + 86))" \
        java -Xmx1g -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -jar "$(pubsub_jar | head -n 1)" --host=127.0.0.1 --port=$((base + 86))
}
pubsub_answers() { [[ $(http $((base + 85)) 'GET /v1/projects/ductape/topics') == HTTP/1.1\ 200* ]]; }
pubsub_env() { echo "DUCTAPE_TEST_PUBSUB=127.0.0.1:$((base + 85))"; }
