"""What the chat says: both languages whole, every sentence used, nothing longer than a message may be."""

import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from string import Formatter

import pytest

from services.notify.chat.commands import DO, MENU, Ask
from services.notify.chat.setup import menus
from services.notify.chat.texts import EN, KO, Language, Phrases
from services.notify.chat.views import ChatViews, danger_of
from services.notify.chat.vocabulary import (
    MESSAGE_UNITS_MAX,
    PAGES_MAX,
    Button,
    Reply,
    first_page,
    pages,
    units,
)
from services.notify.people import Act, Why
from services.notify.report_rows import SignalLine, Totals
from tests.integration.chat_samples import POSITION
from tests.unit.cli.phoenix_stand_in import STORY, story_of
from tests.unit.notify.facts import NOON

NOTIFY = Path(__file__).parent.parent.parent.parent / "services" / "notify"
SAID_BY_NAME = (
    {f"about_{name}" for name in MENU}
    | {f"why_{why}" for why in Why}
    | {f"propose_{act}" for act in Act}
    | {f"means_{act}" for act in DO}
    | {f"{ask}_title" for ask in (Ask.DAILY, Ask.WEEKLY, Ask.MONTHLY)}
    | {f"you_{role}" for role in ("viewer", "operator")}
)


def names(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name}


def test_both_languages_say_the_same_things() -> None:
    assert {key: names(text) for key, text in EN.items()} == {key: names(text) for key, text in KO.items()}


def test_korean_is_korean() -> None:
    neutral = {"help_title", "at", "version_title", "part_good", "part_bad", "limit_line", "performance_line"}
    english = {key for key, text in KO.items() if not re.search("[가-힣]", text)}
    assert english <= neutral | {"why", "limit_used", "state_ACTIVE"}


def test_every_sentence_is_said_and_every_said_one_is_there() -> None:
    files = [path for path in (NOTIFY / "chat").glob("*.py") if path.stem != "texts"]
    code = "\n".join(path.read_text(encoding="utf-8") for path in files)
    literal = set(re.findall(r'"([a-zA-Z_0-9]+)"', code))
    said = set(re.findall(r'_?say\(\s*"([a-zA-Z_0-9]+)"', code))
    assert said <= set(EN)
    assert set(EN) <= literal | SAID_BY_NAME
    assert {f"why_{why}" for why in (Why.ROLE, Why.USED, Why.EXPIRED, Why.NOT_YOURS, Why.UNKNOWN)} <= set(EN)


def test_the_menu_is_what_telegram_takes() -> None:
    for menu in menus("ko").values():
        assert len(menu) <= 100
        assert all(re.fullmatch(r"[a-z0-9_]{1,32}", name) and 1 <= len(about) <= 256 for name, about in menu)


# --- length ---

EMOJI = "🚨"


def test_a_short_reply_is_one_page() -> None:
    reply = Reply("title", ["a", "b"], ((Button("x", "y:z"),),))
    assert pages(reply) == (reply,)
    assert first_page(reply) == reply


@pytest.mark.parametrize("each", ["x" * 60, EMOJI * 300, "y" * 5_000, ""])
@pytest.mark.parametrize("count", [1, 100, 2_000])
def test_no_page_is_longer_than_a_message_may_be(each: str, count: int) -> None:
    reply = Reply(EMOJI * 2_000, [each] * count, [(Button("x", "y:z"),)] * 50)

    whole = pages(reply)

    assert len(whole) <= PAGES_MAX
    assert all(0 < units(page.text) <= MESSAGE_UNITS_MAX for page in (*whole, first_page(reply)))
    assert [bool(page.buttons) for page in whole] == [False] * (len(whole) - 1) + [True]


def test_what_does_not_fit_is_counted() -> None:
    whole = pages(Reply("t", [f"{number:0100}" for number in range(200)]))

    shown = sum(len(page.lines) for page in whole) - 1
    assert whole[-1].lines[-1] == f"… +{200 - shown}"


def test_a_button_carries_what_telegram_takes() -> None:
    with pytest.raises(AssertionError):
        Button("x", "k" * 65)


# --- views ---


@pytest.fixture(params=["en", "ko"])
def views(request: pytest.FixtureRequest) -> ChatViews:
    return ChatViews(Phrases(request.param))


@pytest.mark.parametrize(
    ("language", "title", "failed"),
    [
        ("en", "Alert: long BTCUSDT", "✗ gate final_confidence: 0.848, at least 0.85 — not passed"),
        ("ko", "알림: BTCUSDT 롱", "✗ 최종 신뢰도 관문: 0.848, 0.85 이상 — 통과하지 못함"),
    ],
)
def test_why_shows_what_failed_and_folds_what_passed(language: Language, title: str, failed: str) -> None:
    reply = ChatViews(Phrases(language)).why(story_of(*STORY))

    assert reply.title == title
    assert failed in reply.lines
    assert any(line.startswith("✓") and "1" in line for line in reply.lines)
    assert "technical.rsi" not in reply.text
    assert all(units(page.text) <= MESSAGE_UNITS_MAX for page in pages(reply))


def test_a_score_that_missed_its_gate_does_not_look_as_if_it_reached_it() -> None:
    line = SignalLine(
        signal_id="sig-a",
        origin="alert",
        strategy="trend",
        symbol="BTCUSDT",
        action="long",
        confidence=Decimal("0.8"),
        price=None,
        alert_time=None,
        received_at=NOON,
        phoenix95_score=Decimal("0.68"),
        final_confidence=Decimal("0.84999"),
        outcome=None,
        reason=None,
        decided_at=None,
    )
    reply = ChatViews(Phrases("en")).signals([line])
    assert "score 0.680, final 0.849" in reply.text
    assert "under way" in reply.text


def test_nothing_closed_is_said_in_words(views: ChatViews) -> None:
    none = Totals(trades=0, wins=0, net_usdt=Decimal(0), fees_usdt=Decimal(0))
    assert len(views.profit(none, (), 30).lines) == 1


@pytest.mark.parametrize(
    ("mark", "end", "danger"),
    [
        ("97.5", "95", Decimal("0.5")),
        ("110", "95", Decimal(0)),
        ("120", "110", None),  # liquidated beyond the entry: there is no way from here to there
        (None, "95", None),
        ("97.5", None, None),
    ],
)
def test_danger_is_the_used_up_way_to_liquidation(
    mark: str | None, end: str | None, danger: Decimal | None
) -> None:
    position = {"side": "long", "entry_price": "100", "mark_price": mark, "liquidation_price": end}
    assert danger_of(position) == danger


def test_lengths_of_time_have_two_units() -> None:
    views = ChatViews(Phrases("en"))
    assert views.duration(timedelta(days=2, hours=3, minutes=4)) == "2 d 3 h"
    assert views.duration(timedelta(0)) == "0 s"
    assert views.duration(timedelta(seconds=-5)) == "0 s"


@pytest.mark.parametrize(
    ("price", "shown"),
    [
        ("50018.92029546", "50,018.92"),
        ("0.00001234", "0.00001234"),
        ("150000.15", "150,000.15"),
        ("2500", "2,500"),
        ("0.5123456789", "0.5123457"),
    ],
)
def test_prices_have_the_digits_somebody_reads(price: str, shown: str) -> None:
    reply = ChatViews(Phrases("en")).positions([dict(POSITION, mark_price=price)], NOON)
    assert f"62,000 → {shown}" in reply.lines


def test_limits_are_read_in_their_units_and_an_age_is_not_rounded_below_its_limit() -> None:
    limits = [
        {"name": "account_data_age_max_s", "used": "10.04", "limit": "10", "unit": "s"},
        {"name": "daily_loss_max", "used": "0.000321", "limit": "0.05", "unit": "fraction of equity"},
        {"name": "leverage_max", "used": None, "limit": "20", "unit": "x"},
    ]
    views = ChatViews(Phrases("en"))
    document = {"state": "ACTIVE", "entries_blocked_by": [], "profile": "mission", "limits": limits}
    assert views.risk(document).lines[1:] == [
        "account data age: 10.1 s of 10 s",
        "daily loss: 0.03 % of 5.00 %",
    ]
    assert views.limits(document).lines[-1] == "leverage: 20x"
