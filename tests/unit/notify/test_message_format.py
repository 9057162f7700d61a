"""Every fact is told or quiet on purpose, and what is told reads as a trader expects."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from services.notify.message_format import (
    CLOSE_SEVERITY,
    MESSAGE_CHARS_MAX,
    OUTCOME_SEVERITY,
    QUIET,
    STATE_SEVERITY,
    TELLERS,
    describe,
    render,
)
from services.notify.texts import TEXTS
from shared.models import MESSAGES, Message
from shared.values import CloseReason, OutcomeKind, Severity, TradingState
from tests.unit.notify import facts
from tests.unit.notify.facts import told_as

GOLDEN = {
    "position.opened.v1": """\
LONG BTCUSDT opened: 0.15 at 50000
Stop 49000 (-2.00 %), take profit 51000 (+2.00 %)
Leverage 20x, margin 375.00 USDT, risk 157.50 USDT
Strategy trend, signal sig-abcdefgh""",
    "position.closed.v1": """\
LONG BTCUSDT closed, take profit: +143.17 USDT net
0.15 from 50000 to 51000 in 1 h 12 min
Profit +150.00, fees 6.03, funding -0.80 USDT
Strategy trend, signal sig-abcdefgh""",
    "order.ended.v1": """\
Entry BTCUSDT expired: slippage
nothing filled within 0.1 %
Signal sig-abcdefgh""",
    "signal.ended.v1": """\
BTCUSDT expired: too old
Signal sig-abcdefgh""",
    "trade.rejected.v1": """\
LONG BTCUSDT rejected: final confidence
final confidence: 0.848, limit 0.85
Signal sig-abcdefgh""",
    "position.close_ignored.v1": """\
Close of BTCUSDT ignored: no position
Signal sig-abcdefgh""",
    "trading.state.v1": """\
🚨 Trading is HALTED
No entries until somebody resumes; exits are traded.
By operator: lunch""",
    "alert.raised.v1": """\
🚨 Position without stop BTCUSDT
The stop is gone; it is being placed again.""",
}


def test_every_message_is_told_or_quiet_on_purpose() -> None:
    schemas = {message.SCHEMA for message in MESSAGES}
    assert set(TELLERS) | QUIET == schemas
    assert not set(TELLERS) & QUIET


def test_severity_tables_have_no_hole() -> None:
    assert set(CLOSE_SEVERITY) == set(CloseReason)
    assert set(OUTCOME_SEVERITY) == set(OutcomeKind)
    assert set(STATE_SEVERITY) == set(TradingState)


def test_every_text_is_used_by_a_fact_and_every_told_fact_has_golden_text() -> None:
    assert {type(fact).SCHEMA for fact in facts.TOLD} == set(TELLERS) == set(GOLDEN)
    assert len(TEXTS) == len(TELLERS)


@pytest.mark.parametrize("fact", facts.TOLD, ids=lambda fact: fact.SCHEMA)
def test_told_fact_reads_as_expected(fact: Message) -> None:
    envelope = told_as(fact)
    notification = describe(envelope)
    assert notification is not None
    assert render([notification]) == f"{GOLDEN[fact.SCHEMA]}\n[12:00:00 UTC · {envelope.event_id[-6:]}]"


@pytest.mark.parametrize("fact", facts.QUIET, ids=lambda fact: fact.SCHEMA)
def test_step_on_the_way_is_not_told(fact: Message) -> None:
    assert describe(told_as(fact)) is None


def test_loss_shows_its_sign_and_who_closed() -> None:
    closed = msgspec.structs.replace(
        facts.CLOSED,
        pnl_usdt=Decimal("-1234.567"),
        reason=CloseReason.EXIT_SIGNAL,
        closed_by="sig-zyxwvutsrqponmlkji",
    )
    notification = describe(told_as(closed))
    assert notification is not None
    assert notification.title == "LONG BTCUSDT closed, exit signal: -1,241.40 USDT net"
    assert "Closed by sig-zyxwvuts\n" in notification.body


def test_net_result_of_nothing_has_no_sign() -> None:
    closed = msgspec.structs.replace(
        facts.CLOSED, pnl_usdt=Decimal("0.001"), fees_usdt=Decimal("0.002"), funding_usdt=Decimal(0)
    )
    notification = describe(told_as(closed))
    assert notification is not None
    assert notification.title.endswith(": 0.00 USDT net")


@pytest.mark.parametrize("reason", [CloseReason.UNPROTECTED, CloseReason.LIQUIDATION])
def test_dangerous_close_is_critical(reason: CloseReason) -> None:
    notification = describe(told_as(msgspec.structs.replace(facts.CLOSED, reason=reason)))
    assert notification is not None
    assert notification.severity is Severity.CRITICAL


def test_open_position_without_stop_is_critical() -> None:
    naked = msgspec.structs.replace(facts.POSITION, stop_price=None)
    notification = describe(told_as(msgspec.structs.replace(facts.OPENED, position=naked)))
    assert notification is not None
    assert notification.severity is Severity.CRITICAL
    assert "Stop none" in notification.body


def test_alert_keeps_its_own_severity_and_name() -> None:
    notification = describe(told_as(facts.ALERT))
    assert notification is not None
    assert (notification.kind, notification.severity) == ("position_without_stop", Severity.CRITICAL)


def test_braces_in_a_text_from_outside_are_only_text() -> None:
    notification = describe(told_as(msgspec.structs.replace(facts.ALERT, text="{0.__class__} {unknown}")))
    assert notification is not None
    assert notification.body == "{0.__class__} {unknown}"


def test_digest_lists_each_with_the_tail_of_its_id_and_counts_the_dropped() -> None:
    batch = [describe(told_as(facts.ORDER_ENDED, str(number))) for number in range(4)]
    told = [one for one in batch if one is not None]
    text = render(told, dropped=12)
    assert text.startswith("4 messages\n12:00:00 Entry BTCUSDT expired: slippage [")
    assert all(f"[{one.event_id[-6:]}]" in text for one in told)
    assert text.endswith("12 info messages were too old to be sent. GET /notifications has them.")


def test_longest_message_fits_into_a_chat() -> None:
    longest = msgspec.structs.replace(facts.ALERT, text="x" * 100_000, kind="k" * 1_000)
    notification = describe(told_as(longest))
    assert notification is not None
    assert len(render([notification], dropped=1)) <= MESSAGE_CHARS_MAX
    many = [replace(notification, event_id=f"evt-{number:06}") for number in range(15)]
    text = render(many)
    assert len(text) <= MESSAGE_CHARS_MAX
    assert "[000014]" in text, "the last line of a full digest is not cut off"


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (timedelta(0), "0 s"),
        (timedelta(seconds=75), "1 min 15 s"),
        (timedelta(days=2, minutes=5), "2 d 5 min"),
    ],
)
def test_holding_time_in_two_units(held: timedelta, words: str) -> None:
    closed = msgspec.structs.replace(facts.CLOSED, closed_at=facts.NOON + held)
    notification = describe(told_as(closed))
    assert notification is not None
    assert f"in {words}\n" in notification.body
