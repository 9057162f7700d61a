"""BRAIN against real servers: what the webhook accepts is durable, answered once, ends once (P1, P2, P10)."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import msgspec
import pytest

from services.brain.flow import BrainFlow
from services.brain.housekeeping import Housekeeping
from shared import codec, topology
from shared.clock import ManualClock, utc_now
from shared.models import (
    AlertRaised,
    AnalysisCompleted,
    CloseRequested,
    Envelope,
    ManualTradeProposed,
    OrderFilled,
    OrderPlaced,
)
from shared.outbox import Outbox
from shared.story import tell
from shared.values import Action, CloseReason, Origin, Severity, Side
from tests.broker import Broker
from tests.eventually import eventually
from tests.integration.brain_world import WEBHOOK, World, all_at_once, world
from tests.servers import Servers
from tests.unit.brain.builders import RULES, close_ignored, closed, fact, opened, received, rejected, signal

pytestmark = pytest.mark.servers

__all__ = ["world"]


async def accepted(client: httpx.AsyncClient, alert: dict[str, object], path: str = WEBHOOK) -> str:
    answer = await client.post(path, json=alert)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["signal_id"])


async def test_accepted_alert_is_recorded_and_proposed_to_risk(world: World) -> None:
    async with world.brain() as client:
        signal_id = await accepted(client, world.alert())
        proposal = await world.hears(signal_id)
        assert isinstance(proposal, AnalysisCompleted)
        assert proposal.analysis is not None
        assert proposal.analysis.final_confidence == Decimal("0.848094695378125")
        assert proposal.signal.signal_id == signal_id
        [shown] = (await client.get("/signals")).json()["signals"]
        assert shown["signal_id"] == signal_id
        assert Decimal(shown["final_confidence"]) == Decimal("0.848094695378125")
        assert (shown["outcome"], shown["reason"]) == (None, None)
        assert await world.count("signals", f"signal::text LIKE '%{world.secret}%'") == 0


async def test_exit_goes_to_execute_without_the_market(world: World) -> None:
    async with world.brain() as client:
        signal_id = await accepted(client, world.alert(symbol="NOFEEDUSDT", action="close", price=None))
        request = await world.hears(signal_id)
        assert isinstance(request, CloseRequested)
        assert (request.symbol, request.reason) == ("NOFEEDUSDT", CloseReason.EXIT_SIGNAL)


async def test_ready_names_every_dependency(world: World) -> None:
    async with world.brain() as client:
        found = (await client.get("/ready")).json()
        assert found["ready"], found
        assert set(found["dependencies"]) == {
            "postgresql",
            "rabbitmq",
            "redis",
            "signal_processing",
            "brain_facts",
            "loops",
        }


async def test_queue_that_is_gone_gets_no_200(world: World, servers: Servers) -> None:
    """The message would be returned as unroutable: accepted by the broker and lost."""
    async with world.brain() as client, Broker(servers).channel() as channel:
        queue, exchange = topology.SIGNAL_PROCESSING.name, topology.SIGNALS.name
        bound = await channel.get_queue(queue)
        await bound.unbind(exchange, "signal.process")
        try:
            assert (await client.post(WEBHOOK, json=world.alert())).status_code == 503
        finally:
            await bound.bind(exchange, "signal.process")
        await accepted(client, world.alert())


async def test_database_away_does_not_stop_the_webhook_and_loses_nothing(
    world: World, servers: Servers
) -> None:
    async with world.brain() as client:
        await asyncio.to_thread(servers.stop, "postgres")  # frozen, it would go on serving who is connected
        try:
            signal_id = await accepted(client, world.alert())
            assert world.about(signal_id) == []
        finally:
            await asyncio.to_thread(servers.start, "postgres")
        assert isinstance(await world.hears(signal_id), AnalysisCompleted)


async def test_redis_away_pauses_entries_lets_exits_pass_and_loses_nothing(
    world: World, servers: Servers
) -> None:
    async with world.brain() as client:
        servers.stop("redis")
        try:
            entry = await accepted(client, world.alert())
            leave = await accepted(client, world.alert(action="close"))
            assert isinstance(await world.hears(leave), CloseRequested)
            assert world.about(entry) == []
            assert (await client.get("/ready")).status_code == 503
        finally:
            servers.start("redis")
        assert isinstance(await world.hears(entry), AnalysisCompleted)


async def test_four_equal_alerts_on_two_replicas_are_one_signal(world: World) -> None:
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(world.brain(number)) for number in range(2)]
        alert = world.alert(alert_id=None)
        sent = await asyncio.gather(*(all_at_once(client, [alert, alert]) for client in replicas))
        ids = [answer.json()["signal_id"] for answers in sent for answer in answers]
        assert len(set(ids)) == 4
        await eventually(lambda: _counts(world, "inbox", 4), what="all four handled")
        assert await world.count("signals") == 1
        assert await world.count("duplicates") == 3
        [row] = await world.database.fetch("SELECT signal_id FROM signals")
        duplicate = next(each for each in ids if each != row["signal_id"])
        story = (await replicas[0].get(f"/signals/{duplicate}")).json()
        assert story["duplicate_of"] == row["signal_id"] == story["signal"]["signal_id"]
        await eventually(world.is_settled)
        assert len([each for each in ids if world.about(each)]) == 1


async def test_alert_with_an_id_sent_four_times_is_one_signal(world: World) -> None:
    async with world.brain() as client:
        alert = world.alert()
        answers = await all_at_once(client, [alert] * 4)
        assert {answer.status_code for answer in answers} == {200}
        [signal_id] = {answer.json()["signal_id"] for answer in answers}
        await eventually(lambda: _counts(world, "inbox", 4), what="all four handled")
        await eventually(world.is_settled)
        assert len(world.about(signal_id)) == 1


class DyingOutbox(Outbox):
    """Dies between the commit and the publish."""

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        raise KeyboardInterrupt("killed")


async def test_death_between_commit_and_publish_is_made_good_by_the_sweeper(world: World) -> None:
    made = signal("killed", received_at=datetime.now(UTC))
    dying = BrainFlow(world.store, world.market, DyingOutbox(world.database, world.publisher), RULES, utc_now)
    with pytest.raises(KeyboardInterrupt):
        await dying.on_signal(received(made))
    assert not await world.is_settled()
    async with world.brain():
        assert isinstance(await world.hears(made.signal_id), AnalysisCompleted)
        await eventually(world.is_settled)


async def test_redelivery_is_answered_once(world: World) -> None:
    made = signal("again", received_at=datetime.now(UTC))
    async with world.brain():
        for _ in range(5):
            await world.publisher.send(received(made))
        await world.hears(made.signal_id)
        last = signal("last", received_at=datetime.now(UTC))
        await world.publisher.send(received(last))
        await world.hears(last.signal_id)
        await eventually(world.is_settled)
        assert len(world.about(made.signal_id)) == 1


async def test_old_entry_expires_with_its_outcome(world: World) -> None:
    async with world.brain() as client:
        long_ago = (datetime.now(UTC) - timedelta(seconds=45)).strftime("%Y-%m-%dT%H:%M:%SZ")
        signal_id = await accepted(client, world.alert(timenow=long_ago))
        outcomes = await eventually(world.outcomes, what="an outcome")
        assert outcomes[signal_id].startswith("expired(too old: 4")


async def test_facts_out_of_order_give_each_signal_its_one_outcome(world: World) -> None:
    entry, refused = signal("entry"), signal("manual", origin=Origin.MANUAL)
    leave = signal("leave", action=Action.EXIT)
    exit_closes = fact(closed(entry.signal_id, CloseReason.EXIT_SIGNAL, leave.signal_id), entry.signal_id)
    async with world.brain() as client:
        await world.publisher.send(received(leave))
        await world.hears(leave.signal_id)
        for told in (
            exit_closes,
            fact(opened(entry.signal_id), entry.signal_id),
            fact(rejected(refused.signal_id, "daily_loss"), refused.signal_id, "risk"),
            exit_closes,
            fact(ManualTradeProposed(signal=refused), refused.signal_id),
            fact(close_ignored("req-operator"), "req-operator"),
        ):
            await world.publisher.send(told)
        await eventually(lambda: _counts(world, "signals", 2), what="the manual proposal recorded")
        await eventually(lambda: _counts(world, "story", 8), what="every fact told")
        assert await world.outcomes() == {
            entry.signal_id: "opened(protected)",
            leave.signal_id: "closed(exit_signal)",
            refused.signal_id: "rejected(daily_loss)",
        }
        assert await world.count("open_positions", "is_open") == 0
        assert await world.store.closed_returns(10) == (1, [Decimal("0.01900000")])
        story = (await client.get(f"/signals/{leave.signal_id}")).json()["story"]
        assert "position.closed.v1" in [told["schema"] for told in story]


async def test_story_leads_from_the_alert_to_the_result(world: World) -> None:
    async with world.brain() as client:
        signal_id = await accepted(client, world.alert(comment="breakout"))
        await world.hears(signal_id)
        now = datetime.now(UTC)
        common = {"signal_id": signal_id, "symbol": "BTCUSDT", "side": Side.LONG}
        placed = OrderPlaced(
            **common,  # type: ignore[arg-type]
            client_id="p95t-x-e",
            exchange_order_id="1",
            order_type="LIMIT",
            quantity=Decimal("0.2"),
            limit_price=Decimal(50050),
            claimed_at=now,
            accepted_at=now,
        )
        filled = OrderFilled(
            **common,  # type: ignore[arg-type]
            client_id="p95t-x-e",
            exchange_order_id="1",
            quantity=Decimal("0.2"),
            filled_quantity=Decimal("0.2"),
            average_price=Decimal(50001),
            slippage=Decimal("0.00002"),
            filled_at=now,
        )
        messages = (placed, filled, opened(signal_id), closed(signal_id))
        for number, message in enumerate(messages):
            moment = now + timedelta(seconds=number)
            await world.publisher.send(fact(message, signal_id, occurred_at=moment))
        await eventually(lambda: _counts(world, "story", 6), what="every message told")
        found = (await client.get(f"/signals/{signal_id}")).json()
    assert [told["schema"] for told in found["story"]] == [
        "signal.received.v1",
        "analysis.completed.v1",
        "order.placed.v1",
        "order.filled.v1",
        "position.opened.v1",
        "position.closed.v1",
    ]
    assert found["story"][1]["causation_id"] == found["story"][0]["event_id"]
    assert "breakout" in found["signal"]["alert_text"]
    assert len(found["analysis"]["factors"]) == 19
    assert found["outcome"]["outcome"] == "opened"
    assert found["story"][-1]["payload"]["pnl_usdt"] == "200"
    assert found["duplicate_of"] is None


async def test_unknown_signal_is_a_problem_document(world: World) -> None:
    async with world.brain() as client:
        answer = await client.get("/signals/sig-nobody")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


async def test_analyze_scores_and_trades_nothing(world: World) -> None:
    async with world.brain() as client:
        await world.ticks(volume="20000000")
        answer = (await client.post("/analyze", json=world.alert(secret=None))).json()
        assert Decimal(answer["analysis"]["final_confidence"]) > Decimal("0.85")
        assert answer["edge"]["win_rate"] == "0.68000000"
        assert (await client.post("/analyze", json=world.alert(action="exit"))).status_code == 422
        assert (await client.post("/analyze", json={"symbol": "BTCUSDT"})).status_code == 422
        nowhere = world.alert(symbol="NOFEEDUSDT", price=None)
        assert (await client.post("/analyze", json=nowhere)).json()["title"] == "no price"
        assert await world.count("signals") == 0


async def test_stats_count_endings(world: World) -> None:
    async with world.brain() as client:
        first = await accepted(client, world.alert())
        second = await accepted(client, world.alert(symbol="ETHUSDT"))
        for signal_id in (first, second):
            await world.hears(signal_id)
        await world.publisher.send(fact(opened(first), first))
        await eventually(world.outcomes)
        stats = (await client.get("/stats")).json()
        assert stats["signals"] == 2
        endings = {(each["outcome"], each["reason"]): each["signals"] for each in stats["by_outcome"]}
        assert endings == {("opened", "protected"): 1, ("pending", ""): 1}
        assert sum(each["signals"] for each in stats["by_hour"]) == 2
        only = (await client.get("/signals", params={"symbol": "ethusdt"})).json()["signals"]
        assert [each["signal_id"] for each in only] == [second]


async def test_signal_that_waits_too_long_is_told_once(world: World) -> None:
    outbox = Outbox(world.database, world.publisher)
    async with world.brain() as client:
        signal_id = await accepted(client, world.alert())
        await world.hears(signal_id)
        for instance in range(2):
            later = utc_now() + timedelta(seconds=121 + instance)
            clock = ManualClock(later)
            await Housekeeping(world.store, outbox, timedelta(seconds=120), clock).watch()
        await eventually(lambda: len(world.about(signal_id)) == 2, what="the alarm")
        alarm = world.about(signal_id)[-1]
        assert isinstance(alarm, AlertRaised)
        assert signal_id in alarm.text
        assert await world.count("outbox", "event_id IS NOT NULL") == 2


async def test_message_of_a_wrong_kind_is_parked_and_stops_nobody(world: World, servers: Servers) -> None:
    async with world.brain() as client:
        body = msgspec.json.encode({"schema": "signal.received.v9"})
        await world.publisher.publish(topology.SIGNALS.name, "signal.process", body)
        signal_id = await accepted(client, world.alert())
        await world.hears(signal_id)
        parked = await eventually(lambda: Broker(servers).take(topology.SIGNAL_PROCESSING.dead))
        assert parked is not None
        assert parked.body == body


async def _counts(world: World, table: str, rows: int) -> bool:
    return await world.count(table) >= rows


NASTY = {
    "volume": "1e-100",
    "rsi": "0E-300",
    "macd": "9" * 60,
    "confidence": "1e-200",
    "price": "0." + "3" * 900,
    "timenow": "2026-01-31T12:00:00.123456789+13:45",
    "comment": "a\0b \\u0000 \U0001f600 \x1b",
    "deep": [[[{"\0": "\0"}]]],
}


@pytest.mark.parametrize("action", ["close", "buy"])
async def test_what_is_accepted_is_read_and_kept_whatever_it_says(world: World, action: str) -> None:
    async with world.brain() as client:
        answer = await client.post(WEBHOOK, json=world.alert(**NASTY, action=action))
        assert answer.status_code == (200 if action == "close" else 422)
        if action == "buy":
            fitting = {name: value for name, value in NASTY.items() if name != "macd"}
            answer = await client.post(WEBHOOK, json=world.alert(**fitting, action=action))
            assert answer.status_code == 200
        signal_id = answer.json()["signal_id"]
        await eventually(lambda: world.count("signals", f"signal_id = '{signal_id}'"))
        told = (await client.get(f"/signals/{signal_id}")).json()
        assert ("dropped" in told["signal"]) == (action == "close")


@pytest.mark.parametrize("harm", [lambda body: body.replace(b'"45"', b'"1E-100"'), lambda body: body[:-30]])
async def test_parked_signal_that_nobody_can_decode_has_an_outcome_and_a_story(
    world: World, servers: Servers, harm: Callable[[bytes], bytes]
) -> None:
    made = signal(f"unreadable {harm(b'x' * 40)!r}", rsi=Decimal(45))
    async with world.brain() as client:
        body = harm(codec.encode(received(made)))
        await world.publisher.publish(topology.SIGNALS.name, "signal.process", body)
        await eventually(lambda: world.count("outcomes", f"signal_id = '{made.signal_id}'"))
        told = (await client.get(f"/signals/{made.signal_id}")).json()
        assert (told["outcome"]["outcome"], told["outcome"]["reason"]) == ("failed", "parked")
        assert (told["signal"]["symbol"], told["signal"]["action"]) == ("BTCUSDT", "unknown")
        assert tell(told)
        parked = await eventually(lambda: Broker(servers).take(topology.SIGNAL_PROCESSING.dead))
        assert parked is not None
        assert parked.body == body


async def test_refused_alert_with_the_right_secret_is_told(world: World) -> None:
    async with world.brain() as client:
        assert (await client.post(WEBHOOK, json=world.alert(symbol="*", action="close"))).status_code == 422
        assert (await client.post(WEBHOOK, json=world.alert(symbol="*", secret="guess"))).status_code == 401
        [told] = await eventually(lambda: world.about("alert-alert_refused"))
        assert isinstance(told, AlertRaised)
        assert (told.severity, told.kind) == (Severity.CRITICAL, "alert_refused")
        assert "symbol came as '*'" in told.text
