"""Whose money a row of the account's history is, and whether the history explains the wallet. Pure.

What the owner pays in and takes out is no result of trading: it moves what results are measured against.
"""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from shared.money import CENT, ZERO
from shared.values import Value

OWNERS = frozenset(
    {
        "TRANSFER",
        "INTERNAL_TRANSFER",
        "CROSS_COLLATERAL_TRANSFER",
        "STRATEGY_UMFUTURES_TRANSFER",
        "COIN_SWAP_DEPOSIT",
        "COIN_SWAP_WITHDRAW",
        "AUTO_EXCHANGE",
        "WELCOME_BONUS",
        "CONTEST_REWARD",
        "BFUSD_REWARD",
    }
)
"""Moved between wallets, converted, or given by the exchange for other reasons than our trades."""
RESULTS = frozenset(
    {
        "REALIZED_PNL",
        "FUNDING_FEE",
        "COMMISSION",
        "INSURANCE_CLEAR",
        "COMMISSION_REBATE",
        "API_REBATE",
        "REFERRAL_KICKBACK",
        "FEE_RETURN",
        "POSITION_LIMIT_INCREASE_FEE",
        "DELIVERED_SETTELMENT",  # the exchange's spelling
        "OPTIONS_PREMIUM_FEE",
        "OPTIONS_SETTLE_PROFIT",
    }
)
"""What trading earned and cost, given-back commissions included."""
SETTLED_IN = "USDT"
"""The wallet that equity is counted in; rows of others (BNB for fees) do not move it."""
EXPLAINED_USDT = CENT
"""A smaller difference is rounding."""


class IncomeRow(Value, frozen=True, kw_only=True):
    """One row of the account's history at the exchange."""

    kind: str
    tran_id: str
    trade_id: str
    symbol: str
    asset: str
    amount: Decimal
    at: datetime

    @property
    def key(self) -> str:
        """What makes the row unique: numbers are, within a kind."""
        return f"{self.kind}:{self.tran_id}:{self.asset}:{self.symbol}:{self.trade_id}"

    @property
    def is_transfer(self) -> bool:
        """Tell whether it is the owner's; of a kind that we do not know, what belongs to no symbol is."""
        return self.kind in OWNERS or (self.kind not in RESULTS and not self.symbol)


class Explained(Value, frozen=True, kw_only=True):
    """A moment up to which the history explains the wallet."""

    wallet_usdt: Decimal
    until: datetime
    rows_at_until: tuple[str, ...] = ()


class Reading(NamedTuple):
    """What the history since then says about a wallet."""

    unexplained_usdt: Decimal
    transfers: tuple[IncomeRow, ...]
    reached: Explained

    @property
    def is_explained(self) -> bool:
        """Whether the history accounts for all of the wallet."""
        return self.unexplained_usdt == ZERO


def read_history(since: Explained, rows: Collection[IncomeRow], wallet_usdt: Decimal) -> Reading:
    """Return what `rows`, everything booked since `since.until`, say about the wallet.

    Wallet and history are read one after the other: a transfer that the wallet does not contain yet is left
    to the next reading, lest it move what the wallet is measured against before the wallet itself.
    """
    counted = set(since.rows_at_until)
    fresh = [each for each in rows if each.asset == SETTLED_IN and each.key not in counted]
    transfers = tuple(each for each in fresh if each.is_transfer)
    results = sum((each.amount for each in fresh if not each.is_transfer), ZERO)
    moved = sum((each.amount for each in transfers), ZERO)
    without = wallet_usdt - since.wallet_usdt - results
    if abs(without) < abs(without - moved):
        return Reading(_rounded(without), (), since)
    return Reading(_rounded(without - moved), transfers, reached(since, rows, wallet_usdt))


def _rounded(left: Decimal) -> Decimal:
    return ZERO if abs(left) <= EXPLAINED_USDT else left


def reached(since: Explained, rows: Collection[IncomeRow], wallet_usdt: Decimal) -> Explained:
    """Return the moment up to which all of `rows` are counted, with the wallet as it is then."""
    until = max((each.at for each in rows), default=since.until)
    here = {each.key for each in rows if each.at == until}
    if until == since.until:
        here |= set(since.rows_at_until)
    return Explained(wallet_usdt=wallet_usdt, until=until, rows_at_until=tuple(sorted(here)))
