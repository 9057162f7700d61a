"""Templates into HTML, every value escaped; the same part serves the page and its live stream.

It must never be given a value that is already HTML, except what it rendered itself.
"""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from services.notify.dashboard import numerals, views
from services.notify.dashboard.assets import Assets
from services.notify.dashboard.sources import Sources
from services.notify.dashboard.texts import translator
from services.notify.dashboard.views import Page, View
from services.notify.telling.languages import LANGUAGES
from shared import logs
from shared.clock import Clock
from shared.errors import DatabaseUnavailable
from shared.supervision import Done, Failed, attempt
from shared.wording import DASH

FOLDER = Path(__file__).parent / "templates"

PERCENT_UNIT = "fraction"

_log = logs.get(__name__)


class Rendering:
    """Renders pages and parts from what the sources have seen."""

    def __init__(self, sources: Sources, assets: Assets, clock: Clock) -> None:
        self._sources = sources
        self._clock = clock
        self._broken: set[View] = set()
        self._templates = Environment(
            loader=FileSystemLoader(FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.globals["asset"] = assets.url
        self._templates.filters.update(
            usdt=numerals.usdt,
            percent=numerals.percent,
            price=numerals.price,
            quantity=numerals.quantity,
            multiple=numerals.multiple,
            duration=numerals.duration,
            clock=numerals.clock_text,
            tone=numerals.tone,
            decimal=_decimal,
            measure=_measure,
            reason=_reason,
        )

    def html(self, template: str, language: str, **values: Any) -> str:
        """Return one template, filled in."""
        given = {"t": translator(language), "now": self._clock(), "look": _Looks(self._sources), **values}
        return self._templates.get_template(template).render(given)

    async def live(self, several: Sequence[View]) -> Mapping[View, Mapping[str, str]]:
        """Return the parts of several views, and what their charts are told, asking each source once.

        A view that cannot be rendered is left out: its pages say by themselves that they are old.
        """
        wanted = {name for view in several for part in views.parts_of(view) for name in part.asks}
        await self._sources.look(sorted(wanted))
        rendered, broken = {}, set()
        for view in several:
            match await attempt(self._live_view(view)):
                case Done(parts):
                    rendered[view] = parts
                case Failed(error):
                    broken.add(view)
                    if view not in self._broken:  # told once, not every second
                        _log.error(
                            "dashboard_view_not_rendered", page=view.page, error=repr(error), exc_info=error
                        )
        self._broken = broken
        return rendered

    async def _live_view(self, view: View) -> Mapping[str, str]:
        return {**await self.parts(view), **await self._numbers(view)}

    async def page(self, view: View, template: str = "page.html", **values: Any) -> str:
        """Return a whole page with the newest of everything."""
        await self._sources.look(sorted({name for part in views.parts_of(view) for name in part.asks}))
        parts = {name: Markup(text) for name, text in (await self.parts(view)).items()}  # noqa: S704 - ours
        return self.html(template, view.language, view=view, parts=parts, pages=views.TABS, **values)

    async def parts(self, view: View) -> Mapping[str, str]:
        """Return the parts of one view from what has been seen."""
        now = self._clock()
        extra = await self._stream(view) if view.page is Page.SIGNALS else {}
        return {
            part.name: self.html(
                f"parts/{part.name}.html",
                view.language,
                view=view,
                **part.values(self._sources, view, now),
                **extra,
            )
            for part in views.parts_of(view)
        }

    async def _stream(self, view: View) -> Mapping[str, Any]:
        try:
            return {
                "stream": await self._sources.signals_like(view.symbol, view.outcome),
                "stream_fault": None,
            }
        except DatabaseUnavailable as error:
            return {"stream": None, "stream_fault": str(error)}

    async def _numbers(self, view: View) -> Mapping[str, str]:
        if view.page is Page.OVERVIEW:
            account = self._sources.account.seen
            if account.value is None or account.value.equity_usdt is None or account.at is None:
                return {}
            point = {"time": int(account.at.timestamp()), "value": float(account.value.equity_usdt)}
            return {"equity": json.dumps(point)}
        if view.page is Page.CHART and view.symbol:
            return await self._price(view.symbol)
        return {}

    async def _price(self, symbol: str) -> Mapping[str, str]:
        tick = await self._sources.price(symbol)
        if tick is None:
            return {}
        return {"tick": json.dumps({"symbol": symbol, "last": tick["last"], "at": tick["received_at"]})}


class _Looks(dict[str, Any]):
    """`look.account` in a template is what that source has seen."""

    def __init__(self, sources: Sources) -> None:
        super().__init__()
        self._sources = sources

    def __missing__(self, name: str) -> Any:
        return getattr(self._sources, name).seen


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _reason(name: str | None, language: str) -> str:
    """Return a reason in words."""
    return LANGUAGES[language].reason(name) if name else DASH


def _measure(value: Decimal, unit: str) -> str:
    """Return a limit's number in its unit."""
    if unit.startswith(PERCENT_UNIT):
        return numerals.percent(value)
    return (
        f"{numerals.quantity(value.quantize(Decimal('0.1')) if unit == 's' else value)} {unit}".removesuffix(
            " count"
        )
    )
