"""Stage 2: how large may this one position be? Symbol, odds, leverage, liquidation, margin, risk at the stop.

Rules only. They lower the draft where a smaller position fits and refuse where none does (DESIGN 6.4).
"""

import msgspec

from services.risk.kelly_calculator import stake
from services.risk.position_manager import Reservation, ReservationState
from services.risk.profiles import OnOpposite
from services.risk.sizing import (
    Draft,
    Ladder,
    down,
    fit,
    is_beyond_stop,
    ladder_of,
    liquidation_price,
    lowered,
    quantity_of,
    risk_rate,
)
from services.risk.verdicts import (
    Case,
    Verdict,
    passes,
    percent,
    refuses,
    resizes,
    usdt,
    with_notional,
)
from shared.money import ZERO, plain
from shared.values import OutcomeKind

ALREADY_OPEN = "already_open"
CLOSING_OPPOSITE = "closing_opposite"
OPPOSITE_IGNORED = "opposite_ignored"
SYMBOL_BUSY = "symbol_busy"

EXIT_UNDER_WAY_S = 1
"""How long an entry that a position of ours stands against waits for word of an exit received before it."""
REVERSAL_S = 6
"""The same for one against the other side whose alert bears a stamp: its exit may be received after it."""

_ONE_POSITION = "one position per symbol"
_VOID_AFTER_EXIT = frozenset({ALREADY_OPEN, CLOSING_OPPOSITE, OPPOSITE_IGNORED, SYMBOL_BUSY})


def one_position_per_symbol(case: Case, draft: Draft) -> Verdict:
    """What already stands in the symbol decides: nothing, the same side, the other side, or a stranger's.

    What an exit closes that came before this signal counts as gone, and the position waits for it to go.
    """
    standing = case.book.of_symbol(case.proposal.symbol)
    if not standing:
        return passes(draft, "none", _ONE_POSITION)
    if all(case.book.is_leaving(each, case.proposal.moment) for each in standing):
        measured = ", ".join(f"{each.side} {plain(each.quantity)}, being closed" for each in standing)
        return passes(msgspec.structs.replace(draft, closes_opposite=True), measured, _ONE_POSITION)
    found = next((each for each in standing if each.state is ReservationState.HELD), standing[0])
    measured = f"{found.side} {plain(found.quantity)} {found.state} ({found.signal_id})"
    if found.state is ReservationState.HELD or not found.is_ours or len(standing) > 1:
        return refuses(draft, measured, _ONE_POSITION, SYMBOL_BUSY)
    if found.side is case.proposal.side:
        return refuses(draft, measured, _ONE_POSITION, ALREADY_OPEN, OutcomeKind.NO_OP)
    return _against(found, measured, case, draft)


def exit_wait_s(case: Case, reason: str) -> int:
    """Return how long a refusal for `reason` is worth waiting with: an exit may be about to void it.

    Exits go to EXECUTE without passing here, so word of one may come later than the entry that follows it.
    """
    standing = case.book.of_symbol(case.proposal.symbol)
    if reason not in _VOID_AFTER_EXIT or not all(each.is_ours for each in standing):
        return 0
    is_reversal = all(each.side is not case.proposal.side for each in standing)
    return REVERSAL_S if is_reversal and case.proposal.moment.made_at is not None else EXIT_UNDER_WAY_S


def _against(standing: Reservation, measured: str, case: Case, draft: Draft) -> Verdict:
    policy = case.limits.on_opposite
    limit = f"on_opposite = {policy}"
    if policy is OnOpposite.IGNORE:
        return refuses(draft, measured, limit, OPPOSITE_IGNORED, OutcomeKind.NO_OP)
    if standing.reserved_at > case.proposal.signal.received_at:  # older news has no say over a newer position
        return refuses(draft, f"{measured}, approved after the signal came", limit, SYMBOL_BUSY)
    if policy is OnOpposite.CLOSE:
        return refuses(draft, measured, limit, CLOSING_OPPOSITE, OutcomeKind.NO_OP)
    return passes(msgspec.structs.replace(draft, closes_opposite=True), measured, limit)


def edge(case: Case, draft: Draft) -> Verdict:
    """Kelly's fraction of our own odds gives the margin; without an edge a few probes a day measure on."""
    limits = case.limits
    found = stake(
        case.proposal.edge, scale=limits.kelly_scale, margin_fraction_max=limits.position_margin_max
    )
    if found.has_edge:
        margin = down(found.margin_fraction * case.equity_usdt)
        sized = msgspec.structs.replace(
            draft,
            kelly_fraction=found.kelly_fraction,
            margin_max_usdt=margin,
            notional_usdt=margin * limits.leverage_max,
        )
        measured = f"Kelly {percent(found.kelly_fraction)}, margin {percent(found.margin_fraction)}"
        return passes(sized, measured, f"margin at most {percent(limits.position_margin_max)} of equity")
    return _probe(case, draft)


def _probe(case: Case, draft: Draft) -> Verdict:
    used, limit = case.book.probes_today, case.limits.probes_per_day_max
    if used >= limit:
        return refuses(draft, f"no edge, {used} probes today", f"{limit} probes a day", "no_edge_probes_used")
    risk_usdt = down(case.limits.probe_risk * case.equity_usdt)
    sized = msgspec.structs.replace(
        draft,
        is_probe=True,
        margin_max_usdt=down(case.equity_usdt),  # the row `margin` cuts it where leverage is low
        notional_usdt=down(risk_usdt / risk_rate(case.limits, case.instrument)),
    )
    return passes(sized, f"no edge: probe of {usdt(risk_usdt)} at risk", f"{limit} probes a day, {used} used")


def leverage(case: Case, draft: Draft) -> Verdict:
    """The leverage must be legal at the notional; where brackets forbid it, it is lowered."""
    limit = f"{case.limits.leverage_max}x"
    ladder = ladder_of(case.instrument.brackets, case.limits.leverage_max, draft.notional_usdt)
    if not ladder:
        return refuses(draft, "the symbol has no leverage brackets", limit, "leverage_not_allowed")
    return _on_ladder(draft, ladder, case.limits.leverage_max, limit, "leverage_not_allowed")


def liquidation(case: Case, draft: Draft) -> Verdict:
    """Liquidation must stand beyond the stop with the buffer kept free; leverage is lowered until it does."""
    buffer = percent(case.limits.liquidation_buffer)
    limit = f"stop at {percent(case.limits.stop_distance)}, {buffer} of the way to liquidation kept free"
    side, brackets = case.proposal.side, case.instrument.brackets
    ladder = lowered(draft.ladder, brackets, side, case.limits)
    if not ladder:
        return refuses(draft, "no leverage keeps liquidation away", limit, "liquidation_too_close")
    verdict = _on_ladder(draft, ladder, draft.leverage, limit, "liquidation_too_close")
    fitted = verdict.draft
    if fitted.notional_usdt <= ZERO:
        return verdict
    quantity = fitted.notional_usdt / case.price
    price = liquidation_price(side, quantity, case.price, fitted.margin_usdt, brackets)
    measured = (
        f"liquidation at {percent(abs(case.price - price) / case.price)} from entry, {fitted.leverage}x"
    )
    if not is_beyond_stop(side, case.price, price, case.limits):
        return refuses(draft, measured, limit, "liquidation_too_close")
    return verdict._replace(measured=measured)


def _on_ladder(draft: Draft, ladder: Ladder, leverage_wanted: int, limit: str, reason: str) -> Verdict:
    notional = fit(ladder, draft.notional_usdt, lambda multiple: draft.margin_max_usdt * multiple)
    fitted = msgspec.structs.replace(draft, ladder=ladder, notional_usdt=notional)
    measured = f"{fitted.leverage}x at {usdt(notional)}"
    if fitted.leverage < leverage_wanted or notional < draft.notional_usdt:
        return resizes(fitted, measured, limit, reason)
    return passes(fitted, measured, limit)


def margin(case: Case, draft: Draft) -> Verdict:
    """The margin of one position is a limited share of equity."""
    limit_usdt = down(case.limits.position_margin_max * case.equity_usdt)
    measured, limit = (
        usdt(draft.margin_usdt),
        f"{usdt(limit_usdt)} ({percent(case.limits.position_margin_max)})",
    )
    if draft.margin_usdt <= limit_usdt:
        return passes(draft, measured, limit)
    notional = fit(draft.ladder, draft.notional_usdt, lambda multiple: limit_usdt * multiple)
    return resizes(with_notional(draft, notional), measured, limit, "position_margin_max")


def risk_at_stop(case: Case, draft: Draft) -> Verdict:
    """What the position loses at its stop, taker fees both ways included, is a limited share of equity."""
    limit_usdt = down(case.limits.risk_per_trade_max * case.equity_usdt)
    risk_usdt = case.risk_usdt(draft.notional_usdt)
    share = risk_usdt / case.equity_usdt
    measured = f"{usdt(risk_usdt)} ({percent(share)})"
    limit = f"{usdt(limit_usdt)} ({percent(case.limits.risk_per_trade_max)})"
    if risk_usdt <= limit_usdt:
        return passes(draft, measured, limit)
    smaller = with_notional(draft, down(limit_usdt / risk_rate(case.limits, case.instrument)))
    return resizes(smaller, measured, limit, "risk_per_trade_max")


def quantity(case: Case, draft: Draft) -> Verdict:
    """The exchange's step, least and largest order."""
    instrument = case.instrument
    found = quantity_of(draft.notional_usdt, case.price, instrument)
    notional = found * case.price
    measured = f"{plain(found)} worth {usdt(notional)}"
    limit = (
        f"step {plain(instrument.step_size)}, from {plain(instrument.quantity_min)} and "
        f"{usdt(instrument.notional_min_usdt)} to {plain(instrument.quantity_max)}"
    )
    if not case.is_tradable(draft):
        return refuses(draft, measured, limit, "below_min_notional")
    if found + instrument.step_size > instrument.quantity_max and notional < draft.notional_usdt:
        return resizes(with_notional(draft, notional), measured, limit, "quantity_max")
    return passes(draft, measured, limit)
