"""The account's ledger in PostgreSQL: transfers counted once, the place in the history kept; its clock."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal

import pytest

from services.execute.ledger_store import LedgerStore
from services.execute.transfers import Explained, IncomeRow
from shared.clock import ProcessClock, of_process, utc_now
from shared.database import Database
from shared.database_clock import DatabaseClock
from tests.servers import Servers
from tests.unit.execute.builders import NOON

pytestmark = pytest.mark.servers


@pytest.fixture
async def database(servers: Servers) -> AsyncIterator[Database]:
    async with Database(
        servers.postgres_url,
        user="phoenix_execute",
        password=servers.password("execute"),
        schema="execute",
        name="test",
    ) as opened:
        await opened.execute("DELETE FROM transfers")
        await opened.execute("DELETE FROM account_ledger")
        yield opened
        await opened.execute("DELETE FROM transfers")
        await opened.execute("DELETE FROM account_ledger")


def row(number: int, amount: str) -> IncomeRow:
    return IncomeRow(
        kind="TRANSFER",
        tran_id=str(number),
        trade_id="",
        symbol="",
        asset="USDT",
        amount=Decimal(amount),
        at=NOON,
    )


async def test_transfers_are_counted_once_and_the_place_in_the_history_is_kept(database: Database) -> None:
    store = LedgerStore(database)
    assert await store.explained() is None
    assert await store.net_transfers() == 0
    place = Explained(wallet_usdt=Decimal("9300.5"), until=NOON, rows_at_until=("a", "b"))
    for _ in range(2):
        async with store.transaction() as tx:
            await store.record_transfers(tx, [row(1, "-700"), row(2, "0.5")])
            await store.record_explained(tx, place)
    assert await store.net_transfers() == Decimal("-699.5")
    assert await store.explained() == place


async def test_a_process_an_hour_ahead_is_put_right_by_the_databases_clock(database: Database) -> None:
    ahead = ProcessClock(lambda: utc_now() + timedelta(hours=1), of_process().count)
    await DatabaseClock(database, ahead).ask()
    told = await database.fetch_value("SELECT clock_timestamp()")
    assert abs(ahead.now() - told) < timedelta(seconds=1)
