"""The account: its money as last reported, the trading state, and what results are measured against. Pure.

It must never fetch, store or decide.
"""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal

import msgspec

from shared.models import AccountSnapshot
from shared.money import ONE, ZERO, stored
from shared.values import TradingState, UtcTime, Value

EMPTY_BELOW_USDT = ONE
"""An account with less than this has no fraction of itself to lose."""


class Account(Value, frozen=True, kw_only=True):
    """The account as last reported, and the trading state in force.

    Transfers are the owner's, not results: they move what results are measured against. The day's first
    equity moves by the amount, so that equity minus it stays the day's result in USDT; what *fractions* are
    taken of, the peak and the day's base, moves in proportion, so that no transfer changes how far a limit is
    (decision 32).
    """

    state: TradingState = TradingState.ACTIVE
    trading_epoch: int = 1
    wallet_usdt: Decimal | None = None
    equity_usdt: Decimal | None = None
    available_usdt: Decimal | None = None
    snapshot_taken_at: UtcTime | None = None
    day: date | None = None
    day_start_equity_usdt: Decimal | None = None
    peak_equity_usdt: Decimal | None = None
    day_base_usdt: Decimal | None = None  # None: no transfer today, the day's first equity itself
    net_transfers_usdt: Decimal | None = None  # all that `equity_usdt` contains; None: never reported
    unexplained_usdt: Decimal = ZERO
    emptied_from_usdt: Decimal | None = None  # the equity before a withdrawal of all; until the next deposit

    @property
    def earned_usdt(self) -> Decimal | None:
        """Equity without what came in and is not explained yet: it may be a deposit, and hide a loss."""
        return None if self.equity_usdt is None else self.equity_usdt - max(self.unexplained_usdt, ZERO)

    def day_result_usdt(self, now: datetime) -> Decimal:
        """Return equity against the first equity of this UTC day; 0 before the day's first report."""
        if self.day != now.date() or self.earned_usdt is None or self.day_start_equity_usdt is None:
            return ZERO
        return self.earned_usdt - self.day_start_equity_usdt

    def day_loss(self, now: datetime) -> Decimal:
        """Return the day's loss as a fraction of what the day began with, 0 when there is none."""
        base = self.day_start_equity_usdt if self.day_base_usdt is None else self.day_base_usdt
        if self.day != now.date() or self.earned_usdt is None or base is None or base <= ZERO:
            return ZERO
        return max(ONE - self.earned_usdt / base, ZERO)

    @property
    def drawdown(self) -> Decimal:
        """How far equity stands below its peak, as a fraction of the peak."""
        if self.earned_usdt is None or not self.peak_equity_usdt:
            return ZERO
        return max(ONE - self.earned_usdt / self.peak_equity_usdt, ZERO)


def reported(account: Account, snapshot: AccountSnapshot) -> Account:
    """Return the account after the exchange's report; an older one changes nothing."""
    if account.snapshot_taken_at is not None and snapshot.taken_at <= account.snapshot_taken_at:
        return account
    moved = _moved_by(account, snapshot)
    told = msgspec.structs.replace(
        moved,
        wallet_usdt=snapshot.wallet_usdt,
        equity_usdt=snapshot.equity_usdt,
        available_usdt=snapshot.available_usdt,
        snapshot_taken_at=snapshot.taken_at,
        unexplained_usdt=snapshot.unexplained_usdt,
    )
    earned = told.earned_usdt or ZERO
    told = msgspec.structs.replace(told, peak_equity_usdt=max(earned, told.peak_equity_usdt or ZERO))
    day = snapshot.taken_at.date()
    if account.day is not None and day <= account.day:  # a clock set back over midnight begins no day anew
        return told
    # What is unexplained counts to the day before as a transfer, to this day as a result: see decision 32.
    start = snapshot.equity_usdt - snapshot.unexplained_usdt
    return msgspec.structs.replace(told, day=day, day_start_equity_usdt=start, day_base_usdt=None)


def _moved_by(account: Account, snapshot: AccountSnapshot) -> Account:
    """Return the account with its baselines moved by what the owner has paid in or taken out since."""
    if snapshot.net_transfers_usdt is None:
        return account
    known = msgspec.structs.replace(account, net_transfers_usdt=snapshot.net_transfers_usdt)
    if account.net_transfers_usdt is None or snapshot.net_transfers_usdt == account.net_transfers_usdt:
        return known
    paid_in = snapshot.net_transfers_usdt - account.net_transfers_usdt
    after = snapshot.equity_usdt - max(snapshot.unexplained_usdt, ZERO)
    before = after - paid_in
    base = account.day_start_equity_usdt if account.day_base_usdt is None else account.day_base_usdt
    start, peak = account.day_start_equity_usdt, account.peak_equity_usdt
    rescaled, emptied_from = _rescaling(before, after, account.emptied_from_usdt)
    return msgspec.structs.replace(
        known,
        day_start_equity_usdt=None if start is None else start + paid_in,
        day_base_usdt=None if base is None else rescaled(base),
        peak_equity_usdt=None if peak is None else rescaled(peak),
        emptied_from_usdt=emptied_from,
    )


def _rescaling(
    before: Decimal, after: Decimal, emptied_from: Decimal | None
) -> tuple[Callable[[Decimal], Decimal], Decimal | None]:
    """Return how a transfer moves what fractions are taken of, and what is remembered of an emptied account.

    In proportion to the equity. An account that was emptied keeps its baselines until money comes back: they
    then stand to the new equity as they stood to the old.
    """
    source = before if before >= EMPTY_BELOW_USDT else emptied_from
    if after < EMPTY_BELOW_USDT:
        return (lambda base: base), source

    def rescaled(base: Decimal) -> Decimal:
        if source is None or base < EMPTY_BELOW_USDT:  # lost, not taken out: there is no proportion to keep
            return base + after - before
        return stored(base * after / source)

    return rescaled, None
