"""Snapshot and journal on disk."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from infrastructure.paper_exchange import journal as journal_module
from infrastructure.paper_exchange.account import AccountState, Terms
from infrastructure.paper_exchange.commands import Command, MovePrices, PlaceAlgo, PlaceOrder, SetLeverage
from infrastructure.paper_exchange.engine import Exchange
from infrastructure.paper_exchange.journal import Journal, Record
from infrastructure.paper_exchange.values import (
    ZERO,
    AlgoType,
    OrderType,
    Quote,
    Side,
    TimeInForce,
)
from tests.unit.paper_exchange.builders import BTC, RULES, START_MS, state

D = Decimal
COMMANDS: list[Command] = [
    SetLeverage(BTC, 10),
    PlaceOrder(BTC, Side.BUY, OrderType.MARKET, D("0.1"), ZERO, TimeInForce.GTC, client_order_id="e"),
    PlaceAlgo(BTC, Side.SELL, AlgoType.STOP_MARKET, D(49_000), ZERO, close_position=True),
    PlaceOrder(BTC, Side.BUY, OrderType.LIMIT, D("0.1"), D(48_000), TimeInForce.GTC),
    MovePrices({BTC: Quote(D("49500.5"), D(49_600))}, cursor=5),
]


def opened(directory: Path, **options: bool) -> tuple[Journal, Exchange]:
    journal = Journal(directory, **options)
    assert journal.recover() is None
    exchange = Exchange(RULES, state(), Terms())
    journal.rotate(exchange.state)
    return journal, exchange


def run(journal: Journal, exchange: Exchange, commands: list[Command]) -> None:
    for number, command in enumerate(commands):
        exchange.execute(command, START_MS + number)
        journal.append(Record(START_MS + number, command))


def recovered(directory: Path) -> AccountState:
    found = Journal(directory).recover()
    assert found is not None
    snapshot, records = found
    exchange = Exchange(RULES, snapshot, Terms())
    for record in records:
        exchange.execute(record.command, record.now_ms)
    return exchange.state


@pytest.mark.parametrize("fsync", [False, True])
def test_what_was_written_is_there_without_any_close(tmp_path: Path, *, fsync: bool) -> None:
    journal, exchange = opened(tmp_path, fsync=fsync)
    run(journal, exchange, COMMANDS)
    assert msgspec.json.encode(recovered(tmp_path)) == msgspec.json.encode(exchange.state)
    journal.close()


def test_a_rotation_starts_a_new_generation_and_forgets_the_old(tmp_path: Path) -> None:
    journal, exchange = opened(tmp_path)
    run(journal, exchange, COMMANDS[:3])
    journal.rotate(exchange.state)
    run(journal, exchange, COMMANDS[3:])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "journal-00000002.jsonl",
        "snapshot-00000002.json",
    ]
    assert recovered(tmp_path) == exchange.state
    journal.close()


def test_a_torn_last_line_is_ignored(tmp_path: Path) -> None:
    journal, exchange = opened(tmp_path)
    run(journal, exchange, COMMANDS)
    journal.close()
    with (tmp_path / "journal-00000001.jsonl").open("ab") as file:
        file.write(b'{"now_ms":17000')
    assert recovered(tmp_path) == exchange.state


def test_a_rotation_that_was_killed_before_the_rename_leaves_the_old_generation(tmp_path: Path) -> None:
    journal, exchange = opened(tmp_path)
    run(journal, exchange, COMMANDS)
    journal.close()
    (tmp_path / "snapshot-00000002.unfinished").write_bytes(b'{"cross_wallet":')
    assert recovered(tmp_path) == exchange.state


def test_a_rotation_that_was_killed_after_the_rename_uses_the_new_generation(tmp_path: Path) -> None:
    journal, exchange = opened(tmp_path)
    run(journal, exchange, COMMANDS)
    journal.close()
    (tmp_path / "snapshot-00000002.json").write_bytes(msgspec.json.encode(exchange.state))
    assert recovered(tmp_path) == exchange.state


def test_a_journal_knows_when_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "JOURNAL_BYTES_MAX", 200)
    journal, exchange = opened(tmp_path)
    fullness = [journal.is_full]
    run(journal, exchange, COMMANDS)
    fullness.append(journal.is_full)
    journal.rotate(exchange.state)
    fullness.append(journal.is_full)
    assert fullness == [False, True, False]
    journal.close()
