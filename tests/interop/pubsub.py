"""Google Pub/Sub: google-cloud-pubsub. CloudEvents has no binding that the SDK knows, and FastStream no broker."""

import asyncio
import os

from common import CLIENT, SERVER, TOPIC, Heard, event, event_of, headers_of, order, payload, run

os.environ["PUBSUB_EMULATOR_HOST"] = SERVER

from google.cloud import pubsub_v1  # noqa: E402: it reads the variable

publisher = pubsub_v1.PublisherClient(
    publisher_options=pubsub_v1.types.PublisherOptions(enable_message_ordering=True)
)
subscriber = pubsub_v1.SubscriberClient()
topic = publisher.topic_path("interop", TOPIC)
subscription = subscriber.subscription_path("interop", f"{TOPIC}.python")
subscriber.create_subscription(name=subscription, topic=topic)


def publish():
    send("plain", {})
    send("event", headers_of(event("event")))


def send(name, headers):
    placed = order(name)
    publisher.publish(topic, payload(placed), ordering_key=placed.order_id, **headers).result(20)


def read():
    heard = Heard(CLIENT)
    while heard.left:
        answer = subscriber.pull(subscription=subscription, max_messages=10, timeout=10)
        for received in answer.received_messages:
            message = received.message
            heard.take(message.data, lambda: event_of(message.attributes, message.data))
            subscriber.acknowledge(subscription=subscription, ack_ids=[received.ack_id])
    subscriber.delete_subscription(subscription=subscription)


asyncio.run(run(publish, read))
