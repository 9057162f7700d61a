"""One running system for the end-to-end tests, with a stand-in where Telegram would be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.e2e.phoenix import Phoenix, telegram_settings, using
from tests.integration.telegram_stand_in import TelegramStandIn
from tests.servers import RunningSystem, throwaway_stack

MANY = 1_000
BUSY = {
    "PHOENIX_PAPER_WEIGHT_LIMIT_1M": "100000",
    "PHOENIX_RATE_LIMIT_PER_MINUTE": "100000",
}


@asynccontextmanager
async def busy_phoenix() -> AsyncIterator[Phoenix]:
    """Start a whole system for tests that do in a minute what a trader does in an hour."""
    async with TelegramStandIn() as telegram:
        with throwaway_stack() as stack:
            await asyncio.to_thread(stack.start, overrides=telegram_settings(telegram) | BUSY)
            async with using(RunningSystem(stack), telegram) as phoenix:
                # The tests together enter more often than a careful trader would in a minute.
                await phoenix.update_risk(
                    limits={"entries_per_minute_max": MANY, "entries_per_day_max": MANY}
                )
                yield phoenix


@pytest.fixture(scope="session")
async def shared_phoenix() -> AsyncIterator[Phoenix]:
    """Start everything once for all end-to-end tests."""
    async with busy_phoenix() as phoenix:
        yield phoenix


@pytest.fixture
async def phoenix(shared_phoenix: Phoenix) -> Phoenix:
    """Give the running system, flat and active."""
    await shared_phoenix.come_to_rest()
    return shared_phoenix
