"""Redis: redis-py and FastStream. CloudEvents has no binding for it."""

import asyncio

from faststream.redis import RedisBroker, StreamSub
from redis import Redis

from common import CLIENT, SERVER, TOPIC, Heard, event, event_of, headers_of, order, payload, run

STREAM = f"{{{TOPIC}}}"
host, port = SERVER.split(":")
client = Redis(host=host, port=int(port))


def publish():
    client.xadd(STREAM, {"order": payload(order("plain"))})
    client.xadd(STREAM, {"data": payload(order("event")), **headers_of(event("event"))})


def read():
    heard, last = Heard(CLIENT), "0"
    while heard.left:
        for _, entries in client.xread({STREAM: last}, block=1000):
            for last, fields in entries:
                if b"data" in fields:
                    body = fields.pop(b"data")
                    headers = {name.decode(): value.decode() for name, value in fields.items()}
                    heard.take(body, lambda: event_of(headers, body))
    client.close()


broker = RedisBroker(f"redis://{SERVER}", logger=None)
subscriber = broker.subscriber(stream=StreamSub(STREAM, last_id="0"))
asyncio.run(run(publish, read, broker, subscriber, {"stream": STREAM}))
