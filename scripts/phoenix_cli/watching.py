"""The commands that look for longer, or at more: `metrics`, `monitor`, and the live form of `status`.

They read what the services tell anybody on this machine, and change nothing.
"""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape

from scripts.phoenix_cli import insight
from scripts.phoenix_cli.api import Api
from scripts.phoenix_cli.failures import Failure, Unreachable
from scripts.phoenix_cli.installation import SERVICES, Installation
from scripts.phoenix_cli.output import console, table

POLL_INTERVAL_S = 0.5
LINE_BYTES_MAX = 64 * 1024
NOTICED_LEVELS = {
    "debug": "dim",
    "info": "",
    "warning": "yellow",
    "error": "bold red",
    "critical": "bold red",
}
ENVELOPE_KEYS = ("timestamp", "level", "action", "event", "service", "instance", "module", "correlation_id")
FACTS_PER_LOOK_MAX = 100
KEEPER_LOOKS_MAX = 8
"""Twice as often as there may be replicas: one of them keeps the account and has its numbers."""
FACTS_REMEMBERED_MAX = 1_000


def live_status(api: Api, interval_s: float, rounds: int | None = None) -> None:
    """Show the status until interrupted, anew every `interval_s`; a Phoenix that is away is shown as that."""
    screen = console()
    with Live(console=screen, screen=screen.is_terminal, auto_refresh=False) as live:
        while rounds is None or rounds > 0:
            live.update(_page(api, interval_s), refresh=True)
            rounds = None if rounds is None else rounds - 1
            if rounds != 0:
                time.sleep(interval_s)


def _page(api: Api, interval_s: float) -> RenderableType:
    foot = f"[dim]every {interval_s:g} s · Ctrl+C ends[/]"
    try:
        return Group(insight.show_status(insight.status(api)), "", foot)
    except Unreachable as failure:
        return Group(f"[bold red]{escape(failure.title)}[/]", escape(failure.detail), "", foot)


def metrics_of(api: Api) -> dict[str, Any]:
    """Return the important numbers of every service that answers, one instance of each.

    Raises:
        Unreachable: none answers.
    """
    from scripts.phoenix_cli import measured  # the parser of the text format

    rows: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    for service in SERVICES:
        try:
            text = api.text(service, "/metrics")
            for _ in range(KEEPER_LOOKS_MAX if service in measured.KEEPER else 0):
                if measured.is_known(text):
                    break
                text = api.text(service, "/metrics")  # balanced: the next replica answers
            rows += [asdict(row) for row in measured.read(service, text)]
        except Failure as failure:
            missing[service] = failure.title
    if len(missing) == len(SERVICES):
        raise Unreachable(
            "Phoenix cannot be reached", "No service gives metrics. ./scripts/start.sh starts it."
        )
    return {"metrics": rows, "missing": missing}


def show_metrics(document: Mapping[str, Any]) -> RenderableType:
    """Return the numbers as a table."""
    rows = [
        (
            row["service"],
            row["name"] + (f" · {row['label']}" if row["label"] else ""),
            "unknown" if row["value"] is None else f"{row['value']:,.6g}",
            "" if row["p50_ms"] is None else f"{row['p50_ms']:,.1f}",
            "" if row["p99_ms"] is None else f"{row['p99_ms']:,.1f}",
        )
        for row in document["metrics"]
    ]
    lines: list[RenderableType] = [
        table("Since each service started", ("service", "what", "value", "p50 ms", "p99 ms"), rows)
    ]
    lines += [f"[yellow]{escape(name)}: {escape(why)}[/]" for name, why in document["missing"].items()]
    return Group(*lines)


def follow_facts(api: Api, tell: Callable[[Mapping[str, Any]], None], rounds: int | None = None) -> None:
    """Tell every new notification (the facts worth telling) as NOTIFY stores it, until interrupted.

    NOTIFY is asked twice a second for its newest: a burst of more than `FACTS_PER_LOOK_MAX` between two looks
    is not seen whole. Nothing is consumed.
    """
    seen: deque[str] = deque(maxlen=FACTS_REMEMBERED_MAX)
    while rounds is None or rounds > 0:
        newest = api.get("notify", "/notifications", limit=FACTS_PER_LOOK_MAX)["notifications"]
        for fact in reversed(newest):
            key = str(fact["event_id"])
            if key not in seen:
                seen.append(key)
                tell(fact)
        rounds = None if rounds is None else rounds - 1
        if rounds != 0:
            time.sleep(POLL_INTERVAL_S)


def follow_logs(
    installation: Installation,
    programs: list[str],
    tell: Callable[[str, str], None],
    rounds: int | None = None,
) -> None:
    """Tell every new line of the local system's logs, until interrupted.

    Raises:
        Unreachable: there are no logs here; containers have theirs in `docker compose logs -f`.
    """
    folder = installation.home / "logs"
    names = programs or [f"{service}-" for service in SERVICES]
    files = sorted(path for path in folder.glob("*.log") if path.name.startswith(tuple(names)))
    if not files:
        raise Unreachable(
            "no logs here", f"{folder} has none of {', '.join(names)}. Containers: docker compose logs -f."
        )
    tails = {path: _tail(path) for path in files}
    while rounds is None or rounds > 0:
        for path, lines in tails.items():
            for line in lines:
                if line is None:
                    break
                tell(path.stem, line)
        rounds = None if rounds is None else rounds - 1
        if rounds != 0:
            time.sleep(POLL_INTERVAL_S)


def log_line(program: str, line: str) -> str:
    """Return one JSON log line for a person; any other line as it is."""
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        return f"[dim]{escape(program)}[/] {escape(line)}"
    style = NOTICED_LEVELS.get(str(event.get("level", "")).lower(), "")
    what = str(event.get("action") or event.get("event") or "")
    rest = " ".join(f"{key}={value}" for key, value in event.items() if key not in ENVELOPE_KEYS)
    story = f" [cyan]{escape(str(event['correlation_id']))}[/]" if event.get("correlation_id") else ""
    told = escape(f"{what} {rest}".rstrip())
    at = escape(str(event.get("timestamp", "")))
    return f"[dim]{at} {escape(program):<12}[/] " + (f"[{style}]{told}[/]" if style else told) + story


def _tail(path: Path) -> Iterator[str | None]:
    """Yield the lines written from now on, None when there is none yet; follows a rotated file."""
    file = _opened(path, at_end=True)
    while True:
        line = file.readline(LINE_BYTES_MAX)
        if line:
            yield line.rstrip("\n")
            continue
        if _was_replaced(path, file):
            file.close()
            file = _opened(path, at_end=False)
        yield None


def _opened(path: Path, *, at_end: bool) -> IO[str]:
    file = path.open(encoding="utf-8", errors="replace")
    if at_end:
        file.seek(0, 2)
    return file


def _was_replaced(path: Path, file: IO[str]) -> bool:
    try:
        return path.stat().st_size < file.tell()
    except FileNotFoundError:
        return False
