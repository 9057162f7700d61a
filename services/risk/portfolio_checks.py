"""Stage 3: may the account carry it, together with all that is reserved and open? (DESIGN 6.4; P5)

Rules only. A position is lowered to what is left, but not below the size of a probe: a crumb would use up a
slot and a day's entry and change nothing.
"""

from decimal import Decimal

from services.risk.correlation import Exposure, portfolio_risk, room_for
from services.risk.position_manager import Book
from services.risk.profiles import UNLIMITED
from services.risk.sizing import Draft, down, fit, risk_rate
from services.risk.verdicts import Case, Verdict, passes, percent, refuses, resizes, usdt, with_notional
from shared.money import ONE, STORED_PLACES, ZERO

ROUNDING_USDT = 2 * STORED_PLACES
"""Margin and fee are each rounded up after the fit."""


def book_beside(case: Case, draft: Draft) -> Book:
    """Return the book the position is added to: without the opposite one that it replaces."""
    if not draft.closes_opposite:
        return case.book
    return case.book.without(each.signal_id for each in case.book.of_symbol(case.proposal.symbol))


def free_balance(case: Case, draft: Draft) -> Verdict:
    """Margin and entry fee must be free, after all that is promised but not reported yet."""
    free = down(max(_free_usdt(case, draft), ZERO))
    fee_rate = case.instrument.taker_fee_rate
    needed = draft.margin_usdt + draft.notional_usdt * fee_rate
    measured, limit = usdt(needed), f"{usdt(free)} free"
    if needed <= free:
        return passes(draft, measured, limit)
    spendable = max(free - ROUNDING_USDT, ZERO)
    notional = fit(draft.ladder, draft.notional_usdt, lambda x: down(spendable / (ONE / x + fee_rate)))
    return _lowered(case, draft, with_notional(draft, notional), measured, limit, "free_balance")


def _free_usdt(case: Case, draft: Draft) -> Decimal:
    free = (case.account.available_usdt or ZERO) - book_beside(case, draft).unseen_cost_usdt()
    if draft.closes_opposite:  # closing it frees its margin, less at most what it can lose at its stop
        gone = case.book.of_symbol(case.proposal.symbol)
        freed = (each.margin_usdt - each.risk_usdt for each in gone if case.book.is_reported(each))
        free += sum((max(each, ZERO) for each in freed), ZERO)
    return free


def positions(case: Case, draft: Draft) -> Verdict:
    """Reserved and open positions together have a limit."""
    used, limit = len(book_beside(case, draft).live()), case.limits.positions_max
    if used < limit:
        return passes(draft, f"{used} reserved and open", f"below {limit}")
    return refuses(draft, f"{used} reserved and open", f"below {limit}", "positions_max")


def combined_risk(case: Case, draft: Draft) -> Verdict:
    """The combined loss at the stops, correlations considered, is a limited share of equity."""
    limit_usdt = down(case.limits.portfolio_risk_max * case.equity_usdt)
    limit = f"{usdt(limit_usdt)} ({percent(case.limits.portfolio_risk_max)})"
    symbol, side = case.proposal.symbol, case.proposal.side
    others = [Exposure(each.symbol, each.side, each.risk_usdt) for each in book_beside(case, draft).live()]
    newcomer = Exposure(symbol, side, case.risk_usdt(draft.notional_usdt))
    together = sum((each.risk_usdt for each in others), newcomer.risk_usdt)
    if together <= limit_usdt:  # the sum is the upper bound of sqrt(rᵀCr): no matrix needed
        return passes(draft, f"at most {usdt(together)} ({percent(together / case.equity_usdt)})", limit)
    together = portfolio_risk([*others, newcomer], case.market.correlations)
    measured = f"{usdt(together)} ({percent(together / case.equity_usdt)})"
    if together <= limit_usdt:
        return passes(draft, measured, limit)
    room_usdt = down(room_for(symbol, side, others, case.market.correlations, limit_usdt))
    notional = min(down(room_usdt / risk_rate(case.limits, case.instrument)), draft.notional_usdt)
    return _lowered(case, draft, with_notional(draft, notional), measured, limit, "portfolio_risk_max")


def _lowered(case: Case, before: Draft, after: Draft, measured: str, limit: str, reason: str) -> Verdict:
    probe_usdt = case.limits.probe_risk * case.equity_usdt
    least_usdt = min(case.risk_usdt(before.notional_usdt), probe_usdt)
    if case.risk_usdt(after.notional_usdt) < least_usdt or not case.is_tradable(after):
        return refuses(before, measured, limit, reason)
    return resizes(after, measured, limit, reason)


def daily_loss(case: Case, draft: Draft) -> Verdict:
    """From this loss on the day is over for entries; what is open stays under its stops."""
    loss, limit = case.account.day_loss(case.now), case.limits.daily_loss_max
    if loss < limit:
        return passes(draft, percent(loss), f"below {percent(limit)}")
    return refuses(draft, percent(loss), f"below {percent(limit)}", "daily_loss")


def drawdown(case: Case, draft: Draft) -> Verdict:
    """From this fall below the peak on entries stop; what is open stays under its stops."""
    fall, limit = case.account.drawdown, case.limits.drawdown_max
    if fall < limit:
        return passes(draft, percent(fall), f"below {percent(limit)}")
    return refuses(draft, percent(fall), f"below {percent(limit)}", "drawdown")


def entries_per_day(case: Case, draft: Draft) -> Verdict:
    """Approvals in a UTC day."""
    return _count(draft, case.book.entries_today, case.limits.entries_per_day_max, "entries_per_day_max")


def entries_per_minute(case: Case, draft: Draft) -> Verdict:
    """Approvals in the last 60 seconds."""
    return _count(
        draft, case.book.entries_last_minute, case.limits.entries_per_minute_max, "entries_per_minute_max"
    )


def _count(draft: Draft, used: int, limit: int, reason: str) -> Verdict:
    if limit == UNLIMITED:
        return passes(draft, "not counted", "not limited")
    if used < limit:
        return passes(draft, str(used), f"below {limit}")
    return refuses(draft, str(used), f"below {limit}", reason)
