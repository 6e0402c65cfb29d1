# shellcheck shell=bash
# SQS has no server to install; what stands in for it: `sqs` is fauxqs, with SNS, which is quick and keeps its data over a
# crash; `moto` is moto, with SNS, which is slow and forgets, but nearer to AWS where queues are FIFO; `elasticmq` is
# ElasticMQ, SQS alone.
names+=(sqs moto elasticmq)
elasticmq_version=$(sed -n '/elasticmq-server/{n;s/.*<version>\(.*\)<.*/\1/p;}' "$root/dev/elasticmq/pom.xml")
fauxqs_version=2.4.1
moto_version=5.2.5
node_version=22.23.3

sqs_install() {
    need npm npm
    cached "fauxqs-$fauxqs_version" sqs_get
}
# fauxqs asks for SQLite in Node itself. A Node that is older is left alone: the registry carries one beside it.
sqs_get() {
    local packages=("fauxqs@$fauxqs_version")
    node -e 'require("node:sqlite")' 2>/dev/null || packages+=("node-$(node -p process.platform)-$(node -p process.arch)@$node_version")
    npm install --no-audit --no-fund --engine-strict=false --prefix "$1" "${packages[@]}"
}
sqs_ports() { echo $((base + 66)); }
sqs_prepare() { :; }
sqs_run() {
    local program folder=$cache/fauxqs-$fauxqs_version/node_modules
    program=$(compgen -G "$folder/node-*/bin/node" || command -v node)
    become "$program" --disable-warning=ExperimentalWarning "$root/dev/sqs/server.mjs" \
        "$folder/fauxqs/dist/app.js" $((base + 66)) "$files/sqs/data"
}
sqs_answers() { lists_queues $((base + 66)); }
sqs_env() { echo "DUCTAPE_TEST_SQS=http://127.0.0.1:$((base + 66))"; }

moto_install() {
    need_pip
    cached "moto-$moto_version" moto_get
}
# What `moto[server]` adds to these is for other services than SQS and SNS, and large.
moto_get() { pip_into "$1" "moto==$moto_version" flask flask-cors; }
moto_ports() { echo $((base + 67)); }
moto_prepare() { :; }
moto_run() { PYTHONPATH=$cache/moto-$moto_version become python3 "$root/dev/sqs/moto_in_order.py" -H 127.0.0.1 -p $((base + 67)); }
moto_answers() { lists_queues $((base + 67)); }
moto_env() { echo "DUCTAPE_TEST_SQS_MOTO=http://127.0.0.1:$((base + 67))"; }

elasticmq_install() {
    need java openjdk-17-jre-headless
    [ -d "$cache/elasticmq-$elasticmq_version" ] || need mvn maven
    cached "elasticmq-$elasticmq_version" elasticmq_get
}
elasticmq_get() {
    mvn -q -B -f "$root/dev/elasticmq/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$1"
}
elasticmq_ports() { echo $((base + 68)); }
elasticmq_prepare() {
    cat >"$files/elasticmq/conf" <<END
include classpath("application.conf")
node-address { host = "127.0.0.1", port = $((base + 68)) }
rest-sqs { enabled = true, bind-hostname = "127.0.0.1", bind-port = $((base + 68)), sqs-limits = strict }
rest-stats.enabled = false
messages-storage { enabled = true, uri = "jdbc:h2:$files/elasticmq/data/messages" }
queues-storage { enabled = true, path = "$files/elasticmq/data/queues.conf" }
END
}
elasticmq_run() {
    become java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dconfig.file="$files/elasticmq/conf" \
        -cp "$cache/elasticmq-$elasticmq_version/*" org.elasticmq.server.Main
}
elasticmq_answers() { lists_queues $((base + 68)); }
elasticmq_env() { echo "DUCTAPE_TEST_SQS_ELASTICMQ=http://127.0.0.1:$((base + 68))"; }

lists_queues() {
    local signed='Credential=test/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0' answer
    answer=$(http "$1" 'POST /' 'Content-Type: application/x-amz-json-1.0' 'X-Amz-Target: AmazonSQS.ListQueues' \
        "Authorization: AWS4-HMAC-SHA256 $signed")
    [[ $answer == HTTP/1.1\ 200*'{'* ]]
}
