"""What a check gets to see and what it may say: pass, resize or refuse, always with measure and limit in
words.

It must never hold a rule.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import msgspec

from services.risk.account import Account
from services.risk.disk_space import DiskSpace
from services.risk.position_manager import Book
from services.risk.profiles import Limits
from services.risk.proposal import Market, Proposal
from services.risk.sizing import Draft, is_tradable, quantity_of, risk_rate
from shared.market import Instrument
from shared.money import CENT, ZERO, plain
from shared.values import CheckResult, OutcomeKind


@dataclass(frozen=True, kw_only=True)
class Case:
    """Everything one decision is made from."""

    proposal: Proposal
    book: Book
    market: Market
    limits: Limits
    now: datetime
    disk: DiskSpace | None = None

    @property
    def account(self) -> Account:
        """The account as last reported."""
        return self.book.account

    @property
    def equity_usdt(self) -> Decimal:
        """Equity as last reported; 0 before the first report."""
        return self.account.equity_usdt or ZERO

    @property
    def instrument(self) -> Instrument:
        """The symbol's rules; the `symbol` check has made sure that they are known."""
        assert self.market.instrument is not None, "checked by an earlier row"
        return self.market.instrument

    @property
    def price(self) -> Decimal:
        """The price decided on: the last one traded; the `market_data` check has made sure there is one."""
        assert self.market.tick is not None, "checked by an earlier row"
        return self.market.tick.last

    def risk_usdt(self, notional_usdt: Decimal) -> Decimal:
        """Return the loss at the stop of a notional, fees included."""
        return notional_usdt * risk_rate(self.limits, self.instrument)

    def is_tradable(self, draft: Draft) -> bool:
        """Tell whether the exchange would take an order of the draft's size."""
        quantity = quantity_of(draft.notional_usdt, self.price, self.instrument)
        return is_tradable(quantity, self.price, self.instrument)


class Verdict(NamedTuple):
    """What one check said about a draft, and the draft it leaves."""

    result: CheckResult
    draft: Draft
    measured: str
    limit: str
    reason: str = ""
    outcome: OutcomeKind | None = None


Rule = Callable[[Case, Draft], Verdict]


def passes(draft: Draft, measured: str, limit: str) -> Verdict:
    """Return: the draft may stay as it is."""
    return Verdict(CheckResult.PASS, draft, measured, limit)


def resizes(draft: Draft, measured: str, limit: str, reason: str) -> Verdict:
    """Return: only this lower draft may go on."""
    return Verdict(CheckResult.RESIZE, draft, measured, limit, reason)


def refuses(
    draft: Draft, measured: str, limit: str, reason: str, outcome: OutcomeKind = OutcomeKind.REJECTED
) -> Verdict:
    """Return: no trade, and the name of why."""
    return Verdict(CheckResult.REFUSE, draft, measured, limit, reason, outcome)


def with_notional(draft: Draft, notional_usdt: Decimal) -> Draft:
    """Return the draft lowered to a notional."""
    assert notional_usdt <= draft.notional_usdt, "a check only ever lowers"
    return msgspec.structs.replace(draft, notional_usdt=notional_usdt)


def percent(fraction: Decimal) -> str:
    """Return a fraction as a percentage for people, two decimals."""
    return f"{plain((fraction * 100).quantize(CENT))} %"


def usdt(amount: Decimal) -> str:
    """Return an amount for people, to the cent."""
    return f"{plain(amount.quantize(CENT))} USDT"


def seconds(amount: Decimal) -> str:
    """Return a duration for people, two decimals."""
    return f"{plain(amount.quantize(CENT))} s"
