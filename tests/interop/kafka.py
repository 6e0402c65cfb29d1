"""Kafka: confluent-kafka with the CloudEvents SDK's binding, and FastStream."""

import asyncio

from cloudevents.core.bindings import kafka
from confluent_kafka import Consumer, Producer
from faststream.confluent import KafkaBroker

from common import CLIENT, SERVER, TOPIC, Heard, event, order, payload, run


def publish():
    producer = Producer({"bootstrap.servers": SERVER})
    plain = order("plain")
    producer.produce(TOPIC, key=plain.order_id, value=payload(plain))
    message = kafka.to_binary_event(event("event"), key_mapper=lambda event: event.get_subject())
    producer.produce(TOPIC, key=message.key, value=message.value, headers=message.headers)
    assert producer.flush(20) == 0


def read():
    heard = Heard(CLIENT)
    consumer = Consumer(
        {"bootstrap.servers": SERVER, "group.id": f"{TOPIC}.{CLIENT}", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([TOPIC])
    while heard.left:
        message = consumer.poll(1)
        if message is not None:
            assert message.error() is None, message.error()
            heard.take(message.value(), lambda: event_of(message))
    consumer.close()


def event_of(message):
    return kafka.from_kafka_event(
        kafka.KafkaMessage(headers=dict(message.headers()), key=message.key(), value=message.value())
    )


broker = KafkaBroker(SERVER, logger=None)
subscriber = broker.subscriber(TOPIC, group_id=f"{TOPIC}.faststream", auto_offset_reset="earliest")
where = {"topic": TOPIC, "key": order("faststream").order_id.encode()}
asyncio.run(run(publish, read, broker, subscriber, where))
