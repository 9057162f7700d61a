"""The inbound binding: which queue is handled by which part of the story.

Closing has a queue, a connection and a prefetch of its own: entries can never stand in its way (P9).
"""

from services.execute.flow import ExecutionFlow
from shared.rabbitmq_client import Consumer, Publisher
from shared.topology import TRADE_CONTROL, TRADE_EXECUTION


def consumers(url: str, holder: str, flow: ExecutionFlow, publisher: Publisher) -> dict[str, Consumer]:
    """Return EXECUTE's consumers by the name of their queue."""
    return {
        TRADE_CONTROL.name: Consumer(url, holder, TRADE_CONTROL, flow.on_control, publisher),
        TRADE_EXECUTION.name: Consumer(url, holder, TRADE_EXECUTION, flow.on_execution, publisher),
    }
