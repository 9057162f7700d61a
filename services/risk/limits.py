"""RISK's decision: one ordered table of checks in three stages, run until the first refusal (DESIGN 6.4).

Every check's result is kept with the decision (P10). Pure: the same proposal, book, market, limits and time
always give the same decision (P11). It must never read a clock or store anything.
"""

from decimal import Decimal
from typing import NamedTuple

from services.risk import portfolio_checks, position_checks, signal_checks
from services.risk.sizing import Draft, sizing_of
from services.risk.verdicts import Case, Rule, Verdict
from shared.money import ZERO
from shared.values import Check, CheckResult, OutcomeKind, Sizing, Value

APPROVED = "approved"


class Row(NamedTuple):
    """One check: its stage, its name, its rule."""

    stage: int
    name: str
    rule: Rule


TABLE: tuple[Row, ...] = (
    Row(1, "trading_state", signal_checks.trading_state),
    Row(1, "disk_space", signal_checks.disk_space),
    Row(1, "symbol", signal_checks.symbol),
    Row(1, "signal_age", signal_checks.signal_age),
    Row(1, "market_data", signal_checks.market_data),
    Row(1, "account_data", signal_checks.account_data),
    Row(1, "price_moved", signal_checks.price_moved),
    Row(1, "confidence_gate", signal_checks.gate("confidence", "confidence_gate")),
    Row(1, "score_gate", signal_checks.gate("phoenix95_score", "score_gate")),
    Row(1, "final_gate", signal_checks.gate("final_confidence", "final_gate")),
    Row(1, "risk_level", signal_checks.risk_level),
    Row(2, "one_position_per_symbol", position_checks.one_position_per_symbol),
    Row(2, "edge", position_checks.edge),
    Row(2, "leverage", position_checks.leverage),
    Row(2, "liquidation", position_checks.liquidation),
    Row(2, "margin", position_checks.margin),
    Row(2, "risk_at_stop", position_checks.risk_at_stop),
    Row(2, "quantity", position_checks.quantity),
    Row(3, "free_balance", portfolio_checks.free_balance),
    Row(3, "positions", portfolio_checks.positions),
    Row(3, "portfolio_risk", portfolio_checks.combined_risk),
    Row(3, "daily_loss", portfolio_checks.daily_loss),
    Row(3, "drawdown", portfolio_checks.drawdown),
    Row(3, "entries_per_day", portfolio_checks.entries_per_day),
    Row(3, "entries_per_minute", portfolio_checks.entries_per_minute),
)


class Decision(Value, frozen=True, kw_only=True):
    """What was decided and every check behind it; `sizing` is there exactly when it was approved."""

    reason: str
    outcome: OutcomeKind | None
    checks: tuple[Check, ...]
    sizing: Sizing | None
    closes_opposite: bool = False
    liquidation_buffer: Decimal = ZERO

    @property
    def is_approved(self) -> bool:
        """Whether EXECUTE may open the position."""
        return self.sizing is not None


def decide(case: Case) -> Decision:
    """Return the decision: approved with a size no limit objects to, or refused by the first that does."""
    draft = Draft()
    checks: list[Check] = []
    for row in TABLE:
        verdict = row.rule(case, draft)
        checks.append(_recorded(row, verdict))
        if verdict.result is CheckResult.REFUSE:
            return Decision(reason=verdict.reason, outcome=verdict.outcome, checks=tuple(checks), sizing=None)
        draft = verdict.draft
    sizing = sizing_of(
        draft,
        side=case.proposal.side,
        price=case.price,
        equity_usdt=case.equity_usdt,
        instrument=case.instrument,
        limits=case.limits,
    )
    return Decision(
        reason=APPROVED,
        outcome=None,
        checks=tuple(checks),
        sizing=sizing,
        closes_opposite=draft.closes_opposite,
        liquidation_buffer=case.limits.liquidation_buffer,
    )


def _recorded(row: Row, verdict: Verdict) -> Check:
    return Check(
        stage=row.stage,
        name=row.name,
        result=verdict.result,
        measured=verdict.measured,
        limit=verdict.limit,
        reason=verdict.reason,
    )
