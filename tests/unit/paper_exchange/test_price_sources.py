"""The walk and the tape."""

from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from infrastructure.paper_exchange.prices import (
    WALK_BOUND_RATIO,
    MarketSource,
    TapeBar,
    TapeSource,
    WalkSource,
)
from infrastructure.paper_exchange.tape import TapeError, read_tape
from tests.unit.paper_exchange.builders import BTC, RULES

D = Decimal
RISING = TapeBar(D(100), D(130), D(70), D(110), D(6_000))
FALLING = TapeBar(D(110), D(120), D(90), D(100), D(6_000))
MINUTE_MS = 60_000


def walked(source: WalkSource, steps: int) -> list[Decimal]:
    return [source.step(200)[0][BTC].last for _ in range(steps)]


def test_the_same_seed_walks_the_same_way() -> None:
    assert walked(WalkSource(RULES, 95), 50) == walked(WalkSource(RULES, 95), 50)
    assert walked(WalkSource(RULES, 95), 50) != walked(WalkSource(RULES, 96), 50)


def test_walks_stay_on_ticks_and_within_bounds() -> None:
    source = WalkSource(RULES, 1)
    for _ in range(300):
        for symbol, move in source.step(60_000)[0].items():
            rules = RULES[symbol]
            assert move.last % rules.tick == 0
            bound = D(str(WALK_BOUND_RATIO))
            assert rules.start_price / bound - rules.tick <= move.last <= rules.start_price * bound
            assert move.quote_volume > 0


def test_a_jump_moves_the_walk_to_the_new_price() -> None:
    source = WalkSource(RULES, 1)
    source.jump(BTC, D(80_000))
    assert all(abs(price - 80_000) < 400 for price in walked(source, 50))


def test_history_is_continuous_and_ends_at_the_current_price() -> None:
    source = WalkSource(RULES, 95)
    bars = source.history(BTC, 100)
    assert len(bars) == 100
    assert bars[-1].close == RULES[BTC].start_price
    assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars)
    assert all(before.close == after.open for before, after in pairwise(bars))


def test_a_rising_bar_is_walked_through_its_low_first() -> None:
    tape = TapeSource(RULES[BTC], [RISING], speed=1)
    prices = [tape.step(20_000, BTC)[-1][BTC].last for _ in range(3)]
    assert prices == [70, 130, 110]


def test_a_falling_bar_is_walked_through_its_high_first() -> None:
    tape = TapeSource(RULES[BTC], [FALLING], speed=1)
    prices = [tape.step(20_000, BTC)[-1][BTC].last for _ in range(3)]
    assert prices == [120, 90, 100]


def test_a_fast_tape_skips_no_wick() -> None:
    tape = TapeSource(RULES[BTC], [RISING, FALLING, RISING], speed=600)
    moves = tape.step(200, BTC)
    assert [move[BTC].last for move in moves] == [70, 130, 110, 120, 90, 100]
    assert sum(move[BTC].quote_volume for move in moves) == 12_000


def test_a_tape_goes_on_where_its_cursor_points() -> None:
    bars = [RISING, FALLING]
    tape, later = TapeSource(RULES[BTC], bars, 60), TapeSource(RULES[BTC], bars, 60, cursor_ms=1_000)
    tape.step(1_000, BTC)
    assert tape.step(400, BTC) == later.step(400, BTC)


def test_a_tape_that_is_over_holds_its_last_price() -> None:
    tape = TapeSource(RULES[BTC], [RISING], speed=1, cursor_ms=10 * MINUTE_MS)
    (move,) = tape.step(1_000, BTC)
    assert (move[BTC].last, move[BTC].quote_volume) == (D(110), D(0))


def test_the_other_symbols_keep_walking_beside_a_tape() -> None:
    source = MarketSource(WalkSource(RULES, 1), TapeSource(RULES[BTC], [RISING], 600), BTC)
    moves = source.step(100)
    assert moves[0].keys() == RULES.keys()
    assert [move[BTC].last for move in moves] == [70, 130, 110]


def test_a_jump_on_the_taped_symbol_ends_the_tape() -> None:
    source = MarketSource(WalkSource(RULES, 1), TapeSource(RULES[BTC], [RISING], 600), BTC)
    source.jump(BTC, D(60_000))
    (moves,) = source.step(100)
    assert abs(moves[BTC].last - 60_000) < 300


def test_a_tape_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tape.csv"
    path.write_text("timestamp,open,high,low,close,volume\n2022-01-01 00:00:00,1.0,2.0,0.5,1.5,1000.5\n")
    assert read_tape(path) == [TapeBar(D(1), D(2), D("0.5"), D("1.5"), D("1000.5"))]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("timestamp,open,high,low,close,volume\n", "no bars"),
        ("timestamp,open\n1,2\n", "line 2"),
        ("timestamp,open,high,low,close,volume\n1,1,1,1,1,1\n1,1,x,1,1,1\n", "line 3"),
    ],
)
def test_a_broken_tape_file_names_the_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "tape.csv"
    path.write_text(text)
    with pytest.raises(TapeError, match=complaint):
        read_tape(path)
