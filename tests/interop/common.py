"""What the programs have in common: what they are told, the orders of both sides, and how they tell what they read.

The first argument says it all, as JSON. A program that has published prints `ready`; then one line of JSON for each order
of the other side that it read. `order_placed` is generated from the JSON Schema of the topic.
"""

import asyncio
import inspect
import json
import sys
from datetime import datetime

from cloudevents.core.v1.event import CloudEvent
from order_placed import OrderPlaced

SETTINGS = json.loads(sys.argv[1])
SERVER = SETTINGS["server"]
TOPIC = SETTINGS["topic"]
CLIENT = SETTINGS["client"]


def order(name):
    """The order of this name, as its model."""
    return OrderPlaced.model_validate(SETTINGS["orders"][name])


def payload(placed):
    """The order as JSON."""
    return placed.model_dump_json(by_alias=True).encode()


def event(name):
    """The order of this name as an event of the CloudEvents SDK."""
    placed = order(name)
    attributes = {
        "id": f"python-{name}",
        "type": "interop:order-placed",
        "source": "/python/program",
        "time": datetime.fromisoformat(SETTINGS["time"]),
        "subject": placed.order_id,
        "datacontenttype": "application/json",
    }
    return CloudEvent(attributes, placed.model_dump(mode="json", by_alias=True))


def headers_of(event):
    """The attributes as texts under `ce-`, for transports for which CloudEvents has no binding."""
    headers = {f"ce-{name}": str(value) for name, value in event.get_attributes().items()}
    headers["ce-time"] = event.get_time().isoformat()
    headers["content-type"] = headers.pop("ce-datacontenttype")
    return headers


def event_of(headers, body):
    """The event that such headers and the body make."""
    attributes = {name[3:]: value for name, value in headers.items() if name.startswith("ce-")}
    attributes["time"] = datetime.fromisoformat(attributes["time"])
    return CloudEvent(attributes, json.loads(body))


class Heard:
    """What one reader has read of the orders of the other side; each may come again."""

    def __init__(self, reader):
        self.reader = reader
        self.left = set(SETTINGS["awaited"])

    def take(self, body, read_event):
        """Tells what came, when it is the other side's; `read_event` makes the event of the message."""
        placed = OrderPlaced.model_validate_json(body)
        if placed.order_id in self.left:
            event = read_event()
            assert OrderPlaced.model_validate(event.get_data()) == placed
            self.tell(placed, event)

    def tell(self, placed, event=None):
        if placed.order_id not in self.left:
            return
        self.left.remove(placed.order_id)
        told = {"by": self.reader, "order": placed.model_dump(mode="json", by_alias=True)}
        if event is not None:
            told["event"] = {
                "id": event.get_id(),
                "type": event.get_type(),
                "source": event.get_source(),
                "subject": event.get_subject(),
                "seconds": event.get_time().timestamp(),
            }
        # In one write, since both readers tell.
        print(json.dumps(told) + "\n", end="", flush=True)


async def call(step):
    """Awaits a step that is asynchronous, and gives one that blocks a thread."""
    await (step() if inspect.iscoroutinefunction(step) else asyncio.to_thread(step))


async def run(publish, read, broker=None, subscriber=None, where=None):
    """Publishes, says so, and reads; with FastStream too, where there is a `broker` of it.

    `subscriber` is its decorator of what reads the topic, `where` what it needs to publish there.
    """
    heard = Heard("faststream")
    all_heard = asyncio.Event()
    if broker is None:
        all_heard.set()
    else:

        @subscriber
        async def take(placed: OrderPlaced):
            heard.tell(placed)
            if not heard.left:
                all_heard.set()

        await broker.start()
        await broker.publish(order("faststream"), **where)
    await call(publish)
    print("ready", flush=True)
    await asyncio.gather(call(read), all_heard.wait())
    if broker is not None:
        await broker.stop()
