"""The desk's memory: one contract for PostgreSQL and its twin; then what only the real one can show."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import asyncpg
import pytest

from services.notify.desk_store import CONFIRM_WITHIN_S, KEPT_DAYS, DeskStore
from services.notify.people import Act, Request, Why
from services.notify.ports import KeepsConfirmations
from shared.clock import ManualClock
from shared.database import Database
from tests.integration.notify_world import notify_database
from tests.servers import Servers
from tests.twins.desk import MemoryConfirmations
from tests.unit.notify.facts import NOON

pytestmark = pytest.mark.servers

MINA, JUN = "telegram:42", "dashboard:operator"
CLOSE = Request(Act.CLOSE, "BTCUSDT")
EXPIRED_FOR = "UPDATE confirmations SET expires_at = clock_timestamp() - make_interval(secs => $1)"


@asynccontextmanager
async def opened(servers: Servers) -> AsyncIterator[Database]:
    async with notify_database(servers) as database:
        for table in ("confirmations", "user_sessions"):
            await database.execute(f"DELETE FROM {table}")
        yield database


@pytest.fixture
async def database(servers: Servers) -> AsyncIterator[Database]:
    async with opened(servers) as database:
        yield database


@dataclass
class Keeper:
    """Confirmations, and a way to let their time pass."""

    confirmations: KeepsConfirmations
    let_expire: Callable[[], Awaitable[object]]


@pytest.fixture(params=["PostgreSQL", "memory"])
async def keeper(request: pytest.FixtureRequest) -> AsyncIterator[Keeper]:
    if request.param == "memory":
        clock = ManualClock(NOON)

        async def advance() -> None:
            clock.advance(CONFIRM_WITHIN_S)

        yield Keeper(MemoryConfirmations(clock), advance)
        return
    async with opened(request.getfixturevalue("servers")) as database:
        yield Keeper(DeskStore(database), lambda: database.execute(EXPIRED_FOR, 0))


async def test_a_token_stands_for_its_request_once(keeper: Keeper) -> None:
    await keeper.confirmations.propose("t", MINA, CLOSE)

    assert await keeper.confirmations.use("t", MINA, "confirmed") == CLOSE
    assert await keeper.confirmations.use("t", MINA, "confirmed") is Why.USED
    assert await keeper.confirmations.use("t", MINA, "withdrawn") is Why.USED


async def test_a_request_without_symbol_comes_back_as_it_was(keeper: Keeper) -> None:
    await keeper.confirmations.propose("t", MINA, Request(Act.CLOSE_ALL))

    assert await keeper.confirmations.use("t", MINA, "withdrawn") == Request(Act.CLOSE_ALL)


async def test_who_did_not_propose_cannot_use_it_and_does_not_use_it_up(keeper: Keeper) -> None:
    await keeper.confirmations.propose("t", MINA, CLOSE)

    assert await keeper.confirmations.use("t", JUN, "confirmed") is Why.NOT_YOURS
    assert await keeper.confirmations.use("t", MINA, "confirmed") == CLOSE
    assert await keeper.confirmations.use("t", JUN, "confirmed") is Why.NOT_YOURS


async def test_a_token_nobody_got_is_unknown(keeper: Keeper) -> None:
    assert await keeper.confirmations.use("\udc00 made up \0", MINA, "confirmed") is Why.UNKNOWN


async def test_a_token_ends_by_itself(keeper: Keeper) -> None:
    await keeper.confirmations.propose("t", MINA, CLOSE)
    await keeper.let_expire()

    assert await keeper.confirmations.use("t", MINA, "confirmed") is Why.EXPIRED


# --- PostgreSQL alone ---


async def test_of_many_who_use_one_token_at_once_one_has_it(database: Database) -> None:
    store = DeskStore(database)
    for _ in range(20):
        token = uuid4().hex
        await store.propose(token, MINA, CLOSE)

        answers = await asyncio.gather(*(store.use(token, MINA, "confirmed") for _ in range(8)))

        assert sorted(map(str, answers)) == sorted([str(CLOSE)] + [str(Why.USED)] * 7)


async def test_the_token_itself_is_not_kept(database: Database) -> None:
    await DeskStore(database).propose("sesame", MINA, CLOSE)

    [row] = await database.fetch("SELECT token_hash::text || confirmations::text AS all FROM confirmations")
    assert "sesame" not in row["all"]
    assert b"sesame".hex() not in row["all"]


async def test_lines_of_the_audit_log_can_be_added_and_read_and_not_changed(database: Database) -> None:
    store = DeskStore(database)
    await store.record(MINA, "close", "refused", {"why": Why.ROLE, "symbol": None})

    [newest] = await store.newest_acts(1)
    assert (newest["actor"], newest["act"], newest["result"]) == (MINA, "close", "refused")
    assert newest["detail"] == {"why": "role", "symbol": None}
    for statement in (
        "UPDATE audit_log SET actor = 'nobody'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await database.execute(statement)


async def test_what_ended_long_ago_is_pruned_and_what_may_still_be_used_stays(database: Database) -> None:
    store = DeskStore(database)
    await store.propose("old", MINA, CLOSE)
    await database.execute(EXPIRED_FOR, KEPT_DAYS * 86_400 + 60)
    await store.propose("new", MINA, CLOSE)

    await store.prune()

    assert await store.use("old", MINA, "confirmed") is Why.UNKNOWN
    assert await store.use("new", MINA, "confirmed") == CLOSE
