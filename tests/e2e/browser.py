"""A real Chromium at the dashboard, which notes everything that a page must not do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, ViewportSize, async_playwright

CHROMIUM = "/usr/bin/chromium"
PATIENCE_MS = 15_000
DESKTOP: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
EXPECTED = ("status of 401", "status of 403", "status of 429")
"""What Chromium writes to the console for a refusal that the test asks for."""


@dataclass
class Looker:
    """One browser window at a dashboard, and what went wrong in it."""

    url: str
    context: BrowserContext
    page: Page
    faults: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note errors of scripts, refused content and requests to any other host."""
        host = urlsplit(self.url).netloc

        def on_console(message: ConsoleMessage) -> None:
            if message.type == "error" and not any(each in message.text for each in EXPECTED):
                self.faults.append(f"console: {message.text}")

        def on_request(request: Any) -> None:
            parts = urlsplit(request.url)
            if parts.scheme != "data" and parts.netloc != host:
                self.faults.append(f"foreign host: {request.url}")

        self.page.on("console", on_console)
        self.page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        self.page.on("request", on_request)

    async def log_in(self, name: str, password: str, to: str = "/dashboard") -> None:
        """Go to a page through the login."""
        await self.page.goto(f"{self.url}{to}")
        await self.page.get_by_label("User").select_option(name)
        await self.page.get_by_label("Password").fill(password)
        await self.page.get_by_role("button", name="Log in").click()

    async def go(self, path: str) -> None:
        """Go to a page."""
        await self.page.goto(f"{self.url}{path}")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Start Debian's Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def looking(
    browser: Browser, url: str, viewport: ViewportSize | None = None, scheme: Any = "light", **more: Any
) -> AsyncIterator[Looker]:
    """Open a window of its own at a dashboard."""
    context = await browser.new_context(
        viewport=viewport or DESKTOP, color_scheme=scheme, locale="en-GB", **more
    )
    context.set_default_timeout(PATIENCE_MS)
    try:
        looker = Looker(url, context, await context.new_page())
        looker.watch()
        yield looker
    finally:
        await context.close()
