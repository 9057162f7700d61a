"""The monitoring on the whole running system: every panel and rule has data, and a fault reaches the phone.

One system of its own, watched every second instead of every ten; nothing else about it is different.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterable
from decimal import Decimal
from http import HTTPStatus

import pytest

from infrastructure.local.layout import REPOSITORY
from infrastructure.local.ports import OFFSETS, PORT_BASE_DEFAULT, Ports
from infrastructure.local.report import WATCHED
from shared import topology
from shared.rabbitmq_client import Publisher
from tests.e2e.conftest import BUSY
from tests.e2e.phoenix import Phoenix, telegram_settings, using
from tests.e2e.watched import Watch
from tests.eventually import eventually
from tests.integration.telegram_stand_in import TelegramStandIn
from tests.servers import RunningSystem, throwaway_stack
from tests.unit.monitoring.queries import Asked, of_panels, of_rules

EVERY_SECOND = {"PHOENIX_MONITORING_INTERVAL_S": "1", "PHOENIX_MONITORING_GROUP_WAIT_S": "1"}
LOCAL_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)(/[^\s`)\"'|<>*,]*)?")
MEASURED_S = 30.0
FIRES_S = 60.0
"""Snapshot, scrape, evaluation, the rule's own 15 s, Alertmanager, NOTIFY."""


@pytest.fixture(scope="module")
async def watched() -> AsyncIterator[Phoenix]:
    """Start a whole system with its monitoring."""
    async with TelegramStandIn() as telegram:
        with throwaway_stack(monitoring=True) as stack:
            settings = telegram_settings(telegram) | BUSY | EVERY_SECOND
            await asyncio.to_thread(stack.start, overrides=settings)
            async with using(RunningSystem(stack), telegram) as phoenix:
                yield phoenix


@pytest.fixture
def watch(watched: Phoenix) -> Watch:
    """Give the hands to ask Prometheus."""
    return Watch(watched.http, watched.system.stack.ports)


async def _a_trading_day(phoenix: Phoenix) -> None:
    """Let everything happen that happens: opened, refused, closed by target, by alert, repeated, forged."""
    won, asked, standing = [
        await phoenix.alert(symbol, "buy", alert_id=f"day-{symbol}")
        for symbol in ("ETHUSDT", "SOLUSDT", "BTCUSDT")
    ]
    await phoenix.alert("BTCUSDT", "buy", alert_id="day-BTCUSDT")  # TradingView sends it again
    refused = await phoenix.alert("XRPUSDT", "buy", confidence=0.1)
    for signal_id in (won, asked, standing):
        assert (await phoenix.outcome(signal_id))["outcome"] == "opened"
    assert (await phoenix.outcome(refused))["outcome"] == "rejected"
    entry = next(each.entry_price for each in (await phoenix.held()).positions if each.symbol == "ETHUSDT")
    await phoenix.price_to("ETHUSDT", entry * Decimal("1.021"))
    await phoenix.told(won, "position.closed.v1")
    await phoenix.alert("SOLUSDT", "exit")
    await phoenix.told(asked, "position.closed.v1")


async def test_every_panel_and_every_rule_measures_something(watched: Phoenix, watch: Watch) -> None:
    await eventually(lambda: _all_up(watch), MEASURED_S, what="all targets answer")
    await _a_trading_day(watched)
    watched.system.stack.kill_program("brain-0")  # what comes back begins its counters anew
    watched.system.stack.await_program("brain-0")
    await watched.post(json.dumps({"symbol": "BTCUSDT", "action": "buy", "secret": "guess"}))
    opened = await watched.alert("ADAUSDT", "sell")
    assert (await watched.outcome(opened))["outcome"] == "opened"

    async def all_answer() -> bool:
        silent[:] = await _silent(watch, silent)
        return not silent

    silent = [*of_panels(), *of_rules()]
    try:
        await eventually(all_answer, MEASURED_S)
    except AssertionError:
        told = "\n".join(f"{asked.of}: {asked.expr}" for asked in silent)
        raise AssertionError(f"these queries return nothing:\n{told}") from None
    assert not await watch.troubled_rules()


async def _all_up(watch: Watch) -> bool:
    found = await watch.targets()
    return len(found) >= 9 and set(found.values()) == {"up"}


async def _silent(watch: Watch, queries: Iterable[Asked]) -> list[Asked]:
    return [asked for asked in queries if not await watch.ask(asked.expr)]


def _documented() -> set[tuple[int, str]]:
    """Return every local address that a document names, as the offset of its port and its path."""
    files = [*REPOSITORY.glob("README*.md"), *(REPOSITORY / "docs").glob("*.md")]
    texts = [*(file.read_text(encoding="utf-8") for file in files), summary_of_a_start()]
    found = {match for text in texts for match in LOCAL_ADDRESS.findall(text)}
    known = set(OFFSETS.values())
    return {
        (int(port) - PORT_BASE_DEFAULT, path.replace("SYMBOL", "BTCUSDT"))
        for port, path in found
        if path  # without one it is where something listens
        and int(port) - PORT_BASE_DEFAULT in known
        and not set(path) & set("{}$<…")
    }


def summary_of_a_start() -> str:
    """Return what start.sh names."""
    ports = Ports(PORT_BASE_DEFAULT)
    return WATCHED.format(prometheus=f"http://127.0.0.1:{ports.of('prometheus')}")


async def test_every_address_that_a_document_names_exists(watched: Phoenix) -> None:
    """Of Prometheus too: Debian's has its pages under other paths than its makers'."""
    addresses, base = sorted(_documented()), watched.system.stack.ports.base
    assert len(addresses) > 20
    wrong = []
    for offset, path in addresses:
        answer = await watched.http.get(f"http://127.0.0.1:{base + offset}{path}", follow_redirects=True)
        if answer.status_code == HTTPStatus.NOT_FOUND:
            wrong.append(f"{PORT_BASE_DEFAULT + offset}{path}")
    assert wrong == []


async def test_a_fault_fires_its_rule_and_reaches_the_phone(watched: Phoenix, watch: Watch) -> None:
    await watched.update_risk(state="HALTED")
    await _is_told(watched, watch, "TradingHalted")

    await watched.admin("hand/order", {"symbol": "XRPUSDT", "side": "BUY", "quantity": "100"})
    async with Publisher(watched.system.amqp_url, "e2e") as publisher:
        await publisher.publish("", topology.SIGNAL_PROCESSING.name, b"not a message")
    for program in ("market_feed", "risk-0"):
        await asyncio.to_thread(watched.system.stack.stop_program, program)

    await _is_told(
        watched,
        watch,
        "DeadLetters",  # a message that cannot be read
        "NakedPosition",  # opened by hand, without a stop
        "ReconcileDifferences",
        "NoMarketData",
        "ServiceDown",
    )
    await eventually(lambda: _fires(watch, "QueueWithoutConsumer"), FIRES_S)
    told = [text for text in watched.telegram.texts if "#queuewithoutconsumer" in text]
    assert not told, "a service that is gone explains the queue that nobody consumes"


async def _fires(watch: Watch, rule: str) -> bool:
    return rule in await watch.firing()


async def _is_told(phoenix: Phoenix, watch: Watch, *rules: str) -> None:
    """Wait until the chat has the alert of each rule."""

    async def all_told() -> bool:
        left[:] = [
            rule for rule in rules if not any(f"#{rule.lower()}" in text for text in phoenix.telegram.texts)
        ]
        return not left

    left = list(rules)
    try:
        await eventually(all_told, FIRES_S)
    except AssertionError:
        raise AssertionError(f"not told: {left}; firing: {await watch.firing()}") from None
