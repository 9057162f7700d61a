"""Takes the README's pictures of the dashboard: `python -m tests.e2e.screenshots [folder]`.

A system of its own is started, traded on until there is something to see, and deleted. The day before its
start is invented (a seeded walk of the equity), everything else happened.
"""

import asyncio
import random
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import asyncpg
from playwright.async_api import Browser, ViewportSize, expect

from tests.e2e.browser import DESKTOP, PHONE, Looker, chromium, looking
from tests.e2e.conftest import busy_phoenix
from tests.e2e.phoenix import REPOSITORY, Phoenix
from tests.eventually import eventually

FOLDER = REPOSITORY / "docs" / "images"
SEED = 95
WHOLE: ViewportSize = {"width": 1440, "height": 1080}
POINTS = 700
STEP = timedelta(minutes=2)
START_USDT = 10_000
OPEN = (
    ("BTCUSDT", "buy", "breakout"),
    ("ETHUSDT", "buy", "trend-4h"),
    ("SOLUSDT", "sell", "mean-revert"),
    ("BNBUSDT", "sell", "trend-4h"),
    ("XRPUSDT", "buy", "breakout"),
)
CLOSED = (("ADAUSDT", "buy"), ("DOGEUSDT", "sell"))
DRAWN_S = 4
"""The charts fetch and draw; the equity ticks along."""


async def trade(phoenix: Phoenix) -> None:
    """Make something to see: positions that moved, closed trades, refused signals."""
    for symbol, action in CLOSED:
        await phoenix.outcome(await phoenix.alert(symbol, action, strategy="scalp-5m"))
        await _move(phoenix, symbol, "0.997" if action == "sell" else "1.004")
        await phoenix.close(symbol)
    for symbol, action, strategy in OPEN:
        await phoenix.outcome(await phoenix.alert(symbol, action, strategy=strategy))
    await phoenix.alert("AVAXUSDT", "buy", strategy="scalp-5m", confidence=0.3)
    await phoenix.alert("BTCUSDT", "buy", strategy="breakout")
    for symbol, factor in (
        ("BTCUSDT", "1.006"),
        ("ETHUSDT", "0.988"),
        ("SOLUSDT", "0.993"),
        ("XRPUSDT", "1.004"),
    ):
        await _move(phoenix, symbol, factor)

    async def are_all_open() -> bool:
        return len(await phoenix.positions()) == len(OPEN)

    await eventually(are_all_open, 30, what="the positions of the picture")


async def _move(phoenix: Phoenix, symbol: str, factor: str) -> None:
    price = await phoenix.last_price(symbol) * Decimal(factor)
    await phoenix.price_to(symbol, price.quantize(Decimal("0.0001")))


async def invent_yesterday(phoenix: Phoenix) -> None:
    """Write an equity curve for the day before the system's start."""
    walk = random.Random(SEED)
    equity, now = Decimal(START_USDT), datetime.now(UTC)
    rows = []
    for number in range(POINTS, 0, -1):
        rows.append((now - STEP * number, equity))
        equity += Decimal(str(round(walk.gauss(0.4, 9), 2))) + (START_USDT - equity) * Decimal("0.01")
    connection = await asyncpg.connect(phoenix.system.postgres_dsn("execute"))
    try:
        await connection.executemany(
            "INSERT INTO execute.equity_snapshots (taken_at, wallet_usdt, equity_usdt, available_usdt,"
            " open_positions) VALUES ($1, $2, $2, $2, 0)",
            rows,
        )
    finally:
        await connection.close()


async def picture(
    browser: Browser, phoenix: Phoenix, path: str, file: Path, *, viewport: ViewportSize, scheme: str
) -> None:
    """Take one picture of one page."""
    async with looking(browser, phoenix.system.url("notify"), viewport, scheme) as looker:
        password = phoenix.system.settings["PHOENIX_DASHBOARD_OPERATOR_PASSWORD"]
        await looker.log_in("operator", password, to=path)
        await expect(looker.page.locator("#state")).to_contain_text("ACTIVE")
        await _drawn(looker)
        await looker.page.screenshot(path=file)
        assert looker.faults == [], looker.faults


async def _drawn(looker: Looker) -> None:
    await looker.page.wait_for_load_state("load")
    await asyncio.sleep(DRAWN_S)


async def main(folder: Path) -> None:
    """Take the three pictures."""
    async with busy_phoenix() as phoenix, chromium() as browser:
        await invent_yesterday(phoenix)
        await trade(phoenix)
        for path, name, viewport, scheme in (
            ("/dashboard", "overview", WHOLE, "dark"),
            ("/dashboard/chart?symbol=BTCUSDT", "chart", DESKTOP, "light"),
            ("/dashboard", "phone", PHONE, "dark"),
        ):
            file = folder / f"dashboard-{name}.png"  # the browser makes the folder
            await picture(browser, phoenix, path, file, viewport=viewport, scheme=scheme)
            print(file)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
