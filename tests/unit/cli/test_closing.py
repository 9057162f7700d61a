"""`close` looks at the symbol and waits; its exit code says whether the position is gone (U5, U1)."""

import json
from typing import Any

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.cli.phoenix_stand_in import CLOSE_DONE, POSITION, PhoenixStandIn

UNKNOWN = {
    "title": "symbol not known",
    "detail": "BTC is not listed, and no position is open in it: nothing is closed. Did you mean BTCUSDT?",
}
FOREIGN = {
    "symbol": "XRPUSDT",
    "side": "long",
    "quantity": "500",
    "entry_price": "0.6",
    "mark_price": "0.6",
    "liquidation_price": "0",
    "leverage": 20,
    "margin_usdt": "15",
    "unrealised_pnl_usdt": "-0.1",
    "has_stop": False,
    "stop_price": None,
    "take_profit_price": None,
}
ALSO_FOREIGN = {"positions": [POSITION], "foreign_positions": [FOREIGN], "foreign_orders": []}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.phoenix_cli.closing.CLOSE_WAIT_S", 0.2)
    monkeypatch.setattr("scripts.phoenix_cli.closing.CLOSE_POLL_S", 0.01)


def ends(phoenix: PhoenixStandIn, **changes: Any) -> None:
    phoenix.answers["GET /closes/close-1"] = (200, CLOSE_DONE | changes)


def test_what_was_closed_is_said_with_its_result(run: Run) -> None:
    result = run("close", "BTCUSDT", "--yes")
    assert result.exit_code == 0
    assert "closed BTCUSDT long 0.15 at 50100: +8.97 USDT" in result.output


def test_a_symbol_that_is_none_fails_and_names_what_was_meant(run: Run, phoenix: PhoenixStandIn) -> None:
    phoenix.answers["POST /close"] = (404, UNKNOWN)
    result = run("close", "BTC", "--yes")
    assert result.exit_code == 1
    assert "Did you mean BTCUSDT?" in result.output


def test_a_question_about_a_symbol_that_is_not_held_offers_the_one_that_is(run: Run) -> None:
    result = run("close", "BTC", answer="n\n")
    assert result.exit_code == 1
    assert "Did you mean BTCUSDT?" in result.output


@pytest.mark.parametrize("typed", ["btcusdt", "BINANCE:BTCUSDT.P"])
def test_every_spelling_that_alerts_have_is_taken(typed: str, run: Run, phoenix: PhoenixStandIn) -> None:
    assert run("close", typed, "--yes").exit_code == 0
    assert phoenix.bodies("POST /close") == [{"symbol": "BTCUSDT"}]


def test_what_is_still_open_at_the_end_of_the_wait_is_not_called_closed(
    run: Run, phoenix: PhoenixStandIn
) -> None:
    ends(phoenix, state="pending", positions=[], still_open=["BTCUSDT"])
    result = run("close", "BTCUSDT", "--yes")
    assert result.exit_code == 1
    assert "NOT CLOSED YET (still open: BTCUSDT)" in result.output
    assert run("close", "BTCUSDT", "--yes", "--no-wait").exit_code == 0


def test_an_outcome_that_nobody_tells_is_not_called_closed(run: Run, phoenix: PhoenixStandIn) -> None:
    phoenix.answers["GET /closes/close-1"] = (500, {"title": "fault of ours"})
    result = run("close", "BTCUSDT", "--yes")
    assert result.exit_code == 1
    assert "does not tell" in result.output


def test_nothing_to_close_is_said(run: Run, phoenix: PhoenixStandIn) -> None:
    ends(phoenix, positions=[])
    result = run("close", "ETHUSDT", "--yes")
    assert result.exit_code == 0
    assert "nothing to close: no position of ours in ETHUSDT" in result.output


def test_what_is_not_ours_is_not_closed_and_not_kept_quiet(run: Run, phoenix: PhoenixStandIn) -> None:
    phoenix.answers["GET /positions"] = (200, ALSO_FOREIGN)
    assert "Not touched, because not ours: XRPUSDT long 500" in run("close", "all", answer="n\n").output
    result = run("close", "all", "--yes")
    assert result.exit_code == 0
    assert "NOT CLOSED, because not ours: XRPUSDT long 500" in result.output
    ends(phoenix, positions=[])
    assert run("close", "XRPUSDT", "--yes").exit_code == 1, "the position is not gone"


def test_why_knows_a_close(run: Run, phoenix: PhoenixStandIn) -> None:
    phoenix.answers["GET /closes/req-1"] = (200, CLOSE_DONE)
    result = run("why", "req-1")
    assert result.exit_code == 0
    assert "close of BTCUSDT, asked for by operator" in result.output
    assert "+8.97" in result.output


def test_positions_and_status_show_what_is_not_ours(run: Run, phoenix: PhoenixStandIn) -> None:
    phoenix.answers["GET /positions"] = (200, ALSO_FOREIGN)
    for command in ("positions", "status"):
        shown = run(command).output
        assert "Not ours" in shown
        assert "XRPUSDT" in shown
        assert "NO STOP" in shown


def test_the_headline_says_why_no_entry_is_traded(run: Run, phoenix: PhoenixStandIn) -> None:
    """U2: green "ACTIVE" while every entry was refused for the day's loss."""
    status = dict(phoenix.answers["GET /status"][1])
    block = {"reason": "daily_loss", "measured": "7 %", "limit": "below 5 %"}
    phoenix.answers["GET /status"] = (200, status | {"entries_blocked_by": [block]})
    assert "The day's loss is 7 %" in run("status").output
    headline = json.loads(run("status", "--json").stdout)["headline"]
    assert (headline["entries"], headline["tone"]) == ("refused", "bad")
    assert "The day's loss is 7 %" in run("resume").output, "the state that results is said with it"
