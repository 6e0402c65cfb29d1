# shellcheck shell=bash
# Apache Kafka, one node that is broker and controller, with a listener for each way to connect:
#   +92 open, +93 SASL (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512), +94 the same over TLS, +95 TLS alone, +96 the controller.
names+=(kafka)
kafka_version=$(sed -n '/kafka_2.13/{n;s/.*<version>\(.*\)<.*/\1/p;}' "$root/dev/kafka/pom.xml")

kafka_install() {
    need java openjdk-17-jre-headless
    [ -d "$cache/kafka-$kafka_version" ] || need mvn maven
    cached "kafka-$kafka_version" kafka_get
}
kafka_get() { mvn -q -B -f "$root/dev/kafka/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$1"; }
kafka_ports() { printf '%s\n' $((base + 92)) $((base + 93)) $((base + 94)) $((base + 95)) $((base + 96)); }
kafka_seconds() { echo 120; }

kafka_prepare() {
    local folder=$files/kafka
    kafka_conf >"$folder/server.properties"
    cat >"$folder/log4j2.properties" <<'END'
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
logger.server.name = kafka.server
logger.server.level = info
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %m (%c)%n
END
    [ -e "$folder/data/meta.properties" ] || kafka_format >>"$folder/log" 2>&1 ||
        fail "kafka: its data can't be laid out; its log is $folder/log"
}

kafka_format() {
    local mechanism users=()
    for mechanism in SCRAM-SHA-256 SCRAM-SHA-512; do users+=(--add-scram "$mechanism=[name=$user,password=$password]"); done
    kafka_java kafka.tools.StorageTool format --config "$files/kafka/server.properties" \
        --cluster-id ZHVjdGFwZS1ldmVudHMtMQ "${users[@]}"
}

kafka_java() {
    java -Xmx512m -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile="$files/kafka/log4j2.properties" \
        -cp "$cache/kafka-$kafka_version/*" "$@"
}

kafka_conf() {
    local listener module=org.apache.kafka.common.security
    cat <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((base + 96))
controller.listener.names=CONTROLLER
listeners=OPEN://127.0.0.1:$((base + 92)),SASL://127.0.0.1:$((base + 93)),BOTH://127.0.0.1:$((base + 94)),TLS://127.0.0.1:$((base + 95)),CONTROLLER://127.0.0.1:$((base + 96))
advertised.listeners=OPEN://127.0.0.1:$((base + 92)),SASL://127.0.0.1:$((base + 93)),BOTH://localhost:$((base + 94)),TLS://localhost:$((base + 95))
listener.security.protocol.map=OPEN:PLAINTEXT,SASL:SASL_PLAINTEXT,BOTH:SASL_SSL,TLS:SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=OPEN
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
ssl.keystore.type=PEM
ssl.keystore.location=$tls/server.both.pem
ssl.client.auth=none
log.dirs=$files/kafka/data
num.partitions=4
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
group.consumer.min.session.timeout.ms=500
group.consumer.min.heartbeat.interval.ms=100
# After a crash the controller takes the broker back only when the session before has run out.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
log.cleaner.dedupe.buffer.size=16777216
# After a crash each partition's files are looked through before it serves, and the tests leave thousands of partitions.
num.recovery.threads.per.data.dir=16
log.index.size.max.bytes=65536
END
    for listener in sasl both; do
        echo "listener.name.$listener.plain.sasl.jaas.config=$module.plain.PlainLoginModule required user_$user=\"$password\";"
        echo "listener.name.$listener.scram-sha-256.sasl.jaas.config=$module.scram.ScramLoginModule required;"
        echo "listener.name.$listener.scram-sha-512.sasl.jaas.config=$module.scram.ScramLoginModule required;"
    done
}

# Loading its classes is most of a start: the first server that is ended leaves an archive of them for those after it.
kafka_run() {
    local archive=$cache/kafka-$kafka_version/server.jsa classes=-XX:ArchiveClassesAtExit=$files/kafka/server.jsa
    [ ! -f "$archive" ] || classes=-XX:SharedArchiveFile=$archive
    become java -Xms256m -Xmx512m -XX:+UseSerialGC "$classes" -Dlog4j2.configurationFile="$files/kafka/log4j2.properties" \
        -cp "$cache/kafka-$kafka_version/*" kafka.Kafka "$files/kafka/server.properties"
}
kafka_after_end() {
    [ ! -f "$files/kafka/server.jsa" ] || mv "$files/kafka/server.jsa" "$cache/kafka-$kafka_version/server.jsa"
}

# Asks for the cluster's brokers, without topics: ours is listed once the controller lets it serve.
kafka_answers() {
    local answer
    exec 3<>"/dev/tcp/127.0.0.1/$((base + 92))" || return
    printf '\x00\x00\x00\x0e\x00\x03\x00\x01\x00\x00\x00\x07\xff\xff\x00\x00\x00\x00' >&3
    answer=$(timeout 5 head -c 12 <&3 | od -An -tx1 | tr -d ' \n')
    exec 3>&-
    [[ $answer == ????????0000000700000001 ]]
}

kafka_env() {
    echo "DUCTAPE_TEST_KAFKA=127.0.0.1:$((base + 92))"
    echo "DUCTAPE_TEST_KAFKA_SASL=127.0.0.1:$((base + 93))"
    echo "DUCTAPE_TEST_KAFKA_SASL_SSL=localhost:$((base + 94))"
    echo "DUCTAPE_TEST_KAFKA_SSL=localhost:$((base + 95))"
}
