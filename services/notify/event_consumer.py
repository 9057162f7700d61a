"""The inbound binding: which queues NOTIFY reads, and that every message of theirs goes to the story.

It must never decide anything about a message.
"""

from functools import partial

from services.notify.ports import TellsFact
from shared import topology
from shared.lifecycle import Runtime
from shared.rabbitmq_client import Consumer, Publisher

QUEUES = (topology.RISK_ALERTS, topology.NOTIFY_FACTS)


async def open_consumers(runtime: Runtime, amqp_url: str, publisher: Publisher, tell: TellsFact) -> None:
    """Begin to consume; each consumer counts for readiness and is drained when the process stops."""
    for queue in QUEUES:
        consumer = Consumer(amqp_url, runtime.holder, queue, partial(tell, queue.name), publisher)
        await runtime.open(consumer, ping_as=f"consumer {queue.name}")
        runtime.on_drain(consumer.drain)
