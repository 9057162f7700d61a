"""What people are shown, from the views on a real PostgreSQL: sums a reader can check, and no way around."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest

from services.notify.reports import Period, Reports
from shared.database import Database
from tests.servers import Servers

pytestmark = pytest.mark.servers

MONDAY = datetime(2026, 11, 16, 10, tzinfo=UTC)
APPROVAL = json.dumps({"sizing": {"leverage": 20, "margin_usdt": "375.5", "risk_usdt": "157.5"}})
EMPTIED = (
    "execute.fills, execute.orders, execute.entries, execute.equity_snapshots, feed.bars, brain.signals, "
    "brain.outcomes"
)


@dataclass
class Record:
    """What the services wrote, written by an administrator, and the reports on it."""

    admin: asyncpg.Connection
    database: Database
    reports: Reports

    async def trade(self, name: str, closed_at: datetime, pnl: str, strategy: str = "trend") -> None:
        await self.admin.execute(
            """
            INSERT INTO execute.entries (signal_id, client_id, strategy, symbol, side, state, approval,
                trading_epoch, valid_until, signal_received_at, claimed_at, quantity, filled_quantity,
                entry_price, first_fill_at, exit_price, pnl_usdt, fees_usdt, funding_usdt, closed_at,
                ended_reason, closed_by)
            VALUES ($1, $1, $2, 'BTCUSDT', 'long', 'closed', $3, 1, $4, $4, $4, 0.15, 0.15, 50000, $4, 51000,
                $5, 6, -1, $4, 'operator', 'req-1')
            """,
            name,
            strategy,
            APPROVAL,
            closed_at,
            Decimal(pnl),
        )

    async def position(self, symbol: str) -> None:
        await self.admin.execute(
            """
            INSERT INTO execute.entries (signal_id, client_id, strategy, symbol, side, state, approval,
                trading_epoch, valid_until, signal_received_at, claimed_at, quantity, filled_quantity,
                entry_price, first_fill_at, stop_price, protected_at)
            VALUES ($1, $1, 'trend', $1, 'short', 'protected', $2, 1, $3, $3, $3, 2, 1.5, 100, $3, 102, $3)
            """,
            symbol,
            APPROVAL,
            MONDAY,
        )

    async def signal(self, signal_id: str, at: datetime, outcome: str | None) -> None:
        await self.admin.execute(
            """
            INSERT INTO brain.signals (signal_id, origin, strategy, symbol, action, confidence, received_at,
                                       signal, analysis)
            VALUES ($1, 'alert', 'trend', 'BTCUSDT', 'long', 0.8, $2, '{}', '{"phoenix95_score": "0.68"}')
            """,
            signal_id,
            at,
        )
        if outcome is not None:
            await self.admin.execute(
                "INSERT INTO brain.outcomes VALUES ($1, $2::brain.outcome_kind, 'why', $3)",
                signal_id,
                outcome,
                at,
            )


@pytest.fixture
async def record(servers: Servers) -> AsyncIterator[Record]:
    admin = await asyncpg.connect(servers.postgres_dsn("admin"))
    database = Database(
        servers.postgres_url,
        user="phoenix_notify",
        password=servers.password("notify"),
        schema="notify",
        name="test",
    )
    try:
        await admin.execute(f"TRUNCATE {EMPTIED} CASCADE")
        async with database:
            yield Record(admin, database, Reports(database))
        await admin.execute(f"TRUNCATE {EMPTIED} CASCADE")
    finally:
        await admin.close()


@pytest.mark.parametrize(
    "table",
    ["execute.entries", "execute.fills", "risk.account", "risk.audit_log", "brain.signals", "feed.bars"],
)
async def test_notify_sees_the_views_and_no_table_of_another_service(record: Record, table: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await record.database.fetch(f"SELECT * FROM {table}")


async def test_nothing_can_be_written_through_a_view(record: Record) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await record.database.execute("UPDATE reporting.account SET state = 'ACTIVE'")


async def test_every_report_of_an_empty_system_is_empty(record: Record) -> None:
    reports = record.reports

    assert (await reports.account()).state in ("ACTIVE", "REDUCING", "HALTED")
    assert [*await reports.positions(), *await reports.trades(MONDAY), *await reports.signals(5)] == []
    assert (await reports.totals(MONDAY)).net_usdt == 0
    assert [*await reports.results_by_period(Period.DAY, 5), *await reports.outcomes(MONDAY)] == []
    assert await reports.newest_signal() is None
    assert [
        *await reports.orders("x"),
        *await reports.fills("X", MONDAY),
        *await reports.bars("X", MONDAY),
    ] == []
    assert isinstance(await reports.risk_acts(5), list)


async def test_trades_are_summed_with_fees_and_funding(record: Record) -> None:
    await record.trade("a", MONDAY, "150")
    await record.trade("b", MONDAY + timedelta(days=1), "-43")
    await record.trade("c", MONDAY + timedelta(days=8), "7", strategy="range")

    totals = await record.reports.totals(MONDAY)
    assert (totals.trades, totals.wins, totals.net_usdt, totals.fees_usdt) == (3, 1, Decimal(93), Decimal(18))
    [newest, *_] = await record.reports.trades(MONDAY, symbol="BTCUSDT")
    assert (newest.signal_id, newest.net_usdt, newest.leverage) == ("c", Decimal(0), 20)
    assert newest.margin_usdt == Decimal("375.5")
    weeks = await record.reports.results_by_period(Period.WEEK, 5)
    assert [(one.starts_at.date().isoformat(), one.trades, one.net_usdt) for one in weeks] == [
        ("2026-11-23", 1, Decimal(0)),
        ("2026-11-16", 2, Decimal(93)),
    ]
    days = await record.reports.results_by_period(Period.DAY, 2)
    assert [one.starts_at.day for one in days] == [24, 17]
    strategies = await record.reports.results_by_strategy(MONDAY)
    assert [(one.strategy, one.net_usdt) for one in strategies] == [
        ("trend", Decimal(93)),
        ("range", Decimal(0)),
    ]


async def test_open_positions_are_those_with_something_filled(record: Record) -> None:
    await record.trade("closed", MONDAY, "1")
    await record.position("ETHUSDT")

    [only] = await record.reports.positions()
    assert (only.symbol, only.side, only.quantity) == ("ETHUSDT", "short", Decimal("1.5"))
    assert (only.stop_price, only.take_profit_price, only.risk_usdt) == (Decimal(102), None, Decimal("157.5"))


async def test_the_equity_curve_is_thinned_to_the_last_of_each_slice(record: Record) -> None:
    for minute in range(60):
        await record.admin.execute(
            "INSERT INTO execute.equity_snapshots VALUES ($1, $2, $2, $2, 0)",
            MONDAY + timedelta(minutes=minute),
            Decimal(10_000 + minute),
        )
    until = MONDAY + timedelta(hours=1)

    points = await record.reports.equity(MONDAY, until, 6)

    assert [int(point.equity_usdt) - 10_000 for point in points] == [9, 19, 29, 39, 49, 59]
    assert await record.reports.equity(until, until, 6) == []
    assert len(await record.reports.equity(MONDAY, until, 0)) > 0


async def test_signals_are_found_by_the_front_of_their_id(record: Record) -> None:
    await record.signal("sig-aaa1", MONDAY, "opened")
    await record.signal("sig-aab2", MONDAY + timedelta(seconds=1), None)

    assert await record.reports.find_signals("sig-aab") == ["sig-aab2"]
    assert await record.reports.find_signals("sig-aa") == ["sig-aab2", "sig-aaa1"]
    assert await record.reports.find_signals("sig-%") == []
    assert await record.reports.newest_signal() == "sig-aab2"
    newest, oldest = await record.reports.signals(5, "BTCUSDT")
    assert (newest.outcome, oldest.outcome, oldest.phoenix95_score) == (None, "opened", Decimal("0.68"))
    assert await record.reports.outcomes(MONDAY) == [("opened", "why", 1)]
