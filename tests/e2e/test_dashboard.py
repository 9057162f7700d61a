"""The dashboard in a real Chromium: what a trader sees and does, and that no page does what it must not."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, expect

from tests.e2e.browser import PHONE, Looker, chromium, looking
from tests.e2e.conftest import MANY
from tests.e2e.phoenix import Phoenix

RELOADED_MS = 20_000
FOREIGN_SEEN_MS = 20_000
"""EXECUTE looks every 5 s, and a busy machine takes its time."""
MARKUP = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>\'"--'


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


@pytest.fixture
async def desk(browser: Browser, phoenix: Phoenix) -> AsyncIterator[Looker]:
    """Give an operator at the overview; at the end nothing may have gone wrong in the browser."""
    async with looking(browser, phoenix.system.url("notify")) as looker:
        await looker.log_in("operator", _password(phoenix, "operator"))
        await expect(looker.page.locator("#state")).to_contain_text("ACTIVE")
        yield looker
        assert looker.faults == []


def _password(phoenix: Phoenix, name: str) -> str:
    return phoenix.system.settings[f"PHOENIX_DASHBOARD_{name.upper()}_PASSWORD"]


async def test_a_wrong_password_is_told(browser: Browser, phoenix: Phoenix) -> None:
    async with looking(browser, phoenix.system.url("notify")) as looker:
        await looker.log_in("operator", "not the password")
        await expect(looker.page.get_by_role("alert")).to_contain_text("Wrong user or password.")

        await looker.page.get_by_label("Password").fill(_password(phoenix, "operator"))
        await looker.page.get_by_role("button", name="Log in").click()

        await expect(looker.page.locator("#positions-title")).to_be_visible()
        assert looker.faults == []


async def test_an_alert_becomes_a_position_without_a_reload_and_is_closed(
    desk: Looker, phoenix: Phoenix
) -> None:
    await expect(desk.page.get_by_text("No open positions")).to_be_visible()

    await phoenix.alert("ETHUSDT", "buy")
    row = desk.page.locator("#position-ETHUSDT")
    await expect(row).to_contain_text("protected")
    await expect(row).to_contain_text("long")
    await row.get_by_role("button", name="Close ETHUSDT").click()
    dialog = desk.page.locator("#dialog")
    await expect(dialog).to_contain_text(re.compile(r"Closes long [\d.]+ ETHUSDT at market, about [\d,.]+"))
    await expect(dialog).to_contain_text(re.compile(r"Result as things stand: [+−][\d,.]+ USDT"))
    await dialog.get_by_role("button", name="Close ETHUSDT").click()

    await expect(desk.page.locator("#toasts")).to_contain_text(re.compile(r"Done: Close ETHUSDT. Net .*USDT"))
    await expect(desk.page.locator("#last-act")).to_contain_text("Done: Close ETHUSDT")
    await expect(row).to_have_count(0)


async def test_halting_takes_two_steps_and_the_badge_follows(desk: Looker, phoenix: Phoenix) -> None:
    await desk.page.get_by_role("button", name="Halt").click()
    await expect(desk.page.locator("#dialog")).to_contain_text("No new entries until somebody resumes.")
    await desk.page.get_by_role("button", name="Cancel").click()
    await expect(desk.page.locator("#toasts")).to_contain_text("Cancelled: Halt trading.")
    assert (await phoenix.risk())["state"] == "ACTIVE"

    await desk.page.get_by_role("button", name="Halt").click()
    await desk.page.get_by_role("button", name="Halt trading").click()

    await expect(desk.page.locator("#state")).to_contain_text("HALTED")
    assert (await phoenix.risk())["state"] == "HALTED"
    acts = await phoenix.rows(
        "notify", "SELECT actor, act, result FROM notify.audit_log ORDER BY id DESC LIMIT 2"
    )
    assert [tuple(row) for row in acts] == [
        ("dashboard:operator", "halt", "performed"),
        ("dashboard:operator", "halt", "confirmed"),
    ]


async def test_a_story_opens_beside_the_page_and_as_a_page(desk: Looker, phoenix: Phoenix) -> None:
    signal_id = await phoenix.alert("BTCUSDT", "buy")
    await phoenix.outcome(signal_id)

    await desk.go("/dashboard/signals")
    await desk.page.locator(f"#signal-{signal_id}").get_by_role("link", name="Story of BTCUSDT").click()
    story = desk.page.locator("#side")
    await expect(story).to_contain_text("Stop and take profit stand on the exchange")
    await desk.page.keyboard.press("Escape")
    await expect(story).to_be_hidden()
    await desk.go(f"/dashboard/signals/{signal_id}")

    await expect(desk.page.locator("#story")).to_contain_text("RISK approved long")


async def test_the_chart_draws_and_follows_the_price(desk: Looker, phoenix: Phoenix) -> None:
    await phoenix.outcome(await phoenix.alert("BTCUSDT", "buy"))
    await desk.go("/dashboard/chart?symbol=BTCUSDT")

    await expect(desk.page.locator("#price-chart canvas").first).to_be_visible()
    await expect(desk.page.locator(".holding")).to_contain_text("protected")
    await desk.page.get_by_role("button", name="5 m", exact=True).click()
    await desk.page.get_by_role("button", name="Liquidation").click()
    ticked = "new Promise(told => addEventListener('phoenix:tick', event => told(event.detail.symbol), true))"
    assert await desk.page.evaluate(ticked) == "BTCUSDT"


async def test_markup_in_an_alert_stays_text_on_the_page_and_in_the_stream(
    desk: Looker, phoenix: Phoenix
) -> None:
    first = await phoenix.alert("XRPUSDT", "buy", strategy=f"a{MARKUP}"[:60])
    await expect(desk.page.locator(f"#newest-{first}")).to_contain_text("a<img src=x")
    await desk.go("/dashboard/signals")
    await expect(desk.page.locator(f"#signal-{first}")).to_contain_text("a<img src=x")
    second = await phoenix.alert("XRPUSDT", "sell", strategy=f"b{MARKUP}"[:60])  # comes by the stream
    await expect(desk.page.locator(f"#signal-{second}")).to_contain_text("b<img src=x")
    await desk.go(f"/dashboard/signals/{first}")
    await expect(desk.page.locator("#story")).to_contain_text("<img src=x")

    assert await desk.page.evaluate("window.hit") is None
    assert await desk.page.locator("main img").count() == 0


async def test_the_page_speaks_korean_and_goes_dark(desk: Looker) -> None:
    await desk.page.get_by_role("button", name="한국어").click()
    await expect(desk.page.locator("html")).to_have_attribute("lang", "ko", timeout=RELOADED_MS)
    await expect(desk.page.locator("#state")).to_contain_text("거래 중")
    await expect(desk.page.locator("#positions-title")).to_contain_text("포지션")
    await desk.page.locator("[data-theme-switch]").click()

    await expect(desk.page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    await desk.go("/dashboard/risk")
    await expect(desk.page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    await expect(desk.page.locator("#limits-title")).to_contain_text("한도")


async def test_a_viewer_on_a_phone_sees_everything_and_may_do_nothing(
    browser: Browser, phoenix: Phoenix
) -> None:
    await phoenix.outcome(await phoenix.alert("ETHUSDT", "buy"))
    async with looking(browser, phoenix.system.url("notify"), PHONE, "dark") as looker:
        await looker.log_in("viewer", _password(phoenix, "viewer"))
        await expect(looker.page.locator("#position-ETHUSDT")).to_be_visible()
        await expect(looker.page.get_by_text("view only")).to_be_visible()
        assert await looker.page.get_by_role("button", name=re.compile("Close|Halt|Pause")).count() == 0
        for path in ("", "/chart", "/signals", "/risk", "/system"):
            await looker.go(f"/dashboard{path}")
            await expect(looker.page.locator("#state")).to_be_visible()
            width = await looker.page.evaluate("document.documentElement.scrollWidth")
            assert width <= PHONE["width"], f"{path or '/'} is wider than a phone"
        assert looker.faults == []


async def test_logging_out_ends_the_other_window_too(desk: Looker, browser: Browser) -> None:
    other = await desk.context.new_page()
    await other.goto(f"{desk.url}/dashboard/risk")
    await expect(other.locator("#limits-title")).to_be_visible()

    await desk.page.get_by_role("button", name="Log out").click()

    await expect(other.get_by_role("button", name="Log in")).to_be_visible()
    await other.close()


LONG = "mean-reversion-with-trend-filter-and-volume-confirmation-v2-1h"
"""61 characters, as strategies are called."""
PUSHED_OUT = """() => {
    const width = document.documentElement.clientWidth;
    const cut = each => each.scrollWidth > each.clientWidth + 1;
    const outside = [...document.querySelectorAll("main *")].filter(each => {
        const box = each.getBoundingClientRect();
        const isOut = box.width > 0 && (box.right > width + 1 || box.left < -1);
        return isOut && !each.closest("svg, canvas, .chart");
    });
    const clipped = [...document.querySelectorAll("main td, main th, main small, main b, main span")].filter(
        each => ["hidden", "clip"].includes(getComputedStyle(each).overflowX) && cut(each)
            && !each.classList.contains("visually-hidden"));
    const named = each => `${each.tagName}.${each.className}: ${each.textContent.slice(0, 60)}`;
    return [...outside, ...clipped].map(named);
}"""
"""What of a page lies outside of the window, or does not fit into its own box and is cut."""


@asynccontextmanager
async def _by_hand(phoenix: Phoenix, side: str) -> AsyncIterator[None]:
    """Hold a position that Phoenix did not open."""
    order = {"symbol": "XRPUSDT", "side": side, "quantity": "1000"}
    await phoenix.admin("hand/order", order)
    try:
        yield
    finally:
        await phoenix.admin("hand/order", order | {"side": "SELL" if side == "BUY" else "BUY"})


WIDTHS = (1024, 1440, 2560, PHONE["width"])


async def test_no_long_name_pushes_anything_off_the_screen(browser: Browser, phoenix: Phoenix) -> None:
    """U3: a name of 61 characters pushed Protection, Age and Close off the screen at 1440 and 2560."""
    await phoenix.outcome(await phoenix.alert("BTCUSDT", "buy", strategy=LONG))
    await phoenix.alert("ETHUSDT", "buy", strategy=LONG, confidence=0.3)
    async with _by_hand(phoenix, "BUY"):
        await _look_at_every_width(browser, phoenix)


async def _look_at_every_width(browser: Browser, phoenix: Phoenix) -> None:
    async with looking(browser, phoenix.system.url("notify")) as looker:
        await looker.log_in("operator", _password(phoenix, "operator"))
        await expect(looker.page.locator("#foreign-XRPUSDT-long")).to_contain_text("NO STOP")
        for page in ("", "/signals", "/chart?symbol=BTCUSDT", "/risk", "/system"):
            await looker.go(f"/dashboard{page}")
            for width in WIDTHS:
                await looker.page.set_viewport_size({"width": width, "height": 900})
                await expect(looker.page.locator("#state")).to_be_visible()
                assert await looker.page.evaluate(PUSHED_OUT) == [], f"{page or 'overview'} at {width}"
                if not page:
                    close = await looker.page.get_by_role("button", name="Close BTCUSDT").bounding_box()
                    assert close is not None
                    assert 0 <= close["x"] <= close["x"] + close["width"] <= width
        assert looker.faults == []


async def test_what_is_not_ours_is_shown_everywhere_and_spared_out_loud(
    desk: Looker, phoenix: Phoenix
) -> None:
    """U1: a position opened outside Phoenix was hidden."""
    async with _by_hand(phoenix, "SELL"):
        row = desk.page.locator("#foreign-XRPUSDT-short")
        await expect(row).to_contain_text("not ours", timeout=FOREIGN_SEEN_MS)
        await expect(row).to_contain_text("NO STOP")
        await expect(desk.page.locator("#reasons")).to_contain_text("Not ours and without a stop: XRPUSDT")
        await desk.page.get_by_role("button", name="Close all").click()
        await expect(desk.page.locator("#dialog")).to_contain_text(
            "Not touched, because not ours: XRPUSDT short 1000"
        )
        await desk.page.locator("#dialog").get_by_role("button", name="Cancel").click()
        await desk.go("/dashboard/chart?symbol=XRPUSDT")
        await expect(desk.page.locator("#part-holding")).to_contain_text("not ours")
        assert "Not ours" in await phoenix.cli("positions")


async def test_the_headline_is_not_green_while_entries_are_refused_or_execute_is_away(
    desk: Looker, phoenix: Phoenix
) -> None:
    """U2: green "ACTIVE: entries and exits are traded" whatever refused them."""
    await phoenix.outcome(await phoenix.alert("BTCUSDT", "buy"))
    await phoenix.update_risk(limits={"entries_per_day_max": 1})
    try:
        await expect(desk.page.locator("#state")).to_contain_text("NO ENTRIES")
        await expect(desk.page.locator("#reasons")).to_contain_text("the limit is below 1")
        assert "No new entries are traded" in await phoenix.cli("status")
    finally:
        await phoenix.update_risk(limits={"entries_per_day_max": MANY})
    await expect(desk.page.locator("#state")).to_contain_text("ACTIVE")


async def test_a_signal_shows_what_became_of_it(desk: Looker, phoenix: Phoenix) -> None:
    """U4: a closed trade stayed green, "opened"."""
    opened = await phoenix.alert("BTCUSDT", "buy", strategy="t")
    await phoenix.outcome(opened)
    await desk.go("/dashboard/signals")
    row = desk.page.locator(f"#signal-{opened}")
    await expect(row).to_contain_text("open")
    closing = await phoenix.alert("BTCUSDT", "close", strategy="t")
    await phoenix.outcome(closing)
    result = re.compile(r"closed [+−][\d.,]+")
    await expect(row).to_contain_text(result)
    await expect(desk.page.locator(f"#signal-{closing}")).to_contain_text(result)
    await desk.go(f"/dashboard/signals/{opened}")
    await expect(desk.page.locator(".story li").last).to_contain_text("The position closed")
    await desk.go(f"/dashboard/signals/{closing}")
    await expect(desk.page.locator(".story")).to_contain_text("It closed BTCUSDT")
