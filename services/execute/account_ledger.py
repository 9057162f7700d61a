"""How much of the account's money is the owner's doing: paid in and taken out, read from its history.

The history is read when the wallet changed, and once a minute: it costs 30 of the exchange's weight. Wallet
and history must agree to the cent; what they do not explain is reported beside the equity, and after
`UNEXPLAINED_MAX_S` it counts as a result, which is reported. It must never hold up a snapshot: RISK decides
nothing without one.
"""

import math
import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import NamedTuple

from services.execute import facts
from services.execute.ports import KeepsLedger, OwesMessages, ReadsMoney
from services.execute.transfers import (
    EXPLAINED_USDT,
    Explained,
    Reading,
    reached,
    read_history,
)
from services.execute.venue import VenueAccount
from shared import logs, metrics
from shared.clock import Clock
from shared.models import Envelope
from shared.money import ZERO
from shared.supervision import Done, Failed, attempt, within
from shared.values import Severity
from shared.wording import signed

HISTORY_READ_S = 3.0
"""How long a snapshot waits for the history: RISK refuses entries on one that is older than seconds."""
QUIET_READ_S = 60.0
"""A transfer that something else evens out to the cent is found after this."""
RETRY_S_MIN = 5.0
RETRY_S_MAX = 60.0
WALLET_READS_MAX = 3
UNEXPLAINED_MAX_S = 600.0
FIRST_LOOKBACK = timedelta(minutes=10)

_log = logs.get(__name__)


class Money(NamedTuple):
    """The account's money, and how much of it is the owner's doing."""

    account: VenueAccount
    net_transfers_usdt: Decimal | None
    unexplained_usdt: Decimal


class AccountLedger:
    """Follows the wallet of one account."""

    def __init__(
        self,
        exchange: ReadsMoney,
        store: KeepsLedger,
        outbox: OwesMessages,
        clock: Clock,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._exchange = exchange
        self._store = store
        self._outbox = outbox
        self._clock = clock
        self._monotonic_s = monotonic_s
        self._counted_usdt = ZERO  # of the history since the wallet was explained, while it is not
        self._quiet_until = -math.inf  # at first: what the process before counted is not known
        self._retry_at = -math.inf
        self._retry_s = RETRY_S_MIN
        self._unexplained_since: float | None = None

    async def look(self) -> Money:
        """Return the account with what is known of its transfers; raises as reading the account does."""
        account = await self._exchange.account()
        since = await self._store.explained()
        money = Money(account, None, ZERO)
        if since is None:
            work = self._begin(account)
        else:
            unread = account.wallet_usdt - since.wallet_usdt - self._counted_usdt
            unexplained = ZERO if abs(unread) <= EXPLAINED_USDT else unread
            money = Money(account, await self._store.net_transfers(), unexplained)
            if not self._is_due(has_moved=unexplained != ZERO):
                return money
            work = self._read(since, account)
        match await attempt(work):
            case Failed(error):
                self._back_off()
                _log.warning("account_history_not_read", error=repr(error))
                if money.unexplained_usdt and self._has_waited():
                    money = await self._go_on_without(money)
            case Done(read):
                money = read
        metrics.WALLET_UNEXPLAINED_USDT.set(float(money.unexplained_usdt))
        return money

    def _is_due(self, *, has_moved: bool) -> bool:
        now = self._monotonic_s()
        is_open = has_moved or self._unexplained_since is not None
        return now >= (self._retry_at if is_open else self._quiet_until)

    def _back_off(self) -> None:
        self._retry_at = self._quiet_until = self._monotonic_s() + self._retry_s
        self._retry_s = min(2 * self._retry_s, RETRY_S_MAX)

    def _rest(self) -> None:
        self._unexplained_since, self._counted_usdt = None, ZERO
        self._retry_at, self._retry_s = -math.inf, RETRY_S_MIN
        self._quiet_until = self._monotonic_s() + QUIET_READ_S

    async def _begin(self, account: VenueAccount) -> Money:
        """Count from here on: what happened before is in the equity that RISK begins with."""
        begun_at = self._clock() - self._exchange.clock_ahead() - FIRST_LOOKBACK
        rows = await within(HISTORY_READ_S, self._exchange.income_since(begun_at))
        again = await self._exchange.account()
        if again.wallet_usdt != account.wallet_usdt:
            return Money(again, None, ZERO)  # it moved while we looked: begin at the next look
        empty = Explained(wallet_usdt=again.wallet_usdt, until=begun_at)
        async with self._store.transaction() as tx:
            await self._store.record_explained(tx, reached(empty, rows, again.wallet_usdt))
        self._rest()
        return Money(again, await self._store.net_transfers(), ZERO)

    async def _read(self, since: Explained, account: VenueAccount) -> Money:
        rows = await within(HISTORY_READ_S, self._exchange.income_since(since.until))
        reading = read_history(since, rows, account.wallet_usdt)
        for _ in range(WALLET_READS_MAX - 1):
            if reading.is_explained:
                break
            account = await self._exchange.account()  # it may have moved between the two
            reading = read_history(since, rows, account.wallet_usdt)
        left = ZERO if await self._take_in(since, reading, account) else reading.unexplained_usdt
        return Money(account, await self._store.net_transfers(), left)

    async def _take_in(self, since: Explained, reading: Reading, account: VenueAccount) -> bool:
        """Record what was read; True when the wallet counts as explained from now on."""
        is_counted, told = reading.is_explained, list[Envelope]()
        if not is_counted and self._has_waited():
            is_counted, told = True, [self._given_up(reading.unexplained_usdt)]
        async with self._store.transaction() as tx:
            await self._store.record_transfers(tx, reading.transfers)
            if is_counted:
                await self._store.record_explained(tx, reading.reached)
            await self._outbox.stage(tx, told)
        for each in reading.transfers:
            _log.info("transfer_counted", kind=each.kind, amount_usdt=str(each.amount), tran_id=each.tran_id)
        if is_counted:
            self._rest()
        else:
            self._counted_usdt = account.wallet_usdt - since.wallet_usdt - reading.unexplained_usdt
            self._back_off()
        await self._outbox.publish(told)
        return is_counted

    async def _go_on_without(self, money: Money) -> Money:
        """Count from here on: held back for ever, what trading earned would look like a loss."""
        now = self._clock() - self._exchange.clock_ahead()
        told = [self._given_up(money.unexplained_usdt)]
        async with self._store.transaction() as tx:
            here = Explained(wallet_usdt=money.account.wallet_usdt, until=now)
            await self._store.record_explained(tx, here)
            await self._outbox.stage(tx, told)
        self._unexplained_since, self._counted_usdt = None, ZERO
        await self._outbox.publish(told)
        return money._replace(unexplained_usdt=ZERO)

    def _has_waited(self) -> bool:
        now = self._monotonic_s()
        if self._unexplained_since is None:
            self._unexplained_since = now
        return now - self._unexplained_since >= UNEXPLAINED_MAX_S

    def _given_up(self, amount_usdt: Decimal) -> Envelope:
        text = (
            f"The wallet changed by {signed(amount_usdt)} USDT that the exchange's history of "
            "the account does not explain. It counts as a result of trading from now on. If it was a "
            "deposit or a withdrawal, set a new baseline: POST /update of RISK with reset_baseline."
        )
        return facts.alert("wallet_unexplained", text, Severity.WARNING, "account", self._clock())
