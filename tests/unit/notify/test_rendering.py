"""Many notifications in one message: sums that a trader understands, and no markup from outside."""

from dataclasses import replace
from datetime import timedelta

import msgspec

from services.notify.telling.kinds import Kind
from services.notify.telling.languages import LANGUAGES
from services.notify.telling.message_format import Context, Notification, describe
from services.notify.telling.pacing import FOLDED_MAX, next_batch
from services.notify.telling.rendering import MESSAGE_UNITS_MAX, render
from services.notify.telling.texts import Language
from shared.models import Message
from shared.values import CloseReason, Severity, Side
from tests.integration.telegram_markup import TEXT_CHARS_MAX, shown
from tests.unit.notify import facts

ENGLISH, KOREAN = LANGUAGES["en"], LANGUAGES["ko"]


def told(fact: Message, number: int = 0, words: Language = ENGLISH) -> Notification:
    at = facts.NOON + timedelta(seconds=number)
    notification = describe(facts.told_as(fact, str(number), at=at), words, Context())
    assert notification is not None
    return notification


def refused_for(reason: str, measured: str, limit: str) -> Message:
    check = msgspec.structs.replace(
        facts.CHECKS[1], name=reason, measured=measured, limit=limit, reason=reason
    )
    return msgspec.structs.replace(facts.REJECTED, reason=reason, checks=(check,))


def test_routine_is_summed_up_by_reason_with_the_most_frequent_first() -> None:
    confidence = refused_for("final_gate", "0.848", "at least 0.85")
    stale = refused_for("market_data_stale", "7 s", "5 s")
    batch = [told(stale, n) for n in range(5)]
    batch += [told(confidence, 100 + n) for n in range(18)]
    batch += [told(facts.SIGNAL_ENDED, 200 + n) for n in range(2)]
    assert render(batch, ENGLISH).plain == (
        "25 messages, 12:00–12:03 UTC\n"
        "23 signals rejected: 18 final confidence (limit at least 0.85), 5 market data stale (limit 5 s)\n"
        "2 signals ended: 2 too old\n"
        "All of them: /signals, GET /notifications"
    )
    in_korean = [told(confidence, n, KOREAN) for n in range(18)]
    assert "거절된 신호 18건: 18 최종 신뢰도 (한도 0.85 이상)" in render(in_korean, KOREAN).plain


def test_few_routine_messages_keep_their_numbers() -> None:
    batch = [told(facts.REJECTED, n) for n in range(2)]
    batch[1] = replace(batch[1], title="SHORT ETHUSDT rejected")
    lines = render(batch, ENGLISH).plain.splitlines()
    assert lines[1] == "LONG BTCUSDT rejected – Final confidence 0.848, limit 0.85"
    assert lines[2] == "SHORT ETHUSDT rejected – Final confidence 0.848, limit 0.85"


def test_folded_money_keeps_every_title_in_order() -> None:
    loss = msgspec.structs.replace(facts.CLOSED, reason=CloseReason.STOP_LOSS)
    batch = [told(facts.OPENED, 1), told(loss, 2), told(facts.CLOSED, 3)]
    short = msgspec.structs.replace(facts.POSITION, side=Side.SHORT, symbol="ETHUSDT")
    batch.append(told(msgspec.structs.replace(facts.OPENED, position=short), 4))
    assert render(batch, ENGLISH).plain.splitlines()[1:5] == [
        "LONG BTCUSDT opened at 50000",
        "✅ LONG BTCUSDT closed, stop loss: +143.17 USDT",
        "✅ LONG BTCUSDT closed, take profit: +143.17 USDT",
        "SHORT ETHUSDT opened at 50000",
    ]


def test_more_reasons_than_a_line_holds_are_counted() -> None:
    batch = [told(refused_for(f"reason_{n}", "1", "0"), n) for n in range(9)]
    assert render(batch, ENGLISH).plain.splitlines()[1].endswith("1 reason 4 (limit 0), 4 more")


def test_text_from_outside_is_never_markup() -> None:
    nasty = msgspec.structs.replace(
        facts.ALERT, text='</b><a href="http://evil">tap</a> & <i>', kind="<b>kind", symbol="<script>"
    )
    one = told(nasty)
    for batch in ([one], [one, told(nasty, 1), told(nasty, 2)]):
        message = render(batch, ENGLISH)
        assert "<a" not in message.html
        assert shown(message.html, "HTML") == message.plain


def test_the_longest_message_fits_into_a_chat_as_text_and_as_markup() -> None:
    longest = msgspec.structs.replace(facts.ALERT, text="<&>" * 30_000, kind="k" * 1_000)
    one = told(longest)
    single = render([one], ENGLISH, dropped=1)
    assert len(single.plain) <= MESSAGE_UNITS_MAX
    assert len(shown(single.html, "HTML") or "x" * 9_999) <= TEXT_CHARS_MAX
    warnings = [replace(one, kind=Kind.ALERT_WARNING, title=f"{n} {one.title}"[:200]) for n in range(100)]
    batch = next_batch(warnings, with_routine=True)
    assert len(batch) == FOLDED_MAX[batch[0].lane]
    text = render(batch, ENGLISH).plain
    assert len(text) <= MESSAGE_UNITS_MAX
    assert text.count("\n") == len(batch) + 1, "the last line of a full list is not cut off"


def test_what_was_dropped_is_said_once_and_a_message_of_silent_ones_is_silent() -> None:
    assert render([], ENGLISH, dropped=12).plain == (
        "12 routine messages were too old to be sent: GET /notifications has them."
    )
    silent = replace(told(facts.REJECTED), is_silent=True)
    assert render([silent], ENGLISH).is_silent
    assert render([silent, silent], ENGLISH).is_silent
    assert not render([silent, told(facts.REJECTED, 1)], ENGLISH).is_silent
    assert render([told(facts.HALTED)], ENGLISH).severity is Severity.CRITICAL
