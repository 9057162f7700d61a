"""A small HTTP server that answers as the services do, for the tests of the command line: real HTTP."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from shared import models
from shared.codec import envelop
from shared.models import Message
from shared.values import Analysis, EdgeEstimate, Factor, Gate, RiskLevel
from tests.unit.notify import facts

API_KEY = "an-operator-key-nobody-may-see"
WEBHOOK_SECRET = "a-webhook-secret-nobody-may-see"
BROKER_PASSWORD = "a-broker-password-nobody-may-see"
SECRETS = (API_KEY, WEBHOOK_SECRET, BROKER_PASSWORD)

ANALYSIS = Analysis(
    scorer="phoenix95",
    price=Decimal("50000"),
    rsi=Decimal("45"),
    macd=Decimal("0.5"),
    quote_volume_24h_usdt=Decimal("1000000"),
    open_positions=0,
    defaulted=("macd",),
    factors=(
        Factor(name="technical.rsi", input="RSI 45", value=Decimal("1.10"), rule="40–60"),
        Factor(name="phoenix.volume", input="volume 1000000", value=Decimal("0.70"), rule="else"),
    ),
    technical=Decimal("0.836"),
    phoenix=Decimal("0.74"),
    market=Decimal("0.4"),
    phoenix95_score=Decimal("0.68"),
    final_confidence=Decimal("0.92"),
    risk_level=RiskLevel.LOW,
    gates=(
        Gate(name="confidence", value=Decimal("0.80"), minimum=Decimal("0.25")),
        Gate(name="final_confidence", value=Decimal("0.848"), minimum=Decimal("0.85")),
    ),
)
EDGE = EdgeEstimate(
    closed_trades=12,
    effective_trades=Decimal("11.2"),
    win_rate=Decimal("0.61"),
    win_rate_low=Decimal("0.42"),
    win_rate_high=Decimal("0.78"),
    average_win=Decimal("0.0175"),
    average_loss=Decimal("0.0095"),
)
STORY: tuple[tuple[int, Message], ...] = (
    (0, facts.QUIET[0]),
    (2, models.AnalysisCompleted(signal=facts.SIGNAL, analysis=ANALYSIS, edge=EDGE)),
    (4, facts.QUIET[2]),
    (9, facts.QUIET[4]),
    (9, facts.QUIET[5]),
    (21, facts.QUIET[6]),
    (22, facts.OPENED),
    (4_325_000, facts.CLOSED),
)


def story_of(*events: tuple[int, Message], outcome: str | None = "opened") -> dict[str, Any]:
    """Return BRAIN's answer to GET /signals/{id} for these messages, each so many ms after the alert."""
    told = []
    for after_ms, payload in events:
        at = facts.NOON + timedelta(milliseconds=after_ms)
        envelope = envelop(
            payload, correlation_id=facts.SIGNAL_ID, causation_id=None, occurred_at=at, producer="test"
        )
        told.append(msgspec.to_builtins(envelope, str_keys=True))
    decided_at = (facts.NOON + timedelta(milliseconds=events[-1][0])).isoformat() if events else None
    document: dict[str, Any] = _plain(
        {
            "signal": facts.SIGNAL,
            "analysis": ANALYSIS,
            "outcome": {"outcome": outcome, "reason": "protected", "decided_at": decided_at}
            if outcome
            else None,
            "duplicate_of": None,
            "story": told,
        }
    )
    return document


def _plain(value: Any) -> Any:
    """Return a value of the vocabulary as the JSON it becomes on the wire."""
    return json.loads(msgspec.json.encode(value))


RISK_STATUS = {
    "state": "ACTIVE",
    "trading_epoch": 3,
    "profile": "mission",
    "wallet_usdt": "10000.00000000",
    "equity_usdt": "10012.50000000",
    "available_usdt": "9600.00000000",
    "snapshot_age_s": "1.2",
    "day_pnl_usdt": "12.50000000",
    "drawdown": "0.0",
    "limits": [{"name": "positions", "used": "1", "limit": "10", "unit": "positions"}],
    "reservations": [],
    "entries_blocked_by": [],
    "market": {"symbols": 1, "fresh": 1, "stale": []},
}
POSITION = {
    "signal_id": facts.SIGNAL_ID,
    "strategy": "trend",
    "symbol": "BTCUSDT",
    "side": "long",
    "quantity": "0.15000000",
    "entry_price": "50000.00000000",
    "mark_price": "50100.00000000",
    "stop_price": "49000.00000000",
    "take_profit_price": "51000.00000000",
    "leverage": 20,
    "liquidation_price": "47750.00000000",
    "margin_usdt": "375.00000000",
    "unrealised_pnl_usdt": "15.00000000",
    "state": "protected",
    "opened_at": "2026-11-20T12:00:00Z",
    "protected_at": "2026-11-20T12:00:00Z",
}
SIGNAL_ROW = {
    "signal_id": facts.SIGNAL_ID,
    "received_at": "2026-11-20T12:00:00Z",
    "symbol": "BTCUSDT",
    "action": "long",
    "strategy": "trend",
    "origin": "alert",
    "confidence": "0.80000000",
    "phoenix95_score": "0.68",
    "final_confidence": "0.92",
    "outcome": "opened",
    "reason": "protected",
}
CLOSE_DONE: dict[str, Any] = {
    "request_id": "close-1",
    "symbol": "BTCUSDT",
    "requested_by": "operator",
    "requested_at": "2026-11-20T12:00:00Z",
    "positions": [
        {
            "signal_id": facts.SIGNAL_ID,
            "symbol": "BTCUSDT",
            "side": "long",
            "state": "closed",
            "quantity": "0.15000000",
            "exit_price": "50100.00000000",
            "net_pnl_usdt": "8.97000000",
        }
    ],
    "state": "done",
    "still_open": [],
}
READY = {"ready": True, "mode": "paper", "dependencies": {"postgresql": "ok"}}


class PhoenixStandIn:
    """The answers by method and path, and every request that came."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {
            "GET /ready": (200, READY),
            "GET /signals": (200, {"signals": [SIGNAL_ROW]}),
            f"GET /signals/{facts.SIGNAL_ID}": (200, story_of(*STORY)),
            "GET /status": (200, RISK_STATUS),
            "GET /positions": (200, {"positions": [POSITION]}),
            "GET /api/queues/%2Ftrading": (
                200,
                [
                    {"name": "trade_execution", "messages": 3, "consumers": 1},
                    {"name": "trade_execution.dead", "messages": 0, "consumers": 0},
                    {"name": "risk_assessment.dead", "messages": 2, "consumers": 0},
                ],
            ),
            "POST /update": (200, RISK_STATUS),
            "POST /audit": (201, {"recorded": "dlq"}),
            "POST /close": (202, {"request_id": "close-1"}),
            "GET /closes/close-1": (200, CLOSE_DONE),
            "GET /alarms": (200, {"alarms": []}),
            "POST /webhook/tradingview": (
                200,
                {"status": "accepted", "signal_id": facts.SIGNAL_ID},
            ),
        }
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.port = 0

    def bodies(self, route: str) -> list[Any]:
        """Return what was sent to a route, such as `POST /close`."""
        return [body for found, _, body in self.requests if found == route]

    def headers(self, route: str) -> list[dict[str, str]]:
        """Return the headers that came to a route."""
        return [headers for found, headers, _ in self.requests if found == route]

    def write_home(self, home: Path) -> Path:
        """Write the settings file of an installation that is this server, and return its home."""
        home.mkdir(exist_ok=True)
        url = f"http://127.0.0.1:{self.port}"
        names = ("BRAIN", "RISK", "EXECUTE", "NOTIFY", "MARKET_FEED", "PUBLIC")
        lines = [f"PHOENIX_{name}_URL={url}" for name in names]
        lines += [
            f"PHOENIX_API_KEY={API_KEY}",
            f"PHOENIX_WEBHOOK_SECRET={WEBHOOK_SECRET}",
            f"PHOENIX_AMQP_MANAGEMENT_URL=http://phoenix:{BROKER_PASSWORD}@127.0.0.1:{self.port}",
        ]
        (home / "phoenix.env").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return home


@contextmanager
def serving() -> Iterator[PhoenixStandIn]:
    """Serve until the block ends."""
    stand_in = PhoenixStandIn()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer("GET")

        def do_POST(self) -> None:
            self._answer("POST")

        def _answer(self, method: str) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            route = f"{method} {urlsplit(self.path).path}"
            stand_in.requests.append((route, dict(self.headers.items()), body))
            problem = {"title": "Not Found", "status": 404, "detail": "no such thing"}
            status, answer = stand_in.answers.get(route, (404, problem))
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stand_in.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
