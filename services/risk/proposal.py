"""What RISK decides about: a proposal to enter, and the market it would enter.

Values only. They must never know where the market data came from or who asked.
"""

from datetime import datetime
from decimal import Decimal

from services.risk.correlation import Correlations
from shared.errors import MessageFault
from shared.market import Instrument, Tick
from shared.models import AnalysisCompleted
from shared.signal_order import Moment, moment_of
from shared.values import Action, Analysis, EdgeEstimate, Side, Signal, Value


class Proposal(Value, frozen=True, kw_only=True):
    """A signal to enter, with its score and odds; a manual one has neither."""

    signal: Signal
    side: Side
    analysis: Analysis | None
    edge: EdgeEstimate | None

    @property
    def symbol(self) -> str:
        """The symbol to enter."""
        return self.signal.symbol

    @property
    def made_at(self) -> datetime:
        """The moment the age is counted from: the alert's own time, never later than we received it."""
        alert_time = self.signal.alert_time
        received_at = self.signal.received_at
        return received_at if alert_time is None else min(alert_time, received_at)

    @property
    def moment(self) -> Moment:
        """When it came, for comparing it with exits."""
        return moment_of(self.signal)

    def age_s(self, now: datetime) -> Decimal:
        """Return how old the proposal is, in seconds."""
        return Decimal(str((now - self.made_at).total_seconds()))


class Market(Value, frozen=True, kw_only=True):
    """What is known about the symbol's market; None where nothing is."""

    instrument: Instrument | None
    tick: Tick | None
    correlations: Correlations
    is_reachable: bool = True  # False: the store of market data did not answer


_SIDES = {Action.LONG: Side.LONG, Action.SHORT: Side.SHORT}


def proposal_of(message: AnalysisCompleted) -> Proposal:
    """Return the proposal in a message.

    Raises:
        MessageFault: an exit; exits need no approval and never come this way (P9).
    """
    side = _SIDES.get(message.signal.action)
    if side is None:
        raise MessageFault(f"a signal to {message.signal.action} does not open a position")
    return Proposal(signal=message.signal, side=side, analysis=message.analysis, edge=message.edge)
