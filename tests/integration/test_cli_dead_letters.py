"""`phoenix.py dlq` against a real broker, with a stand-in for RISK, who keeps the record."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from scripts.phoenix_cli.app import app
from shared import codec, topology
from shared.models import Envelope, SignalReceived
from shared.rabbitmq_client import Publisher
from tests.broker import Broker
from tests.contract.samples import SIGNAL_ID, WHOLE, in_envelope
from tests.servers import Servers
from tests.unit.cli.conftest import logging_restored
from tests.unit.cli.phoenix_stand_in import PhoenixStandIn, serving

__all__ = ["logging_restored"]

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("logging_restored")]

QUEUE = topology.SIGNAL_PROCESSING
OLD_ENTRY = in_envelope(next(each for each in WHOLE if isinstance(each, SignalReceived)))

Run = Callable[..., Awaitable[Result]]


@pytest.fixture
async def risk() -> AsyncIterator[PhoenixStandIn]:
    with serving() as stand_in:
        yield stand_in


@pytest.fixture
def run(servers: Servers, risk: PhoenixStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    home = risk.write_home(tmp_path / "home")
    monkeypatch.setenv("PHOENIX_AMQP_URL", servers.amqp_url)

    async def run_command(*arguments: str, answer: str | None = None) -> Result:
        runner, words = CliRunner(), ["--home", str(home), "dlq", *arguments]
        return await asyncio.to_thread(runner.invoke, app, words, input=answer)

    return run_command


@pytest.fixture(autouse=True)
async def empty(broker: Broker) -> AsyncIterator[None]:
    """Leave the real queues as they were found: empty."""
    yield
    for name in (QUEUE.name, QUEUE.dead):
        await broker.purge(name)


async def _park(publisher: Publisher, envelope: Envelope, parked_at: datetime | None = None) -> None:
    headers: dict[str, int | str] = {topology.FAULT_HEADER: "KeyError('FOO')", topology.ATTEMPTS_HEADER: 3}
    if parked_at is not None:
        headers[topology.PARKED_AT_HEADER] = parked_at.isoformat()
    await publisher.publish("", QUEUE.dead, codec.encode(envelope), headers=headers)


async def test_list_and_show_tell_everything_and_change_nothing(
    run: Run, broker: Broker, publisher: Publisher
) -> None:
    assert "none" in (await run("list")).output
    await _park(publisher, OLD_ENTRY)

    listed = json.loads((await run("list", "--json")).stdout)["queues"]
    assert len(listed) == len(topology.QUEUES)
    (full,) = [each for each in listed if each["letters"]]
    assert (full["queue"], full["kinds"]) == (QUEUE.name, {"signal.received.v1": 1})
    assert full["oldest_age_s"] > 0
    assert "1 signal.received.v1" in (await run("list")).output

    page = (await run("show", QUEUE.dead)).output
    for words in (
        OLD_ENTRY.event_id,
        SIGNAL_ID,
        "KeyError('FOO')",
        "after 3 attempts",
        "expires: older than",
        "the outcome of its signal stays failed",
    ):
        assert words in page
    document = json.loads((await run("show", QUEUE.name, "--json")).stdout)
    assert "the outcome of its signal stays failed" in document["outcome"]
    (letter,) = document["letters"]
    assert (letter["event_id"], letter["attempts"]) == (OLD_ENTRY.event_id, 3)
    assert json.loads(letter["body"])["event_id"] == OLD_ENTRY.event_id
    assert await broker.count(QUEUE.dead) == 1


async def test_replay_says_what_will_happen_asks_and_is_on_record(
    run: Run, risk: PhoenixStandIn, broker: Broker, publisher: Publisher
) -> None:
    await _park(publisher, OLD_ENTRY)

    refused = await run("replay", QUEUE.name, "--all", answer="n\n")
    assert refused.exit_code == 1
    assert "expires: older than 30 s" in refused.output
    assert risk.bodies("POST /audit") == []
    assert await broker.count(QUEUE.dead) == 1

    done = await run(
        "replay", QUEUE.name, "--event-id", OLD_ENTRY.event_id, "--reason", "mended", answer="y\n"
    )
    assert done.exit_code == 0, done.output
    assert "replayed: 1 of 1" in done.output
    (audited,) = risk.bodies("POST /audit")
    assert (audited["act"], audited["reason"]) == ("dlq replay", "mended")
    assert audited["detail"] == {"queue": QUEUE.dead, "letters": 1, "ids": [OLD_ENTRY.event_id]}
    message = await broker.take(QUEUE.name)
    assert message is not None
    assert codec.decode(message.body) == OLD_ENTRY
    assert topology.ATTEMPTS_HEADER not in message.headers
    assert await broker.count(QUEUE.dead) == 0


async def test_purge_deletes_what_is_old_and_keeps_the_rest(
    run: Run, risk: PhoenixStandIn, broker: Broker, publisher: Publisher
) -> None:
    await _park(publisher, OLD_ENTRY)
    await _park(publisher, OLD_ENTRY, parked_at=datetime.now(UTC))

    done = await run("purge", QUEUE.name, "--older-than", "1", "--yes", "--json")

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"deleted": [OLD_ENTRY.event_id], "left": 0}
    assert [each["act"] for each in risk.bodies("POST /audit")] == ["dlq purge"]
    assert await broker.count(QUEUE.dead) == 1
    assert (await run("purge", QUEUE.name, "--older-than", "1", "--yes")).exit_code == 1, "nothing fits"


@pytest.mark.parametrize("act", [("replay", "--all"), ("purge",)])
async def test_what_cannot_be_recorded_is_not_done(
    run: Run, risk: PhoenixStandIn, broker: Broker, publisher: Publisher, act: tuple[str, ...]
) -> None:
    risk.answers["POST /audit"] = (503, {"title": "postgresql is away", "detail": "try again"})
    await _park(publisher, OLD_ENTRY)
    result = await run(act[0], QUEUE.name, *act[1:], "--yes")
    assert result.exit_code == 1
    assert "postgresql is away" in result.output
    assert await broker.count(QUEUE.dead) == 1
    assert await broker.count(QUEUE.name) == 0


async def test_json_acts_only_with_yes(run: Run, broker: Broker, publisher: Publisher) -> None:
    await _park(publisher, OLD_ENTRY)
    for act in (("replay", QUEUE.name, "--all"), ("purge", QUEUE.name)):
        assert (await run(*act, "--json")).exit_code == 2
    assert await broker.count(QUEUE.dead) == 1
