"""What an operator may change about RISK, and what it does to the account: rules only.

It must never store or announce (`flow` does).
"""

from collections.abc import Mapping

import msgspec

from services.risk.account import Account
from shared.values import TradingState, Value


class OperatorChange(Value, frozen=True, kw_only=True):
    """One request: another state, other limits (as given), a new baseline for loss and drawdown; and why."""

    state: TradingState | None = None
    limits: Mapping[str, object] = {}
    resets_baseline: bool = False
    reason: str = ""


def changed_account(account: Account, change: OperatorChange) -> Account:
    """Return the account after the change.

    Every HALT and REDUCE raises the epoch, also a repeated one: approvals on their way are void. Resuming
    raises it too, so that whoever hears of a halt and its end knows which came later, whatever the clocks of
    the replicas that took them say. A new baseline makes today's equity the day's first and the peak: the
    way out of a drawdown stop.
    """
    if change.state is not None:
        is_active_anyway = account.state is change.state is TradingState.ACTIVE
        epoch = account.trading_epoch + (0 if is_active_anyway else 1)
        account = msgspec.structs.replace(account, state=change.state, trading_epoch=epoch)
    if change.resets_baseline and account.equity_usdt is not None:
        account = msgspec.structs.replace(
            account,
            day_start_equity_usdt=account.equity_usdt,
            peak_equity_usdt=account.equity_usdt,
            day_base_usdt=None,
            emptied_from_usdt=None,
        )
    return account
