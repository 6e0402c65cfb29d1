"""RabbitMQ: pika with both bindings of the CloudEvents SDK, and FastStream."""

import asyncio

import pika
from cloudevents.core.bindings import amqp, rabbitmq
from faststream.rabbit import ExchangeType, RabbitBroker, RabbitExchange, RabbitQueue

from common import CLIENT, SERVER, TOPIC, Heard, event, order, payload, run

EXCHANGE = "interop"

channel = pika.BlockingConnection(pika.URLParameters(f"{SERVER}/%2f")).channel()
queue = channel.queue_declare("", exclusive=True).method.queue
channel.queue_bind(queue, EXCHANGE, routing_key=TOPIC)


def publish():
    send(payload(order("plain")), pika.BasicProperties())
    message = amqp.to_binary_event(event("event"))
    properties = pika.BasicProperties(
        headers=message.application_properties, content_type=message.properties["content-type"]
    )
    send(message.application_data, properties)
    message = rabbitmq.to_binary_event(event("event-of-rabbitmq"))
    send(message.body, pika.BasicProperties(headers=message.headers, content_type=message.content_type))


def send(body, properties):
    channel.basic_publish(EXCHANGE, TOPIC, body, properties)


def read():
    heard = Heard(CLIENT)
    for _, properties, body in channel.consume(queue, auto_ack=True):
        heard.take(body, lambda: event_of(properties, body))
        if not heard.left:
            break
    channel.connection.close()


def event_of(properties, body):
    return amqp.from_amqp_event(
        amqp.AMQPMessage(
            properties={"content-type": properties.content_type},
            application_properties=properties.headers,
            application_data=body,
        )
    )


broker = RabbitBroker(SERVER, logger=None)
exchange = RabbitExchange(EXCHANGE, type=ExchangeType.DIRECT, durable=True)
own_queue = RabbitQueue(f"{TOPIC}.faststream", routing_key=TOPIC, exclusive=True)
where = {"exchange": exchange, "routing_key": TOPIC}
asyncio.run(run(publish, read, broker, broker.subscriber(own_queue, exchange), where))
