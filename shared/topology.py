"""The messaging topology as one table: exchanges, queues, bindings, streams, and where each message goes.

`python -m shared.topology` writes `infrastructure/rabbitmq/definitions.json` from it; a test keeps them
equal. This module knows names and arguments only; it must never connect to anything.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from shared import models

VIRTUAL_HOST = "/trading"

RETRY_DELAY_MS = 5_000
ATTEMPTS_MAX = 3
NOTIFY_QUEUE_MESSAGES_MAX = 10_000

ATTEMPTS_HEADER = "x-phoenix-attempts"
"""Our own count: brokers reset or ignore theirs when a client re-publishes."""

FAULT_HEADER = "x-phoenix-fault"
"""On a dead letter: what was wrong with it."""

PARKED_AT_HEADER = "x-phoenix-parked-at"
"""On a dead letter: when it was parked, ISO 8601."""

DELIVERIES_MAX = 100
"""How often a message may come back unsettled (its consumer died) before it is dead-lettered; without these
words RabbitMQ 4 would drop it after 20.
"""
DELIVERIES_HANDLED_MAX = 90
"""From then on the consumer parks it unhandled: the broker would not end its signal (P2)."""
DEAD_LETTER_DELIVERIES_MAX = 1_000_000
"""Reading a dead letter and putting it back must never use it up."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A durable exchange."""

    name: str
    kind: str  # topic | direct


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A durable quorum queue with its retry queue and its dead-letter queue.

    `prefetch` bounds how many messages one consumer handles at once. With `messages_max` the oldest message
    is dropped when the queue is full, and the broker dead-letters nothing: only for news, never decisions.
    What is parked from a queue that `carries_signals` ends its signal as failed (P2).
    """

    name: str
    exchange: str
    routing_keys: tuple[str, ...]
    prefetch: int
    messages_max: int | None = None
    carries_signals: bool = False

    @property
    def retry(self) -> str:
        """The queue a failed message waits in."""
        return f"{self.name}.retry"

    @property
    def dead(self) -> str:
        """The queue a message is parked in after `ATTEMPTS_MAX` attempts."""
        return f"{self.name}.dead"


SIGNALS = Exchange(name="trading.signals", kind="topic")
ANALYSIS = Exchange(name="phoenix95.analysis", kind="direct")
RISK = Exchange(name="risk.management", kind="direct")
EVENTS = Exchange(name="trading.events", kind="topic")
EXCHANGES = (SIGNALS, ANALYSIS, RISK, EVENTS)

SIGNAL_PROCESSING = Queue(
    name="signal_processing",
    exchange=SIGNALS.name,
    routing_keys=("signal.process",),
    prefetch=20,
    carries_signals=True,
)
RISK_ASSESSMENT = Queue(
    name="risk_assessment",
    exchange=ANALYSIS.name,
    routing_keys=("analysis.completed",),
    prefetch=20,
    carries_signals=True,
)
TRADE_EXECUTION = Queue(
    name="trade_execution",
    exchange=RISK.name,
    routing_keys=("trade.execute",),
    prefetch=20,
    carries_signals=True,
)
TRADE_CONTROL = Queue(
    name="trade_control",
    exchange=RISK.name,
    routing_keys=("trade.close", "trading.state"),
    prefetch=10,
    carries_signals=True,
)
RISK_ALERTS = Queue(name="risk_alerts", exchange=RISK.name, routing_keys=("risk.alert",), prefetch=10)
BRAIN_FACTS = Queue(
    name="brain_facts",
    exchange=EVENTS.name,
    routing_keys=("signal.*", "decision.*", "order.*", "position.*", "protection.*"),
    prefetch=20,
)
RISK_FACTS = Queue(
    name="risk_facts",
    exchange=EVENTS.name,
    routing_keys=("order.*", "position.*", "account.*"),
    prefetch=20,
)
NOTIFY_FACTS = Queue(
    name="notify_facts",
    exchange=EVENTS.name,
    routing_keys=("signal.*", "decision.*", "order.*", "position.*", "protection.*", "account.*", "system.*"),
    prefetch=50,
    messages_max=NOTIFY_QUEUE_MESSAGES_MAX,
)
QUEUES = (
    SIGNAL_PROCESSING,
    RISK_ASSESSMENT,
    TRADE_EXECUTION,
    TRADE_CONTROL,
    RISK_ALERTS,
    BRAIN_FACTS,
    RISK_FACTS,
    NOTIFY_FACTS,
)


@dataclass(frozen=True, kw_only=True)
class Route:
    """Where a message is published."""

    exchange: str
    routing_key: str


ROUTES: dict[str, tuple[Route, ...]] = {
    models.SignalReceived.SCHEMA: (Route(exchange=SIGNALS.name, routing_key="signal.process"),),
    models.AnalysisCompleted.SCHEMA: (Route(exchange=ANALYSIS.name, routing_key="analysis.completed"),),
    models.ManualTradeProposed.SCHEMA: (Route(exchange=EVENTS.name, routing_key="signal.manual"),),
    models.SignalEnded.SCHEMA: (Route(exchange=EVENTS.name, routing_key="signal.ended"),),
    models.TradeApproved.SCHEMA: (
        Route(exchange=RISK.name, routing_key="trade.execute"),
        Route(exchange=EVENTS.name, routing_key="decision.approved"),
    ),
    models.TradeRejected.SCHEMA: (Route(exchange=EVENTS.name, routing_key="decision.rejected"),),
    models.CloseRequested.SCHEMA: (
        Route(exchange=RISK.name, routing_key="trade.close"),
        Route(exchange=EVENTS.name, routing_key="position.close_requested"),
    ),
    models.TradingStateChanged.SCHEMA: (
        Route(exchange=RISK.name, routing_key="trading.state"),
        Route(exchange=EVENTS.name, routing_key="system.trading_state"),
    ),
    models.OrderPlaced.SCHEMA: (Route(exchange=EVENTS.name, routing_key="order.placed"),),
    models.OrderFilled.SCHEMA: (Route(exchange=EVENTS.name, routing_key="order.filled"),),
    models.OrderEnded.SCHEMA: (Route(exchange=EVENTS.name, routing_key="order.ended"),),
    models.ProtectionPlaced.SCHEMA: (Route(exchange=EVENTS.name, routing_key="protection.placed"),),
    models.PositionOpened.SCHEMA: (Route(exchange=EVENTS.name, routing_key="position.opened"),),
    models.PositionClosed.SCHEMA: (Route(exchange=EVENTS.name, routing_key="position.closed"),),
    models.BooksCompleted.SCHEMA: (Route(exchange=EVENTS.name, routing_key="position.books"),),
    models.OrderRefused.SCHEMA: (Route(exchange=EVENTS.name, routing_key="order.refused"),),
    models.CloseIgnored.SCHEMA: (Route(exchange=EVENTS.name, routing_key="position.close_ignored"),),
    models.AccountSnapshot.SCHEMA: (Route(exchange=EVENTS.name, routing_key="account.snapshot"),),
    models.AlertRaised.SCHEMA: (Route(exchange=RISK.name, routing_key="risk.alert"),),
}
"""The first route is the one that carries the work on; the others tell the world."""

MARKET_STREAM = "market:stream"
STREAM_ENTRIES_MAX = 10_000
STREAM_BLOCK_MS = 1_000


def main_arguments(queue: Queue) -> dict[str, object]:
    """Return the arguments the queue itself is declared with."""
    arguments: dict[str, object] = {"x-queue-type": "quorum", "x-delivery-limit": DELIVERIES_MAX}
    if queue.messages_max is not None:
        return arguments | {"x-max-length": queue.messages_max, "x-overflow": "drop-head"}
    return arguments | _dead_lettered_to(queue.dead)


def retry_arguments(queue: Queue) -> dict[str, object]:
    """Return the arguments of the retry queue: wait `RETRY_DELAY_MS`, then back to the queue itself."""
    return {"x-queue-type": "quorum", "x-message-ttl": RETRY_DELAY_MS} | _dead_lettered_to(queue.name)


def dead_arguments() -> dict[str, object]:
    """Return the arguments of a dead-letter queue: it keeps what it has."""
    return {"x-queue-type": "quorum", "x-delivery-limit": DEAD_LETTER_DELIVERIES_MAX}


def _dead_lettered_to(target: str) -> dict[str, object]:
    """At least once: all three settings are needed, else the broker may lose what it moves."""
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": target,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def declared_queues() -> Iterator[tuple[str, dict[str, object]]]:
    """Yield every queue name with its arguments: main, retry and dead."""
    for queue in QUEUES:
        yield queue.name, main_arguments(queue)
        yield queue.retry, retry_arguments(queue)
        yield queue.dead, dead_arguments()


def definitions() -> dict[str, object]:
    """Return the topology in RabbitMQ's definitions format, without users (they are made at first start)."""
    return {
        "vhosts": [{"name": VIRTUAL_HOST}],
        "exchanges": [
            {
                "name": exchange.name,
                "vhost": VIRTUAL_HOST,
                "type": exchange.kind,
                "durable": True,
                "auto_delete": False,
                "internal": False,
                "arguments": {},
            }
            for exchange in EXCHANGES
        ],
        "queues": [
            {
                "name": name,
                "vhost": VIRTUAL_HOST,
                "durable": True,
                "auto_delete": False,
                "arguments": arguments,
            }
            for name, arguments in declared_queues()
        ],
        "bindings": [
            {
                "source": queue.exchange,
                "vhost": VIRTUAL_HOST,
                "destination": queue.name,
                "destination_type": "queue",
                "routing_key": routing_key,
                "arguments": {},
            }
            for queue in QUEUES
            for routing_key in queue.routing_keys
        ],
    }


def definitions_json() -> str:
    """Return the definitions file's exact text."""
    return msgspec.json.format(msgspec.json.encode(definitions()), indent=2).decode() + "\n"


def main() -> None:
    """Write the generated definitions file."""
    from pathlib import Path  # only the generator touches a file

    target = Path(__file__).parent.parent / "infrastructure" / "rabbitmq" / "definitions.json"
    target.write_text(definitions_json(), encoding="utf-8")


if __name__ == "__main__":
    main()
