"""NATS: nats-py and FastStream. The CloudEvents SDK has no binding for it; NATS' is that of HTTP, `datacontenttype` aside."""

import asyncio

import nats
from cloudevents.core.bindings import http
from faststream.nats import JStream, NatsBroker
from nats.js.api import DeliverPolicy

from common import CLIENT, SERVER, TOPIC, Heard, event, order, payload, run


async def main():
    connection = await nats.connect(SERVER)
    jetstream = connection.jetstream()
    stream = await jetstream.find_stream_name_by_subject(TOPIC)

    async def publish():
        await jetstream.publish(TOPIC, payload(order("plain")))
        message = http.to_binary_event(event("event"))
        headers = {**message.headers, "ce-datacontenttype": message.headers.pop("content-type")}
        await jetstream.publish(TOPIC, message.body, headers=headers)

    async def read():
        heard = Heard(CLIENT)
        subscription = await jetstream.subscribe(TOPIC, stream=stream, deliver_policy=DeliverPolicy.ALL)
        while heard.left:
            message = await subscription.next_msg(timeout=30)
            heard.take(message.data, lambda: event_of(message))
            await message.ack()

    broker = NatsBroker(SERVER, logger=None)
    subscriber = broker.subscriber(
        TOPIC, stream=JStream(stream, declare=False), deliver_policy=DeliverPolicy.ALL
    )
    await run(publish, read, broker, subscriber, {"subject": TOPIC, "stream": stream})
    await connection.close()


def event_of(message):
    return http.from_http_event(http.HTTPMessage(headers=message.headers, body=message.data))


asyncio.run(main())
