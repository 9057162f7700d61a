"""Whatever the account, the market and the book look like: an approved size breaks no limit."""

from decimal import Decimal

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from services.risk.correlation import Correlations, Exposure, Measured, portfolio_risk
from services.risk.limits import TABLE, decide
from services.risk.portfolio_checks import book_beside
from services.risk.position_manager import Book, Reservation
from services.risk.profiles import Limits
from services.risk.sizing import Draft
from services.risk.verdicts import Case
from shared.market import Bracket, Instrument
from shared.money import ONE, STORED_PLACES, ZERO
from shared.values import CheckResult, Side
from tests.unit.risk.builders import (
    ADA_BRACKETS,
    BTC_BRACKETS,
    EDGE,
    D,
    account,
    book,
    case,
    held,
    instrument,
    limits,
    market,
    proposal,
    reservation,
    signal,
    tick,
)


def decimals(low: str, high: str, places: int = 4) -> st.SearchStrategy[Decimal]:
    return st.decimals(D(low), D(high), places=places, allow_nan=False, allow_infinity=False)


@st.composite
def brackets(draw: st.DrawFn) -> tuple[Bracket, ...]:
    """Brackets as the exchange makes them: caps and rates rise, the amounts keep the margin continuous."""
    count = draw(st.integers(1, 5))
    caps = sorted(draw(st.lists(st.integers(100, 5_000_000), min_size=count, max_size=count, unique=True)))
    rates = sorted(draw(st.lists(decimals("0.004", "0.2", 3), min_size=count, max_size=count, unique=True)))
    tops = sorted(draw(st.lists(st.integers(1, 150), min_size=count, max_size=count)), reverse=True)
    floor, amount, rate_before = ZERO, ZERO, rates[0]
    made: list[Bracket] = []
    for cap, rate, top in zip(caps, rates, tops, strict=True):
        amount += floor * (rate - rate_before)
        made.append(
            Bracket(
                leverage_max=top,
                notional_floor_usdt=floor,
                notional_cap_usdt=D(cap),
                maintenance_rate=rate,
                maintenance_amount_usdt=amount,
            )
        )
        floor, rate_before = D(cap), rate
    return tuple(made)


@st.composite
def instruments(draw: st.DrawFn) -> Instrument:
    step = draw(st.sampled_from([D("0.001"), D("0.01"), D("0.1"), D(1)]))
    return instrument(
        step_size=step,
        quantity_min=step,
        quantity_max=step * draw(st.sampled_from([10, 10**4, 10**9])),
        notional_min_usdt=draw(st.sampled_from([D(5), D(20), D(50)])),
        taker_fee_rate=draw(decimals("0", "0.001")),
        brackets=draw(st.one_of(st.sampled_from([BTC_BRACKETS, ADA_BRACKETS]), brackets())),
    )


@st.composite
def limit_sets(draw: st.DrawFn) -> Limits:
    return limits(
        leverage_max=draw(st.integers(1, 50)),
        kelly_scale=draw(decimals("0.01", "1", 2)),
        position_margin_max=draw(decimals("0.001", "1", 3)),
        risk_per_trade_max=draw(decimals("0.001", "0.2", 3)),
        stop_distance=draw(decimals("0.002", "0.3", 3)),
        liquidation_buffer=draw(decimals("0", "0.5", 2)),
        portfolio_risk_max=draw(decimals("0.001", "0.5", 3)),
        positions_max=draw(st.integers(4, 7)),
    )


@st.composite
def books(draw: st.DrawFn, equity: Decimal) -> Book:
    standing: list[Reservation] = []
    for index in range(draw(st.integers(0, 5))):
        make = draw(st.sampled_from([held, reservation]))
        standing.append(
            make(
                f"sig-b{index}",
                f"S{index}USDT",
                side=draw(st.sampled_from(Side)),
                risk_usdt=draw(decimals("0", "0.02")) * equity,
                margin_usdt=draw(decimals("0", "0.05")) * equity,
            )
        )
    free = draw(decimals("0.1", "1")) * equity
    return book(*standing, account_=account(equity, available_usdt=free))


@st.composite
def correlations(draw: st.DrawFn) -> Correlations:
    symbols = sorted(["BTCUSDT", *(f"S{n}USDT" for n in range(5))])
    return Correlations(
        {
            (a, b): Measured(draw(decimals("-1", "1", 2)), draw(st.integers(10, 300)))
            for a in symbols
            for b in symbols
            if a < b and draw(st.booleans())
        }
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    price = draw(st.one_of(decimals("0.01", "5", 2), decimals("100", "90000", 2)))
    equity = draw(decimals("1000", "10000000", 2))
    edge = msgspec.structs.replace(EDGE, win_rate=draw(decimals("0.2", "1", 2)))
    asked = signal(side=draw(st.sampled_from(Side)), price=None)
    return case(
        proposal_=proposal(asked, edge=edge),
        book_=draw(books(equity)),
        market_=market(
            instrument=draw(instruments()), tick=tick(price=price), correlations=draw(correlations())
        ),
        limits_=draw(limit_sets()),
    )


@given(cases())
def test_approved_size_breaks_no_limit(drawn: Case) -> None:
    decision = decide(drawn)
    if decision.sizing is None:
        return
    sizing, wanted, rules = decision.sizing, drawn.limits, drawn.instrument
    equity = drawn.equity_usdt
    assert sizing.quantity % rules.step_size == 0
    assert rules.quantity_min <= sizing.quantity <= rules.quantity_max
    assert sizing.quantity * sizing.reference_price >= rules.notional_min_usdt
    assert 1 <= sizing.leverage <= wanted.leverage_max
    legal = next(each for each in rules.brackets if sizing.notional_usdt <= each.notional_cap_usdt)
    assert sizing.leverage <= legal.leverage_max
    assert sizing.margin_usdt <= wanted.position_margin_max * equity
    assert sizing.margin_usdt * sizing.leverage >= sizing.notional_usdt - sizing.leverage * STORED_PLACES
    assert sizing.risk_usdt <= wanted.risk_per_trade_max * equity
    assert sizing.risk_usdt >= sizing.notional_usdt * wanted.stop_distance - STORED_PLACES
    assert drawn.account.available_usdt is not None
    free = drawn.account.available_usdt - drawn.book.unseen_cost_usdt()
    assert sizing.margin_usdt + sizing.notional_usdt * rules.taker_fee_rate <= free
    assert len(drawn.book.live()) < wanted.positions_max
    exposures = [
        Exposure(each.symbol, each.side, each.risk_usdt) for each in book_beside(drawn, Draft()).live()
    ]
    newcomer = Exposure("BTCUSDT", drawn.proposal.side, sizing.risk_usdt)
    together = portfolio_risk([*exposures, newcomer], drawn.market.correlations)
    assert together <= wanted.portfolio_risk_max * equity + STORED_PLACES


@given(cases())
def test_liquidation_stands_beyond_the_stop_by_the_buffer(drawn: Case) -> None:
    sizing = decide(drawn).sizing
    if sizing is None:
        return
    sign = drawn.proposal.side.sign
    distance = sign * (sizing.reference_price - sizing.liquidation_price) / sizing.reference_price
    # Stored prices have eight places; a cent coin's price is known no better than that.
    slack = STORED_PLACES / sizing.reference_price
    assert distance * (ONE - drawn.limits.liquidation_buffer) >= drawn.limits.stop_distance - slack


@given(cases())
def test_no_check_ever_raises_the_draft(drawn: Case) -> None:
    draft = Draft()
    sized = False
    for row in TABLE:
        verdict = row.rule(drawn, draft)
        if verdict.result is CheckResult.REFUSE:
            return
        if sized and row.name != "leverage":
            assert verdict.draft.notional_usdt <= draft.notional_usdt
            assert verdict.draft.margin_usdt <= max(draft.margin_usdt, draft.margin_max_usdt)
        if verdict.result is CheckResult.RESIZE:
            assert verdict.draft != draft
        sized = sized or row.name == "edge"
        draft = verdict.draft


@given(cases(), decimals("1", "3", 2))
def test_more_equity_never_lowers_the_size(drawn: Case, times: Decimal) -> None:
    """What stands stays, the gain is free balance: the richer account may do at least as much."""
    gain = drawn.equity_usdt * (times - 1)
    before = drawn.account
    assert before.available_usdt is not None
    assume(before.available_usdt <= drawn.equity_usdt)
    richer = account(
        drawn.equity_usdt + gain,
        available_usdt=before.available_usdt + gain,
        snapshot_taken_at=before.snapshot_taken_at,
    )
    poor = decide(drawn).sizing
    rich = decide(
        case(
            proposal_=drawn.proposal,
            book_=msgspec.structs.replace(drawn.book, account=richer),
            market_=drawn.market,
            limits_=drawn.limits,
        )
    ).sizing
    if poor is not None:
        assert rich is not None
        assert rich.quantity >= poor.quantity


@given(
    st.lists(
        st.tuples(st.sampled_from("ABCDE"), st.sampled_from(Side), decimals("0", "1000", 2)), max_size=6
    ),
    st.dictionaries(
        st.sampled_from([(a, b) for a in "ABCDE" for b in "ABCDE" if a < b]),
        st.tuples(decimals("-1", "1", 2), st.integers(10, 1000)),
    ),
)
def test_combined_risk_lies_between_the_largest_and_the_sum(
    positions: list[tuple[str, Side, Decimal]], pairs: dict[tuple[str, str], tuple[Decimal, int]]
) -> None:
    exposures = [Exposure(*each) for each in positions]
    known = Correlations({key: Measured(*value) for key, value in pairs.items()})
    together = portfolio_risk(exposures, known)
    slack = D("1e-15")
    assert together <= sum((each.risk_usdt for each in exposures), ZERO) + slack
    assert together >= max((each.risk_usdt for each in exposures), default=ZERO) - slack
