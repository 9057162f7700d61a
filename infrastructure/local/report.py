"""What a person reads: the summary after a start and the status table. Pure, and without a secret in it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from infrastructure.local.layout import Layout
from infrastructure.local.ports import Ports

SUMMARY = """
Phoenix 95 runs (mode: {mode}).

  Webhook for TradingView   {public}/webhook/tradingview
  Dashboard                 {notify}/dashboard  (users operator, viewer; passwords in the settings file)
  Positions, signals        {execute}/positions  {brain}/signals
  API documentation         {brain}/docs  {risk}/docs  {execute}/docs  {notify}/docs
{watched}  Settings and secrets      {env_file}
  Logs                      {logs}

Send an alert like TradingView's (the secret is read from the settings file):

  curl -sS -H 'Content-Type: application/json' {public}/webhook/tradingview -d '{{
    "secret": "'"$(sed -n 's/^PHOENIX_WEBHOOK_SECRET=//p' {env_file})"'",
    "symbol": "BINANCE:BTCUSDT.P", "action": "buy", "strategy": "hello", "confidence": 0.95,
    "alert_id": "'"$(date +%s%N)"'", "timenow": "'"$(date -u +%Y-%m-%dT%H:%M:%SZ)"'" }}'

Stop everything with ./scripts/stop.sh"""


WATCHED = """\
  Metrics and alarms        {prometheus}/  ("Alerts" in its menu)
"""


@dataclass(frozen=True, kw_only=True)
class ProgramStatus:
    """One line of `status`."""

    name: str
    state: str
    pid: int | None
    uptime_s: int
    ready: bool
    url: str
    log: str


def summary(layout: Layout, settings: Mapping[str, str], ports: Ports, *, is_watched: bool) -> str:
    """Return the addresses of the running system and an alert to paste."""
    watched = WATCHED.format(
        prometheus=f"http://127.0.0.1:{ports.of('prometheus')}",
    )
    return SUMMARY.format(
        mode=settings["PHOENIX_MODE"],
        public=settings["PHOENIX_PUBLIC_URL"],
        brain=settings["PHOENIX_BRAIN_URL"],
        risk=settings["PHOENIX_RISK_URL"],
        execute=settings["PHOENIX_EXECUTE_URL"],
        notify=settings["PHOENIX_NOTIFY_URL"],
        watched=watched if is_watched else "",
        env_file=layout.env_file,
        logs=layout.logs,
    )


def status_table(programs: Iterable[ProgramStatus]) -> str:
    """Return one line per program."""
    rows = [("PROGRAM", "STATE", "PID", "UPTIME", "READY", "URL", "LOG")]
    rows += [
        (p.name, p.state, str(p.pid or "-"), f"{p.uptime_s} s", "yes" if p.ready else "no", p.url, p.log)
        for p in programs
    ]
    if len(rows) == 1:
        return "Phoenix 95 is not running."
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows
    )
