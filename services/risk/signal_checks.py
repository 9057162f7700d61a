"""Stage 1: may this signal be acted on at all? State, data, age, gates (DESIGN 6.4; P8).

Rules only: values in, a verdict out. None of them looks at a size.
"""

from decimal import Decimal

from services.risk.sizing import Draft
from services.risk.verdicts import Case, Rule, Verdict, passes, percent, refuses, seconds
from shared.market import AHEAD_S_MAX
from shared.money import ZERO, plain
from shared.values import Gate, OutcomeKind, RiskLevel, TradingState

RISK_LEVELS = tuple(RiskLevel)
"""From harmless to dangerous."""

_STATE_REASONS = {TradingState.REDUCING: "trading_reducing", TradingState.HALTED: "trading_halted"}


def trading_state(case: Case, draft: Draft) -> Verdict:
    """Entries need ACTIVE; REDUCING and HALTED let exits through only (P9)."""
    state = case.account.state
    if state is TradingState.ACTIVE:
        return passes(draft, state, "ACTIVE")
    return refuses(draft, state, "ACTIVE", _STATE_REASONS[state])


def disk_space(case: Case, draft: Draft) -> Verdict:
    """What a position needs until its end must find room: no new one on a disk that is nearly full."""
    disk = case.disk
    if disk is None:
        return passes(draft, "not known", "none")
    if disk.is_short:
        return refuses(draft, disk.measured, disk.limit, "disk_space_low")
    return passes(draft, disk.measured, disk.limit)


def symbol(case: Case, draft: Draft) -> Verdict:
    """The symbol must be allowed here and listed by the exchange."""
    allowed = case.limits.symbols_allowed
    limit = ", ".join(allowed) if allowed else "all listed symbols"
    wanted = case.proposal.symbol
    if allowed and wanted not in allowed:
        return refuses(draft, wanted, limit, "symbol_not_allowed")
    if case.market.instrument is not None:
        return passes(draft, wanted, limit)
    if not case.market.is_reachable:
        return refuses(draft, "the market data store does not answer", limit, "market_data_stale")
    return refuses(draft, f"{wanted} is not listed", limit, "symbol_unknown")


def signal_age(case: Case, draft: Draft) -> Verdict:
    """P8: old news is not traded."""
    age_s = case.proposal.age_s(case.now)
    limit_s = case.limits.signal_age_max_s
    if age_s < -AHEAD_S_MAX:  # BRAIN's clock is ahead: how old it is, nobody knows
        return refuses(draft, seconds(age_s), seconds(limit_s), "clock_skew", OutcomeKind.EXPIRED)
    if age_s <= limit_s:
        return passes(draft, seconds(age_s), seconds(limit_s))
    return refuses(draft, seconds(age_s), seconds(limit_s), "signal_too_old", OutcomeKind.EXPIRED)


def market_data(case: Case, draft: Draft) -> Verdict:
    """No entry on a price that nobody quotes any more."""
    limit_s = case.limits.market_data_age_max_s
    tick = case.market.tick
    if tick is None or tick.last <= ZERO:
        return refuses(draft, "no tick", seconds(limit_s), "market_data_stale")
    age_s = tick.age_s(case.now)
    if tick.is_fresh(case.now, limit_s):
        return passes(draft, seconds(age_s), seconds(limit_s))
    return refuses(draft, seconds(age_s), seconds(limit_s), "market_data_stale")


def account_data(case: Case, draft: Draft) -> Verdict:
    """Without a fresh report of the account nothing is known about what may be risked."""
    limit_s = case.limits.account_data_age_max_s
    taken_at = case.account.snapshot_taken_at
    if taken_at is None:
        return refuses(draft, "no account snapshot yet", seconds(limit_s), "account_data_stale")
    age_s = Decimal(str((case.now - taken_at).total_seconds()))
    if not -AHEAD_S_MAX <= age_s <= limit_s:
        return refuses(draft, seconds(age_s), seconds(limit_s), "account_data_stale")
    if case.equity_usdt <= ZERO:
        return refuses(draft, f"equity {plain(case.equity_usdt)} USDT", "above 0", "account_empty")
    return passes(draft, seconds(age_s), seconds(limit_s))


def price_moved(case: Case, draft: Draft) -> Verdict:
    """P8: what has moved away since the alert is not chased."""
    limit = case.limits.price_drift_max
    stated = case.proposal.signal.price
    if stated is None:
        return passes(draft, "the signal states no price", percent(limit))
    if stated <= ZERO:
        return refuses(
            draft, f"stated price {plain(stated)}", percent(limit), "price_moved", OutcomeKind.EXPIRED
        )
    drift = abs(case.price - stated) / stated
    measured = f"{percent(drift)}: {plain(stated)} to {plain(case.price)}"
    if drift <= limit:
        return passes(draft, measured, percent(limit))
    return refuses(draft, measured, percent(limit), "price_moved", OutcomeKind.EXPIRED)


def gate(name: str, reason: str) -> Rule:
    """Return the check of one of BRAIN's gates; a gate that was not reported is not passed."""

    def check(case: Case, draft: Draft) -> Verdict:
        analysis = case.proposal.analysis
        if analysis is None:
            return passes(draft, "manual", "none for manual orders")
        found = next((each for each in analysis.gates if each.name == name), None)
        if found is None:
            return refuses(draft, "not reported", "reported and passed", reason)
        return _judged(found, draft, reason)

    return check


def _judged(found: Gate, draft: Draft, reason: str) -> Verdict:
    measured, limit = plain(found.value), f"at least {plain(found.minimum)}"
    return passes(draft, measured, limit) if found.passed else refuses(draft, measured, limit, reason)


def risk_level(case: Case, draft: Draft) -> Verdict:
    """A market too dangerous by its indicators is not entered."""
    analysis = case.proposal.analysis
    limit = f"at most {case.limits.risk_level_max}"
    if analysis is None:
        return passes(draft, "manual", limit)
    if RISK_LEVELS.index(analysis.risk_level) <= RISK_LEVELS.index(case.limits.risk_level_max):
        return passes(draft, analysis.risk_level, limit)
    return refuses(draft, analysis.risk_level, limit, "risk_level")
