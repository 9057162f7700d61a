"""The topology: its table against DESIGN §3, against the generated file, and against what must reach whom."""

import re
from pathlib import Path

import msgspec
import pytest

from shared import models, topology
from shared.topology import EXCHANGES, QUEUES, ROUTES, Queue, Route

DEFINITIONS = Path(topology.__file__).parent.parent / "infrastructure" / "rabbitmq" / "definitions.json"

DESIGNED = {
    "signal_processing": ("trading.signals", "topic", {"signal.process"}),
    "risk_assessment": ("phoenix95.analysis", "direct", {"analysis.completed"}),
    "trade_execution": ("risk.management", "direct", {"trade.execute"}),
    "trade_control": ("risk.management", "direct", {"trade.close", "trading.state"}),
    "risk_alerts": ("risk.management", "direct", {"risk.alert"}),
}
FACT_QUEUES = {"brain_facts", "risk_facts", "notify_facts"}
FACT_FAMILIES = {"signal.*", "decision.*", "order.*", "position.*", "protection.*", "account.*", "system.*"}

WORK = {
    models.SignalReceived: "signal_processing",
    models.AnalysisCompleted: "risk_assessment",
    models.TradeApproved: "trade_execution",
    models.CloseRequested: "trade_control",
    models.TradingStateChanged: "trade_control",
    models.AlertRaised: "risk_alerts",
}
"""Who must get the message for the pipeline to go on."""

FACTS_FOR = {
    # BRAIN owns the outcome of every signal: it must hear of everything that may be one.
    "brain_facts": {
        models.TradeRejected,
        models.OrderEnded,
        models.PositionOpened,
        models.PositionClosed,
        models.CloseIgnored,
    },
    # RISK's reservations end by these.
    "risk_facts": {
        models.OrderEnded,
        models.PositionOpened,
        models.PositionClosed,
        models.AccountSnapshot,
    },
}


def test_the_generated_file_is_what_the_table_says() -> None:
    assert DEFINITIONS.read_text(encoding="utf-8") == topology.definitions_json(), (
        "write it anew: python -m shared.topology"
    )


def test_queues_and_exchanges_are_the_designed_ones() -> None:
    kinds = {exchange.name: exchange.kind for exchange in EXCHANGES}
    work = {
        queue.name: (queue.exchange, kinds[queue.exchange], set(queue.routing_keys))
        for queue in QUEUES
        if queue.exchange != "trading.events"
    }
    facts = {queue.name: set(queue.routing_keys) for queue in QUEUES if queue.exchange == "trading.events"}
    assert work == DESIGNED
    assert set(facts) == FACT_QUEUES
    assert kinds["trading.events"] == "topic"
    assert facts["notify_facts"] == FACT_FAMILIES
    assert all(families <= FACT_FAMILIES for families in facts.values())
    assert topology.VIRTUAL_HOST == "/trading"


def test_every_message_has_a_route_and_every_route_a_message() -> None:
    assert set(ROUTES) == {message.SCHEMA for message in models.MESSAGES}


@pytest.mark.parametrize(
    ("schema", "route"), [(schema, route) for schema, routes in ROUTES.items() for route in routes]
)
def test_every_route_reaches_a_queue(schema: str, route: Route) -> None:
    assert _reached(route), f"{schema} would be returned by the broker"


@pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)
def test_every_queue_is_reached_by_some_message(queue: Queue) -> None:
    assert any(queue in _reached(route) for routes in ROUTES.values() for route in routes)


@pytest.mark.parametrize(("message", "queue"), WORK.items())
def test_the_first_route_of_a_command_leads_to_the_one_who_works_on_it(
    message: type[models.Message], queue: str
) -> None:
    assert [each.name for each in _reached(ROUTES[message.SCHEMA][0])] == [queue]


@pytest.mark.parametrize(
    ("queue", "message"), [(queue, message) for queue, messages in FACTS_FOR.items() for message in messages]
)
def test_facts_reach_the_services_that_keep_promises_by_them(
    queue: str, message: type[models.Message]
) -> None:
    assert queue in {each.name for route in ROUTES[message.SCHEMA] for each in _reached(route)}


@pytest.mark.parametrize("message", models.MESSAGES)
def test_no_queue_gets_a_message_twice(message: type[models.Message]) -> None:
    reached = [queue.name for route in ROUTES[message.SCHEMA] for queue in _reached(route)]
    assert len(reached) == len(set(reached))


def test_the_dashboards_queue_sees_every_fact() -> None:
    unseen = {
        schema
        for schema, routes in ROUTES.items()
        for route in routes
        if route.exchange == "trading.events"
        and "notify_facts" not in {queue.name for queue in _reached(route)}
    }
    assert unseen == set()


@pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)
class TestEveryQueue:
    """What each queue is declared with, and its two companions."""

    def test_is_a_durable_quorum_queue_with_a_retry_and_a_dead_letter_queue(self, queue: Queue) -> None:
        declared = dict(topology.declared_queues())
        for name in (queue.name, queue.retry, queue.dead):
            assert declared[name]["x-queue-type"] == "quorum"
        written = msgspec.json.decode(DEFINITIONS.read_bytes())["queues"]
        assert {each["durable"] for each in written} == {True}

    def test_retries_after_five_seconds_and_loses_nothing_on_the_way(self, queue: Queue) -> None:
        arguments = topology.retry_arguments(queue)
        assert arguments["x-message-ttl"] == 5_000
        assert arguments["x-dead-letter-routing-key"] == queue.name
        _assert_dead_letters_at_least_once(arguments)

    def test_parks_what_keeps_killing_its_consumer_instead_of_dropping_it(self, queue: Queue) -> None:
        arguments = topology.main_arguments(queue)
        assert arguments["x-delivery-limit"] == topology.DELIVERIES_MAX
        if queue.messages_max is None:
            assert arguments["x-dead-letter-routing-key"] == queue.dead
            _assert_dead_letters_at_least_once(arguments)

    def test_uses_no_argument_that_a_supported_broker_refuses(self, queue: Queue) -> None:
        """RabbitMQ 3.10 refuses priorities on quorum queues, 4.3 refuses modes and versions."""
        for arguments in (
            topology.main_arguments(queue),
            topology.retry_arguments(queue),
            topology.dead_arguments(),
        ):
            assert not set(arguments) & {"x-max-priority", "x-queue-mode", "x-queue-version", "x-expires"}

    def test_bounds_what_a_consumer_holds(self, queue: Queue) -> None:
        assert 0 < queue.prefetch <= 100


def test_only_news_may_be_dropped_and_it_is_dropped_without_dead_letters() -> None:
    assert [queue.name for queue in QUEUES if queue.messages_max is not None] == ["notify_facts"]
    arguments = topology.main_arguments(topology.NOTIFY_FACTS)
    assert arguments["x-overflow"] == "drop-head"
    assert "x-dead-letter-exchange" not in arguments


def test_exits_do_not_wait_behind_entries() -> None:
    """P9: a queue (and so a channel) of their own."""
    entries = {queue.name for queue in _reached(ROUTES[models.TradeApproved.SCHEMA][0])}
    exits = {queue.name for queue in _reached(ROUTES[models.CloseRequested.SCHEMA][0])}
    assert not entries & exits


def _reached(route: Route) -> list[Queue]:
    """Return the queues that a topic or direct exchange would put a message of this route into."""
    kind = {exchange.name: exchange.kind for exchange in EXCHANGES}[route.exchange]
    return [
        queue
        for queue in QUEUES
        if queue.exchange == route.exchange
        and any(_matches(kind, pattern, route.routing_key) for pattern in queue.routing_keys)
    ]


def _matches(kind: str, pattern: str, key: str) -> bool:
    if kind == "direct":
        return pattern == key
    assert "#" not in pattern, "teach this test the pattern first"
    words = re.escape(pattern).replace(r"\*", r"[^.]+")
    return re.fullmatch(words, key) is not None


def _assert_dead_letters_at_least_once(arguments: dict[str, object]) -> None:
    """All of it is needed; with any other overflow the broker silently falls back to at most once."""
    assert arguments["x-dead-letter-exchange"] == ""
    assert arguments["x-dead-letter-strategy"] == "at-least-once"
    assert arguments["x-overflow"] == "reject-publish"
