"""Draws an equity curve: a short-lived process of its own, for the drawing library is large and may crash.

`python -m services.notify.daily.equity_picture` reads `{"title": …, "points": [[seconds, equity], …]}` on
stdin and writes a PNG to stdout. It must never read a setting, a secret or a server.
"""

import io
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import matplotlib as mpl
from matplotlib import dates, font_manager, ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BACKGROUND = "#17212b"  # Telegram's dark theme
INK = "#dbe6f0"
FAINT = "#3a4a5a"
WON = "#4fd18b"
LOST = "#f2686a"
WIDTH_INCHES, HEIGHT_INCHES, DOTS_PER_INCH = 7.2, 4.2, 150
PLAIN_TITLE = "Equity, 30 days"
FONTS = ("Noto Sans CJK KR", "Noto Sans KR", "NanumGothic", "Malgun Gothic")
"""Fonts that have Korean letters, the best first."""


def draw(title: str, points: Sequence[tuple[float, float]]) -> bytes:
    """Return the curve as PNG; points are (seconds since 1970, USDT), the oldest first, at least two."""
    title = title if title.isascii() or _use_korean_font() else PLAIN_TITLE
    times = dates.date2num([datetime.fromtimestamp(seconds, UTC) for seconds, _ in points])  # type: ignore[no-untyped-call]
    equity = [value for _, value in points]
    colour = WON if equity[-1] >= equity[0] else LOST
    # Not through pyplot: a figure of its own draws without any window system.
    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), dpi=DOTS_PER_INCH, facecolor=BACKGROUND)
    axes = figure.add_subplot()
    axes.set_facecolor(BACKGROUND)
    axes.plot(times, equity, color=colour, linewidth=2.2, solid_capstyle="round")
    low, high = min(equity), max(equity)
    margin = (high - low) * 0.12 or high * 0.002 or 1.0
    axes.set_ylim(low - margin, high + margin)
    axes.fill_between(times, equity, low - margin, color=colour, alpha=0.16, linewidth=0)
    axes.axhline(equity[0], color=FAINT, linewidth=1, linestyle=(0, (4, 4)))
    axes.plot(times[-1:], equity[-1:], "o", color=colour, markersize=7)
    _write_labels(axes, title, equity)
    _style(axes)
    figure.tight_layout(pad=1.2)
    target = io.BytesIO()
    figure.savefig(target, format="png", facecolor=BACKGROUND)
    return target.getvalue()


def _write_labels(axes: Axes, title: str, equity: Sequence[float]) -> None:
    change = equity[-1] / equity[0] - 1 if equity[0] else 0.0
    axes.set_title(title, loc="left", color=INK, fontsize=15, fontweight="bold", pad=14)
    axes.set_title(
        f"{equity[-1]:,.2f} USDT  {change:+.2%}",
        loc="right",
        color=WON if change >= 0 else LOST,
        fontsize=15,
        fontweight="bold",
        pad=14,
    )


def _style(axes: Axes) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.grid(axis="y", color=FAINT, linewidth=0.6, alpha=0.6)
    axes.tick_params(colors=INK, labelsize=12, length=0)
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_locator(ticker.MaxNLocator(5))
    locator = dates.AutoDateLocator(minticks=3, maxticks=6)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    shown = dates.ConciseDateFormatter(locator, show_offset=False)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(shown)
    axes.margins(x=0.02)


def _use_korean_font() -> bool:
    """Choose a font with Korean letters; False when this machine has none."""
    there = {font.name for font in font_manager.fontManager.ttflist}
    found = [name for name in FONTS if name in there]
    if found:
        mpl.rcParams["font.family"] = [found[0], "DejaVu Sans"]
    return bool(found)


def main() -> None:
    """Draw what stdin asks for."""
    asked = json.load(sys.stdin)
    sys.stdout.buffer.write(draw(asked["title"], asked["points"]))


if __name__ == "__main__":
    main()
