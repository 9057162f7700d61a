"""Lengths are the judge's: UTF-16 units, and no character is cut in two (F13)."""

from hypothesis import given
from hypothesis import strategies as st

from services.notify.telling.lengths import cut, split, utf16_units
from services.notify.telling.rendering import MESSAGE_UNITS_MAX, Written
from tests.integration.telegram_markup import shown

TEXTS = st.text(st.sampled_from("a가🚨\n<&"), max_size=200)


@given(TEXTS)
def test_units_are_those_of_utf_16(text: str) -> None:
    assert utf16_units(text) == len(text.encode("utf-16-le")) // 2


@given(TEXTS, st.integers(2, 50))
def test_a_cut_text_fits_and_is_a_front_of_the_whole(text: str, units_max: int) -> None:
    kept = cut(text, units_max)
    assert utf16_units(kept) <= units_max
    assert text.startswith(kept.removesuffix("…"))


@given(TEXTS, st.integers(3, 50), st.integers(1, 5))
def test_parts_fit_are_few_and_lose_nothing_but_line_ends(text: str, units_max: int, parts_max: int) -> None:
    parts = split(text, units_max, parts_max)
    assert 1 <= len(parts) <= parts_max
    assert all(utf16_units(part) <= units_max for part in parts)
    if not parts[-1].endswith("…"):
        assert "".join(parts).replace("\n", "") == text.replace("\n", "")


@given(st.text(st.sampled_from("x🚨<&\n"), max_size=9_000))
def test_no_form_of_a_message_is_longer_than_telegram_takes(body: str) -> None:
    message = Written("🚨" * 700, body, "12:00:00 UTC · abcdef")
    for form in (message.plain, shown(message.html, "HTML") or "", message.least):
        assert 0 < utf16_units(form) <= MESSAGE_UNITS_MAX
    assert message.plain.endswith("abcdef")
