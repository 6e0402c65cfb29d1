"""Moto, served so that its FIFO queues keep order.

A receive of moto 5 that waits looks at the message groups in hand once, when it begins, and so gives two receives that wait at
the same time messages of one group; and its threads change one queue at once. Here a receive that waits is many that do not,
and one call is answered at a time.
"""

import inspect
import sys
import threading
import time

from moto.server import main
from moto.sqs.models import SQSBackend

lock = threading.RLock()
receive = SQSBackend.receive_message


def receive_message(self, queue_name, count, wait_seconds_timeout, *rest, **named):
    until = time.monotonic() + wait_seconds_timeout
    while True:
        with lock:
            result = receive(self, queue_name, count, 0, *rest, **named)
        if result or time.monotonic() >= until:
            return result
        time.sleep(0.02)


def one_at_a_time(method):
    def locked(*args, **named):
        with lock:
            return method(*args, **named)

    return locked


for name, method in inspect.getmembers(SQSBackend, inspect.isfunction):
    if not name.startswith("_"):
        setattr(SQSBackend, name, one_at_a_time(method))
SQSBackend.receive_message = receive_message
main(sys.argv[1:])
