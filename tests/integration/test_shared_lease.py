"""Leases on a real PostgreSQL: one holder at a time, by the database's clock."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared import metrics
from shared.database import Database
from shared.errors import DatabaseUnavailable
from shared.lease import LEASE_S, RENEW_INTERVAL_S, Lease
from tests.servers import Servers

pytestmark = pytest.mark.servers

EXPIRE = "UPDATE leases SET expires_at = clock_timestamp() - interval '1 ms' WHERE name = 'keeper'"
NEARLY_EXPIRE = "UPDATE leases SET expires_at = clock_timestamp() + interval '2 s' WHERE name = 'keeper'"


@pytest.fixture
async def database(servers: Servers) -> AsyncIterator[Database]:
    opened = Database(
        servers.postgres_url,
        user="phoenix_feed",
        password=servers.password("feed"),
        schema="feed",
        name="test",
    )
    async with opened:
        await opened.execute("DELETE FROM leases")
        yield opened
        await opened.execute("DELETE FROM leases")


@pytest.fixture
def first(database: Database) -> Lease:
    return Lease(database, "keeper", "execute-0")


@pytest.fixture
def second(database: Database) -> Lease:
    return Lease(database, "keeper", "execute-1")


def test_a_lease_survives_two_lost_renewals() -> None:
    assert RENEW_INTERVAL_S * 3 <= LEASE_S


async def test_one_holds_the_lease_and_renews_it_and_the_other_waits(first: Lease, second: Lease) -> None:
    assert await first.hold()
    assert await first.hold()
    assert not await second.hold()


async def test_a_replica_shows_what_it_holds_until_it_does_not_know_any_more(
    database: Database, first: Lease, second: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = metrics.LEASE_HELD.labels(lease="keeper")  # of this process; replicas have one each
    assert await first.hold()
    assert shown._value.get() == 1
    assert not await second.hold()
    assert shown._value.get() == 0
    assert await first.hold()

    async def away(*_: object) -> None:
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(database, "fetch_value", away)
    with pytest.raises(DatabaseUnavailable):
        await first.hold()
    assert shown._value.get() == 0, "who cannot renew must not look like the holder"


async def test_of_many_that_ask_at_once_one_gets_it(database: Database) -> None:
    asked = [Lease(database, "keeper", f"execute-{number}") for number in range(10)]
    assert sum(await asyncio.gather(*(each.hold() for each in asked))) == 1


async def test_the_database_clock_alone_says_when_a_lease_ends(
    database: Database, first: Lease, second: Lease
) -> None:
    await first.hold()
    left = await database.fetch_value("SELECT expires_at - clock_timestamp() FROM leases")
    assert LEASE_S - 2 < left.total_seconds() <= LEASE_S
    await database.execute(NEARLY_EXPIRE)
    assert not await second.hold()
    await database.execute(EXPIRE)
    assert await second.hold()


async def test_a_holder_that_was_frozen_finds_its_lease_taken(
    database: Database, first: Lease, second: Lease
) -> None:
    await first.hold()
    await database.execute(EXPIRE)
    await second.hold()
    assert not await first.hold()


async def test_a_holder_that_was_late_but_not_replaced_keeps_its_epoch(
    database: Database, first: Lease, second: Lease
) -> None:
    await first.hold()
    await database.execute(EXPIRE)
    assert await first.hold()
    assert not await second.hold()
    assert await database.fetch_value("SELECT epoch FROM leases") == 1


async def test_the_epoch_grows_with_every_change_of_holder(
    database: Database, first: Lease, second: Lease
) -> None:
    for holder in (first, second, first):
        await holder.hold()
        await database.execute(EXPIRE)
    assert await database.fetch_value("SELECT epoch FROM leases") == 3


async def test_a_released_lease_is_taken_at_once(first: Lease, second: Lease) -> None:
    await first.hold()
    await first.release()
    assert await second.hold()


async def test_only_its_holder_can_release_a_lease(first: Lease, second: Lease) -> None:
    await first.hold()
    await second.release()
    assert not await second.hold()


async def test_leases_of_different_names_are_independent(database: Database, first: Lease) -> None:
    assert await first.hold()
    assert await Lease(database, "feed", "execute-1").hold()
