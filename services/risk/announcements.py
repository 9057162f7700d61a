"""The messages RISK sends, as pure functions of a decision: same input, same event id.

It must never send one.
"""

from datetime import datetime, timedelta

from services.risk.account import Account
from services.risk.limits import Decision
from services.risk.position_checks import CLOSING_OPPOSITE
from services.risk.position_manager import APPROVAL_VALID_S, Reservation, ReservationState
from services.risk.proposal import Proposal
from shared.codec import envelop
from shared.models import (
    AlertRaised,
    CloseRequested,
    Envelope,
    Message,
    TradeApproved,
    TradeRejected,
    TradingStateChanged,
)
from shared.values import CloseReason, Severity

PRODUCER = "risk"
JUST_BEFORE = timedelta(microseconds=1)
"""As of the signal: a position opened after it is none of its business, and the signal itself may yet enter.
"""


def reservation_of(proposal: Proposal, decision: Decision, now: datetime) -> Reservation:
    """Return the risk that an approval holds until a position or an end of it is told."""
    sizing = decision.sizing
    assert sizing is not None, "only approvals reserve"
    return Reservation(
        signal_id=proposal.signal.signal_id,
        strategy=proposal.signal.strategy,
        symbol=proposal.symbol,
        side=proposal.side,
        state=ReservationState.HELD,
        is_probe=sizing.probe,
        quantity=sizing.quantity,
        entry_price=sizing.reference_price,
        notional_usdt=sizing.notional_usdt,
        margin_usdt=sizing.margin_usdt,
        risk_usdt=sizing.risk_usdt,
        reserved_at=now,
        valid_until=now + timedelta(seconds=APPROVAL_VALID_S),
        signal_received_at=proposal.signal.received_at,
        signal_made_at=proposal.moment.made_at,
    )


def approval(
    proposal: Proposal, decision: Decision, reserved: Reservation, epoch: int, cause: str, now: datetime
) -> list[Envelope]:
    """Return the approval, and a word to the operator when it is only a probe."""
    assert decision.sizing is not None
    payload = TradeApproved(
        signal_id=reserved.signal_id,
        strategy=reserved.strategy,
        symbol=reserved.symbol,
        side=reserved.side,
        sizing=decision.sizing,
        trading_epoch=epoch,
        valid_until=reserved.valid_until,
        signal_received_at=proposal.signal.received_at,
        signal_made_at=proposal.moment.made_at,
        closes_opposite=decision.closes_opposite,
        liquidation_buffer=decision.liquidation_buffer,
        checks=decision.checks,
    )
    told = [_told(payload, proposal, cause, now)]
    if reserved.is_probe:
        told.append(_told(_probe_alert(reserved), proposal, cause, now))
    return told


def refusal(proposal: Proposal, decision: Decision, cause: str, now: datetime) -> list[Envelope]:
    """Return the refusal, and the close request when the signal speaks against the standing position."""
    assert decision.outcome is not None
    signal = proposal.signal
    payload = TradeRejected(
        signal_id=signal.signal_id,
        symbol=signal.symbol,
        side=proposal.side,
        outcome=decision.outcome,
        reason=decision.reason,
        checks=decision.checks,
    )
    return [_told(payload, proposal, cause, now), *closing(proposal, decision, cause, now)]


def closing(proposal: Proposal, decision: Decision, cause: str, now: datetime) -> list[Envelope]:
    """Return the close request when the signal speaks against the standing position, else nothing."""
    if decision.reason != CLOSING_OPPOSITE:
        return []
    signal = proposal.signal
    close = CloseRequested(
        signal_id=signal.signal_id,
        symbol=signal.symbol,
        requested_at=signal.received_at - JUST_BEFORE,
        reason=CloseReason.OPPOSITE_SIGNAL,
        requested_by=signal.strategy,
    )
    return [_told(close, proposal, cause, now)]


def state_changed(account: Account, changed_by: str, reason: str, now: datetime) -> list[Envelope]:
    """Return the word that another trading state is in force."""
    payload = TradingStateChanged(
        state=account.state,
        trading_epoch=account.trading_epoch,
        changed_at=now,
        changed_by=changed_by,
        reason=reason,
    )
    return [
        envelop(
            payload,
            correlation_id=f"trading-state-{account.trading_epoch}",
            causation_id=None,
            occurred_at=now,
            producer=PRODUCER,
            discriminator=(account.state, now.isoformat()),
        )
    ]


def _probe_alert(reserved: Reservation) -> AlertRaised:
    return AlertRaised(
        severity=Severity.WARNING,
        kind="no_edge_probe",
        text=(
            f"Our own closed trades show no edge. {reserved.symbol} is entered as a probe only, "
            f"{reserved.risk_usdt.normalize():f} USDT at risk. Review the strategy {reserved.strategy}."
        ),
        symbol=reserved.symbol,
    )


def _told(payload: Message, proposal: Proposal, cause: str, now: datetime) -> Envelope:
    return envelop(
        payload,
        correlation_id=proposal.signal.signal_id,
        causation_id=cause,
        occurred_at=now,
        producer=PRODUCER,
    )
