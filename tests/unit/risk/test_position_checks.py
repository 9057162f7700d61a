"""Stage 2: what stands in the symbol, the odds, leverage, liquidation, margin, risk, order rules."""

import msgspec
import pytest

from services.risk.limits import Decision, decide
from services.risk.position_manager import Exit, Reservation
from services.risk.profiles import OnOpposite
from shared.signal_order import Moment
from shared.values import CheckResult, OutcomeKind, Side, Sizing
from tests.unit.risk.builders import (
    ADA_BRACKETS,
    NO_EDGE,
    NOW,
    D,
    account,
    book,
    bracket,
    case,
    found,
    held,
    instrument,
    limits,
    market,
    proposal,
    reservation,
    seconds,
    signal,
    tick,
)

MINE = reservation("sig-0", "BTCUSDT", quantity=D("0.01"))
NOON_BEFORE = NOW - seconds(1)
OPPOSITE = msgspec.structs.replace(MINE, side=Side.SHORT)


def sized(decision: Decision) -> Sizing:
    assert decision.sizing is not None, decision.reason
    return decision.sizing


# --- one position per symbol ---


@pytest.mark.parametrize(
    ("standing", "policy", "reason", "outcome"),
    [
        (MINE, OnOpposite.CLOSE, "already_open", OutcomeKind.NO_OP),
        (MINE, OnOpposite.REVERSE, "already_open", OutcomeKind.NO_OP),
        (OPPOSITE, OnOpposite.CLOSE, "closing_opposite", OutcomeKind.NO_OP),
        (OPPOSITE, OnOpposite.IGNORE, "opposite_ignored", OutcomeKind.NO_OP),
        (held("sig-0", "BTCUSDT"), OnOpposite.CLOSE, "symbol_busy", OutcomeKind.REJECTED),
        (held("sig-0", "BTCUSDT", side=Side.SHORT), OnOpposite.REVERSE, "symbol_busy", OutcomeKind.REJECTED),
        (
            msgspec.structs.replace(OPPOSITE, signal_id="external:BTCUSDT", is_ours=False),
            OnOpposite.CLOSE,
            "symbol_busy",
            OutcomeKind.REJECTED,
        ),
        # The position is newer than the signal that speaks against it.
        (
            msgspec.structs.replace(OPPOSITE, reserved_at=NOW + seconds(1)),
            OnOpposite.CLOSE,
            "symbol_busy",
            OutcomeKind.REJECTED,
        ),
    ],
)
def test_what_stands_in_the_symbol_decides(
    standing: Reservation, policy: OnOpposite, reason: str, outcome: OutcomeKind
) -> None:
    decision = decide(case(book_=book(standing), limits_=limits(on_opposite=policy)))
    assert (decision.reason, decision.outcome) == (reason, outcome)


def test_reverse_is_judged_as_if_the_opposite_position_were_gone() -> None:
    full = [reservation(f"sig-{n}", f"S{n}USDT") for n in range(1, 10)]
    reverse = limits(on_opposite=OnOpposite.REVERSE)
    decision = decide(case(book_=book(OPPOSITE, *full), limits_=reverse))
    assert decision.is_approved
    assert decision.closes_opposite


def test_reverse_may_spend_what_closing_the_opposite_position_surely_frees() -> None:
    standing = msgspec.structs.replace(OPPOSITE, margin_usdt=D(500), risk_usdt=D(200))
    poor = account(available_usdt=D(0))
    decision = decide(
        case(book_=book(standing, account_=poor), limits_=limits(on_opposite=OnOpposite.REVERSE))
    )
    sizing = sized(decision)
    assert sizing.margin_usdt + sizing.notional_usdt * D("0.0005") <= D(300)
    assert found(decision.checks, "free_balance").result is CheckResult.RESIZE


def exit_at(at_s: float, made_s: float | None = None, symbol: str = "BTCUSDT") -> Exit:
    made = None if made_s is None else NOON_BEFORE + seconds(made_s)
    return Exit(
        symbol=symbol, moment=Moment(strategy="trend", received_at=NOON_BEFORE + seconds(at_s), made_at=made)
    )


@pytest.mark.parametrize("policy", list(OnOpposite))
@pytest.mark.parametrize("standing", [MINE, OPPOSITE, held("sig-0", "BTCUSDT")])
def test_what_an_exit_closes_that_came_before_the_signal_counts_as_gone(
    policy: OnOpposite, standing: Reservation
) -> None:
    book_ = book(standing, exits=(exit_at(0.5),))
    decision = decide(case(book_=book_, limits_=limits(on_opposite=policy)))
    assert decision.is_approved
    assert decision.closes_opposite


@pytest.mark.parametrize(
    "leave",
    [
        exit_at(1.5),  # after the signal
        exit_at(-900),  # before the position
        exit_at(0.5, symbol="ETHUSDT"),
    ],
)
def test_another_exit_changes_nothing(leave: Exit) -> None:
    decision = decide(case(book_=book(OPPOSITE, exits=(leave,))))
    assert decision.reason == "closing_opposite"


def test_a_strangers_position_is_closed_by_no_exit() -> None:
    strange = msgspec.structs.replace(OPPOSITE, signal_id="external:BTCUSDT", is_ours=False)
    assert decide(case(book_=book(strange, exits=(exit_at(0.5),)))).reason == "symbol_busy"


def test_margin_that_is_only_promised_is_not_freed_by_closing() -> None:
    """P5: the reported free balance does not know of it yet."""
    standing = held("sig-0", "BTCUSDT", side=Side.SHORT, margin_usdt=D(500), risk_usdt=D(200))
    poor = account(available_usdt=D(0))
    decision = decide(case(book_=book(standing, account_=poor, exits=(exit_at(0.5),))))
    assert decision.reason == "free_balance"


# --- size ---


def test_prior_odds_at_20x_are_sized_down_to_two_percent_at_the_stop() -> None:
    decision = decide(case())
    sizing = sized(decision)
    assert (sizing.kelly_fraction, sizing.leverage, sizing.probe) == (D("0.25"), 20, False)
    assert sizing.quantity == D("0.190")  # 200 USDT / 2.1 % = 9523.8 USDT of notional, down to the step
    assert sizing.notional_usdt == D("9500")
    assert sizing.margin_usdt == D("475")
    assert sizing.margin_fraction == D("0.0475")
    assert sizing.risk_usdt == D("199.5")
    assert found(decision.checks, "risk_at_stop").result is CheckResult.RESIZE


def test_smaller_odds_make_a_smaller_position_that_no_limit_touches() -> None:
    slight = msgspec.structs.replace(NO_EDGE, win_rate=D("0.40"))
    sizing = sized(decide(case(proposal_=proposal(edge=slight))))
    assert D(0) < sizing.kelly_fraction < D("0.25")
    assert sizing.risk_usdt < D(199)


def test_without_odds_a_manual_order_takes_the_prior() -> None:
    manual = sized(decide(case(proposal_=proposal(edge=None, is_manual=True))))
    assert manual == sized(decide(case()))


def test_no_edge_makes_a_probe_of_a_quarter_percent() -> None:
    sizing = sized(decide(case(proposal_=proposal(edge=NO_EDGE))))
    assert sizing.probe
    assert sizing.kelly_fraction == D(0)
    assert D(23) < sizing.risk_usdt <= D(25)


def test_third_probe_of_a_day_is_refused() -> None:
    weak = proposal(edge=NO_EDGE)
    assert decide(case(proposal_=weak, book_=book(probes_today=1))).is_approved
    assert decide(case(proposal_=weak, book_=book(probes_today=2))).reason == "no_edge_probes_used"
    assert decide(case(book_=book(probes_today=2))).is_approved  # those with an edge do not need one


def test_leverage_is_lowered_where_brackets_forbid_twenty() -> None:
    tight = market(
        instrument=instrument(
            brackets=(bracket(75, 0, 3_000, "0.005", "0"), bracket(10, 3_000, 100_000, "0.05", "135"))
        )
    )
    decision = decide(case(market_=tight))
    check = found(decision.checks, "leverage")
    assert (check.result, check.reason) == (CheckResult.RESIZE, "leverage_not_allowed")
    sizing = sized(decision)
    assert sizing.leverage == 10
    assert sizing.margin_usdt == sizing.notional_usdt / 10


def test_without_brackets_no_leverage_is_legal() -> None:
    assert decide(case(market_=market(instrument=instrument(brackets=())))).reason == "leverage_not_allowed"


def test_leverage_is_lowered_until_liquidation_stands_beyond_the_stop() -> None:
    # 4 % maintenance leaves 1 % at 20x: liquidated long before the stop at 2 %.
    steep = market(instrument=instrument(brackets=(bracket(25, 0, 1_000_000, "0.04", "0"),)))
    for side, leverage in ((Side.LONG, 16), (Side.SHORT, 15)):
        decision = decide(case(proposal_=proposal(signal(side=side)), market_=steep))
        sizing = sized(decision)
        assert sizing.leverage == leverage
        distance = abs(sizing.liquidation_price - sizing.reference_price) / sizing.reference_price
        assert distance * D("0.9") >= D("0.02")
        assert found(decision.checks, "liquidation").result is CheckResult.RESIZE


def test_where_no_leverage_keeps_liquidation_away_the_trade_is_refused() -> None:
    hopeless = market(instrument=instrument(brackets=(bracket(25, 0, 1_000_000, "1.2", "0"),)))
    assert decide(case(market_=hopeless)).reason == "liquidation_too_close"


def test_margin_of_one_position_is_limited() -> None:
    bold = limits(kelly_scale=D(1), position_margin_max=D("0.01"))
    sizing = sized(decide(case(limits_=bold)))
    assert D(90) < sizing.margin_usdt <= D(100)


def test_probe_that_binds_too_much_margin_for_lack_of_leverage_is_cut() -> None:
    unleveraged = market(instrument=instrument(brackets=(bracket(1, 0, 1_000_000, "0.01", "0"),)))
    close_stop = limits(stop_distance=D("0.004"))
    decision = decide(case(proposal_=proposal(edge=NO_EDGE), market_=unleveraged, limits_=close_stop))
    assert found(decision.checks, "margin").result is CheckResult.RESIZE
    assert D(1_450) <= sized(decision).margin_usdt <= D(1_500)


@pytest.mark.parametrize(
    ("least", "approved"),
    [("9405.94", True), ("9405.95", False)],  # 9500 USDT is what fits; 1 % headroom on the exchange's minimum
)
def test_position_below_the_exchange_minimum_is_refused(least: str, approved: bool) -> None:
    decision = decide(case(market_=market(instrument=instrument(notional_min_usdt=D(least)))))
    assert decision.is_approved is approved
    if not approved:
        assert decision.reason == "below_min_notional"


def test_quantity_below_the_least_lot_is_refused() -> None:
    coarse = instrument(quantity_min=D("0.191"))
    assert decide(case(market_=market(instrument=coarse))).reason == "below_min_notional"


def test_quantity_above_the_largest_order_is_cut() -> None:
    decision = decide(case(market_=market(instrument=instrument(quantity_max=D("0.05")))))
    assert sized(decision).quantity == D("0.050")
    assert found(decision.checks, "quantity").reason == "quantity_max"


def test_account_grown_across_a_bracket_edge_gets_no_smaller_position() -> None:
    ada = instrument(
        "ADAUSDT", step_size=D(1), quantity_min=D(1), quantity_max=D(10**9), brackets=ADA_BRACKETS
    )
    there = market(instrument=ada, tick=tick("ADAUSDT", price=D("0.5")))
    asked = proposal(signal(symbol="ADAUSDT", price=D("0.5")))
    sizes = [
        sized(
            decide(case(proposal_=asked, market_=there, book_=book(account_=account(equity))))
        ).notional_usdt
        for equity in range(1_500_000, 5_000_000, 50_000)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < D(2_000_000) < sizes[-1]
