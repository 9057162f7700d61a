"""Every fact is told or quiet on purpose, and what is told reads as a trader expects."""

import re
from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from services.notify.telling.kinds import NEVER_OFF, SEVERITIES, TRADES, Kind, Lane, lane_of
from services.notify.telling.languages import LANGUAGES
from services.notify.telling.message_format import (
    CLOSE_KINDS,
    LATE_S,
    QUIET,
    STATE_KINDS,
    TELLERS,
    Context,
    Notification,
    again,
    describe,
)
from services.notify.telling.rendering import render
from services.notify.telling.texts import Language
from shared.models import MESSAGES, Message, ProtectionPlaced
from shared.values import CheckResult, CloseReason, OutcomeKind, Severity, Side, TradingState
from tests.unit.notify import facts
from tests.unit.notify.facts import told_as

ENGLISH, KOREAN = LANGUAGES["en"], LANGUAGES["ko"]
KNOWN = Context(equity_usdt=Decimal(10_000), final_confidence=Decimal("0.9134"))

GOLDEN = {
    "position.opened.v1": """\
LONG BTCUSDT opened at 50000
Size 0.15 (7,500.00 USDT, 20x), margin 375.00
Stop 49000 (-2.00 %) · target 51000 (+2.00 %)
Risk 157.50 USDT (1.58 % of equity)
Confidence 0.9134
trend · sig-abcdefgh""",
    "position.closed.v1": """\
✅ LONG BTCUSDT closed, take profit: +143.17 USDT
+0.91 R · +38.18 % of margin · held 1 h 12 min
0.15 from 50000 to 51000
P&L +150.00, fees 6.03, funding -0.80
trend · sig-abcdefgh""",
    "position.books.v1": """\
🔻 LONG BTCUSDT, books complete, stop loss: -156.83 USDT
-1.00 R · -41.82 % of margin · held 1 h 12 min
0.15 from 50000 to 49000
P&L -150.00, fees 6.03, funding -0.80
trend · sig-abcdefgh""",
    "order.refused.v1": """\
⚠️ BTCUSDT: the exchange refused the take profit (-4045)
Reach max stop order limit.
The stop is on the exchange; the target is tried again.
sig-abcdefgh""",
    "protection.placed.v1": """\
⚠️ BTCUSDT stood 4.2 s without a stop
It is protected now: stop 49000, target 51000
sig-abcdefgh""",
    "order.ended.v1": """\
Entry BTCUSDT expired: not filled within the slippage
nothing filled within 0.1 %
sig-abcdefgh""",
    "signal.ended.v1": """\
BTCUSDT expired: too old
sig-abcdefgh""",
    "trade.rejected.v1": """\
LONG BTCUSDT rejected
Final confidence 0.848, limit 0.85
sig-abcdefgh""",
    "position.close_ignored.v1": """\
Close of BTCUSDT ignored: no position
sig-abcdefgh""",
    "trading.state.v1": """\
🚨 Trading is HALTED
No entries until somebody resumes; exits are traded.
By operator: lunch""",
    "alert.raised.v1": """\
🚨 Position without stop BTCUSDT
The stop is gone; it is being placed again.""",
}
GOLDEN_KOREAN = {
    "position.opened.v1": """\
롱 BTCUSDT 진입, 진입가 50000
수량 0.15 (7,500.00 USDT, 20배), 증거금 375.00
손절 49000 (-2.00 %) · 익절 51000 (+2.00 %)
리스크 157.50 USDT (자산의 1.58 %)
신뢰도 0.9134
trend · sig-abcdefgh""",
    "position.closed.v1": """\
✅ 롱 BTCUSDT 청산 (익절): +143.17 USDT
+0.91 R · 증거금 대비 +38.18 % · 보유 1시간 12분
수량 0.15, 50000 → 51000
손익 +150.00, 수수료 6.03, 펀딩비 -0.80
trend · sig-abcdefgh""",
    "order.refused.v1": """\
⚠️ BTCUSDT 거래소가 익절 주문을 거절했습니다 (-4045)
Reach max stop order limit.
손절 주문은 걸려 있으며, 익절 주문은 다시 시도합니다.
sig-abcdefgh""",
    "trade.rejected.v1": """\
롱 BTCUSDT 거절
최종 신뢰도 0.848, 한도 0.85
sig-abcdefgh""",
    "trading.state.v1": """\
🚨 거래 상태: HALTED (중단)
재개할 때까지 신규 진입을 하지 않습니다. 청산은 처리합니다.
변경: operator (lunch)""",
}


def told(fact: Message, words: Language = ENGLISH, *discriminator: str) -> Notification:
    notification = describe(told_as(fact, *discriminator), words, KNOWN)
    assert notification is not None
    return notification


def test_every_message_is_told_or_quiet_on_purpose() -> None:
    schemas = {message.SCHEMA for message in MESSAGES}
    assert set(TELLERS) | QUIET == schemas
    assert not set(TELLERS) & QUIET


def test_kind_tables_have_no_hole() -> None:
    assert set(CLOSE_KINDS) == set(CloseReason)
    assert set(STATE_KINDS) == set(TradingState)
    assert set(SEVERITIES) == set(Kind)
    assert not {kind for kind in TRADES if lane_of(kind) is not Lane.TRADES}
    assert {kind for kind in Kind if lane_of(kind) is Lane.DANGER} == NEVER_OFF


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_language_lacks_no_word(name: str) -> None:
    words = LANGUAGES[name]
    for kinds in (words.texts, words.summaries):
        assert set(kinds) == set(Kind)
    assert set(words.sides) == set(Side)
    assert set(words.closes) == set(CloseReason)
    assert set(words.outcomes) == set(OutcomeKind)
    assert set(words.states) == set(words.meanings) == set(TradingState)
    for table in ("reasons", "alerts", "phrases"):
        assert set(getattr(words, table)) == set(getattr(ENGLISH, table)), table
    assert set(words.advice) <= set(words.alerts)


@pytest.mark.parametrize("kind", Kind)
def test_a_translated_text_uses_the_same_values(kind: Kind) -> None:
    def names(words: Language) -> set[str]:
        text = words.texts[kind]
        return set(re.findall(r"{(\w+)}", "".join((text.title, *text.lines, text.gist))))

    assert names(KOREAN) == names(ENGLISH)


@pytest.mark.parametrize("phrase", ENGLISH.phrases)
def test_a_translated_phrase_uses_the_same_values(phrase: str) -> None:
    assert set(re.findall(r"{\w+}", KOREAN.phrases[phrase])) == set(
        re.findall(r"{\w+}", ENGLISH.phrases[phrase])
    )


def test_every_told_fact_has_golden_text() -> None:
    assert {type(fact).SCHEMA for fact in facts.TOLD} == set(TELLERS) == set(GOLDEN)


def test_incomplete_books_are_told_as_incomplete_and_never_as_a_result() -> None:
    shown = render([told(facts.CLOSED_INCOMPLETE)], ENGLISH).plain
    assert shown.startswith(
        "LONG BTCUSDT closed, take profit: ? USDT\n"
        "stop refused (-4130): no\n"
        "The books are incomplete and will be completed: fills: exchange refused (-1102): no\n"
    )


@pytest.mark.parametrize("fact", facts.TOLD, ids=lambda fact: fact.SCHEMA)
def test_told_fact_reads_as_expected(fact: Message) -> None:
    tail = told_as(fact).event_id[-6:]
    assert render([told(fact)], ENGLISH).plain == f"{GOLDEN[fact.SCHEMA]}\n12:00:00 UTC · {tail}"
    if fact.SCHEMA in GOLDEN_KOREAN:
        text = render([told(fact, KOREAN)], KOREAN).plain
        assert text == f"{GOLDEN_KOREAN[fact.SCHEMA]}\n12:00:00 UTC · {tail}"


@pytest.mark.parametrize("fact", facts.TOLD, ids=lambda fact: fact.SCHEMA)
@pytest.mark.parametrize("words", LANGUAGES.values(), ids=LANGUAGES)
def test_a_message_fits_the_screen_of_a_phone(fact: Message, words: Language) -> None:
    lines = render([told(fact, words)], words).plain.splitlines()
    assert len(lines) <= 7
    assert max(len(line) for line in lines) <= 80


@pytest.mark.parametrize("fact", facts.QUIET, ids=lambda fact: fact.SCHEMA)
def test_step_on_the_way_is_not_told(fact: Message) -> None:
    assert describe(told_as(fact), ENGLISH) is None


def test_protection_in_time_is_not_told() -> None:
    in_time = msgspec.structs.replace(facts.PROTECTED_LATE, unprotected_s=LATE_S)
    assert isinstance(in_time, ProtectionPlaced)
    assert describe(told_as(in_time), ENGLISH) is None


def test_nothing_known_beside_the_fact_leaves_nothing_empty_behind() -> None:
    opened = describe(told_as(facts.OPENED), ENGLISH)
    assert opened is not None
    assert "Risk 157.50 USDT\n" in opened.body
    assert "Confidence" not in opened.body


def test_the_one_check_that_refused_is_told_with_its_number_and_its_limit() -> None:
    check = msgspec.structs.replace(
        facts.CHECKS[1], name="daily_loss", measured="5.20 %", limit="below 5.00 %", reason="daily_loss"
    )
    refused = msgspec.structs.replace(facts.REJECTED, checks=(facts.CHECKS[0], check))
    assert told(refused).body.startswith("Day's loss 5.20 %, limit below 5.00 %\n")
    assert told(refused, KOREAN).body.startswith("일일 손실 5.20 %, 한도 5.00 % 미만\n")
    assert refused.checks[1].result is CheckResult.REFUSE


def test_a_signal_in_a_dead_letter_queue_is_told_as_such() -> None:
    parked = msgspec.structs.replace(facts.SIGNAL_ENDED, outcome=OutcomeKind.FAILED, reason="parked")
    assert told(parked).kind is Kind.SIGNAL_PARKED
    assert "dlq list" in told(parked).body


def test_alert_of_ours_is_explained_in_the_readers_language() -> None:
    silent = msgspec.structs.replace(facts.ALERT, kind="stream_silent", text="no tick for 5 s")
    assert told(silent, KOREAN).title == "시세 수신 중단 BTCUSDT"
    assert told(silent, KOREAN).body.endswith("\nno tick for 5 s")
    over = msgspec.structs.replace(facts.ALERT, kind="QueueDeep resolved", symbol=None)
    assert (told(over).title, told(over, KOREAN).title) == ("QueueDeep resolved", "QueueDeep 해소")


def test_an_unknown_reason_is_shown_as_its_name() -> None:
    strange = msgspec.structs.replace(facts.SIGNAL_ENDED, reason="moon_phase")
    assert told(strange, KOREAN).title == "BTCUSDT 신호 만료: moon phase"
    closed_by = msgspec.structs.replace(facts.CLOSE_IGNORED, reason="closed_by:stop_loss")
    assert told(closed_by, KOREAN).title.endswith("청산 사유: 손절")


def test_the_same_words_about_another_signal_are_a_repeat_and_positions_never_are() -> None:
    other = msgspec.structs.replace(facts.REJECTED, signal_id="sig-zzzzzzzzzzzzzzzzzzzz")
    assert told(other).body != told(facts.REJECTED).body
    assert told(other).repeats_as == told(facts.REJECTED).repeats_as
    for fact in (facts.OPENED, facts.CLOSED, facts.HALTED):
        assert told(fact).repeats_as is None
    louder = msgspec.structs.replace(facts.ALERT, severity=Severity.WARNING)
    assert told(louder).repeats_as != told(facts.ALERT).repeats_as


def test_a_repeat_is_said_with_its_number() -> None:
    assert again("Disk full", 14, 10, ENGLISH) == "Disk full – 14 more times in 10 min"
    assert again("시세 수신 중단", 14, 10, KOREAN) == "시세 수신 중단 – 10분 동안 14번 더 발생"


def test_loss_shows_its_sign_and_who_closed() -> None:
    closed = msgspec.structs.replace(
        facts.CLOSED,
        pnl_usdt=Decimal("-1234.567"),
        reason=CloseReason.EXIT_SIGNAL,
        closed_by="sig-zyxwvutsrqponmlkji",
    )
    notification = told(closed)
    assert notification.title == "🔻 LONG BTCUSDT closed, exit signal: -1,241.40 USDT"
    assert "Closed by sig-zyxwvuts\n" in notification.body


def test_net_result_of_nothing_has_no_sign() -> None:
    closed = msgspec.structs.replace(
        facts.CLOSED, pnl_usdt=Decimal("0.001"), fees_usdt=Decimal("0.002"), funding_usdt=Decimal(0)
    )
    notification = told(closed)
    assert notification.title.endswith(": 0.00 USDT")


@pytest.mark.parametrize("reason", [CloseReason.UNPROTECTED, CloseReason.LIQUIDATION])
def test_dangerous_close_is_critical(reason: CloseReason) -> None:
    notification = told(msgspec.structs.replace(facts.CLOSED, reason=reason))
    assert notification.severity is Severity.CRITICAL


def test_open_position_without_stop_is_critical() -> None:
    naked = msgspec.structs.replace(facts.POSITION, stop_price=None)
    notification = told(msgspec.structs.replace(facts.OPENED, position=naked))
    assert notification.severity is Severity.CRITICAL
    assert "Stop none ·" in notification.body


def test_alert_keeps_its_own_severity_and_name() -> None:
    notification = told(facts.ALERT)
    assert (notification.kind, notification.severity) == (Kind.ALERT_CRITICAL, Severity.CRITICAL)
    assert notification.title == "Position without stop BTCUSDT"


def test_braces_in_a_text_from_outside_are_only_text() -> None:
    notification = told(msgspec.structs.replace(facts.ALERT, text="{0.__class__} {unknown}"))
    assert notification.body == "{0.__class__} {unknown}"


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
    notification = told(closed)
    assert f"held {words}\n" in notification.body
