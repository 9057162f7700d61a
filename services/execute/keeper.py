"""The keeper: what only one replica does, under a lease — follow the user stream, reconcile, tell the
account.

Losing the lease without knowing it is harmless: all of this is reading, or reduce-only and idempotent.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from decimal import Decimal

from services.execute import account_gauges
from services.execute.account_ledger import AccountLedger, Money
from services.execute.binance_client import BinanceClient
from services.execute.error_classes import VenueRefused
from services.execute.facts import PRODUCER
from services.execute.flow import ExecutionFlow
from services.execute.foreign import positions_of
from services.execute.order_state import MAY_HAVE_POSITION, Entry
from services.execute.reconciliation import CorrectionKind, protection_ids
from services.execute.store import ExecuteStore
from services.execute.user_stream import Gap, UserStream
from services.execute.venue import AlgoReport, MarginSetup, SetupEvent, VenuePosition
from services.execute.venue_rows import Rows
from shared import lease, logs
from shared.codec import envelop
from shared.errors import BrokerUnavailable, DependencyDown
from shared.ids import OrderRole
from shared.models import AccountSnapshot
from shared.money import ZERO
from shared.rabbitmq_client import Publisher
from shared.supervision import Done, Failed, attempt, came_round
from shared.values import SnapshotPosition

RETRY_S = 1.0
"""What could not be done because a dependency is away is tried again after this."""

_log = logs.get(__name__)


class Keeper:
    """Runs the leased work of one EXECUTE replica."""

    def __init__(
        self,
        mine: lease.Lease,
        flow: ExecutionFlow,
        exchange: BinanceClient,
        stream: UserStream,
        store: ExecuteStore,
        publisher: Publisher,
        ledger: AccountLedger,
        installation: str,
    ) -> None:
        self._lease = mine
        self._flow = flow
        self._exchange = exchange
        self._stream = stream
        self._store = store
        self._publisher = publisher
        self._ledger = ledger
        self._installation = installation
        self._holds = False

    async def keep_lease(self) -> None:
        """Loop: take or renew the lease."""
        try:
            while True:
                came_round()
                held = await self._lease.hold()
                if held != self._holds:
                    _log.info("keeper_lease_changed", held=held)
                self._note(held)
                await asyncio.sleep(lease.RENEW_INTERVAL_S)
        finally:
            self._note(False)

    def _note(self, held: bool) -> None:
        self._holds = held
        if not held:
            account_gauges.forget()

    async def every(self, interval_s: Decimal, work: Callable[[], Awaitable[bool]]) -> None:
        """Loop: do `work` every `interval_s` while this replica holds the lease, soon again if it failed."""
        while True:
            came_round()
            if not self._holds:
                await asyncio.sleep(lease.RENEW_INTERVAL_S / 4)
                continue
            match await attempt(work()):
                case Failed(DependencyDown() as down):
                    _log.warning("keeper_waits", reason=str(down))
                    await asyncio.sleep(RETRY_S)
                case Failed(error):
                    raise error
                case Done(succeeded):
                    await asyncio.sleep(float(interval_s) if succeeded else RETRY_S)

    async def follow_orders(self) -> None:
        """Loop: look at a symbol when the exchange tells that an order there is done; at all after a gap."""
        async for event in self._stream.events():
            if not self._holds:
                continue  # who takes the lease over begins with a reconciliation
            if isinstance(event, Gap):
                work = self._flow.on_gap()
            elif isinstance(event, SetupEvent):
                work = self._flow.on_margin_change(event.symbol)
            elif event.is_open or event.client_id.endswith(f"-{OrderRole.ENTRY.value}"):
                continue
            else:
                work = self._flow.on_order_event(event.symbol)
            match await attempt(work):
                case Failed(error):  # the events after it are about other positions
                    _log.warning("order_event_left_to_reconciliation", error=repr(error))

    async def reconcile(self) -> bool:
        """Compare the exchange with our books once."""
        found = await self._flow.reconcile()
        if any(each.kind is CorrectionKind.SETTLE for each in found):
            self._stream.found_by_rest()
        return True

    async def tell_account(self) -> bool:
        """Publish one account snapshot; False when the broker did not take it.

        A newer one replaces it, so a lost one is not owed to anybody; but RISK approves nothing without.
        """
        # The database's: RISK compares it with its own times, and decides by what it finds (decision 31).
        taken_at = await self._store.now()
        # Before and after: what is recorded or ends while the exchange answers is not taken for a stranger's.
        before = await self._store.unfinished()
        money, held = await asyncio.gather(self._ledger.look(), self._exchange.holdings())
        positions = (*held.values, *_believed(held, before))
        # Symbol by symbol: asking for all at once weighs as much as forty symbols.
        of_each = await asyncio.gather(*(self._algos_of(each.symbol) for each in positions))
        algos = tuple(algo for algos in of_each for algo in algos)
        known = (*before, *await self._store.unfinished())
        entries = [each for each in known if each.state in MAY_HAVE_POSITION]
        snapshot = _snapshot(taken_at, money, positions, algos, entries, self._installation)
        await self._store.record_snapshot(snapshot)
        await self._record_foreign(positions, algos, entries)
        if self._holds:
            account_gauges.show(snapshot)
        envelope = envelop(
            snapshot,
            correlation_id="account",
            causation_id=None,
            occurred_at=taken_at,
            producer=PRODUCER,
            discriminator=(taken_at.isoformat(),),
        )
        try:
            await self._publisher.send(envelope)
        except BrokerUnavailable as error:
            _log.warning("snapshot_not_told", error=str(error))
            return False
        return True

    async def _record_foreign(
        self, positions: Sequence[VenuePosition], algos: Sequence[AlgoReport], entries: Sequence[Entry]
    ) -> None:
        """Keep what is not ours for whoever looks; what is only shown must not hold up the snapshot."""
        found = positions_of(positions, algos, {(entry.symbol, entry.side) for entry in entries})
        match await attempt(self._store.record_foreign_positions(found)):
            case Failed(error):
                _log.warning("foreign_positions_not_recorded", error=repr(error))

    async def _algos_of(self, symbol: str) -> tuple[AlgoReport, ...]:
        """Return a symbol's conditional orders; none when the exchange refuses this one symbol.

        It then looks unprotected, which is loud; the account of all the others is not held back by it.
        """
        try:
            return await self._exchange.open_algos(symbol)
        except VenueRefused as refused:
            _log.error("stops_not_read", symbol=symbol, error=str(refused))
            return ()


def _believed(held: Rows[VenuePosition], entries: Sequence[Entry]) -> tuple[VenuePosition, ...]:
    """Return our positions whose rows could not be read, as our books have them: not known is not flat."""
    seen = {each.symbol for each in held.values}
    hidden = {
        entry.symbol: entry
        for entry in entries
        if entry.state in MAY_HAVE_POSITION
        and entry.entry_price is not None
        and entry.symbol not in seen
        and held.may_hide(entry.symbol)
    }
    return tuple(_as_booked(entry) for entry in hidden.values())


def _as_booked(entry: Entry) -> VenuePosition:
    assert entry.entry_price is not None
    share = entry.filled_quantity / entry.approval.sizing.quantity
    return VenuePosition(
        symbol=entry.symbol,
        side=entry.side,
        quantity=entry.filled_quantity,
        entry_price=entry.entry_price,
        mark_price=entry.entry_price,
        liquidation_price=ZERO,
        margin_usdt=entry.approval.sizing.margin_usdt * share,
        notional_usdt=entry.filled_quantity * entry.entry_price,
        unrealised_pnl_usdt=ZERO,
        setup=MarginSetup(is_isolated=True, leverage=entry.approval.sizing.leverage),
    )


def _snapshot(
    taken_at: datetime,
    money: Money,
    positions: tuple[VenuePosition, ...],
    algos: tuple[AlgoReport, ...],
    entries: list[Entry],
    installation: str,
) -> AccountSnapshot:
    ours = {(entry.symbol, entry.side): entry for entry in entries}
    stops = {each.client_id: each.trigger_price for each in algos if each.is_standing}
    return AccountSnapshot(
        taken_at=taken_at,
        wallet_usdt=money.account.wallet_usdt,
        equity_usdt=money.account.equity_usdt,
        available_usdt=money.account.available_usdt,
        net_transfers_usdt=money.net_transfers_usdt,
        unexplained_usdt=money.unexplained_usdt,
        positions=tuple(
            _snapshot_position(position, ours.get((position.symbol, position.side)), stops, installation)
            for position in positions
        ),
    )


def _snapshot_position(
    position: VenuePosition, entry: Entry | None, stops: dict[str, Decimal], installation: str
) -> SnapshotPosition:
    return SnapshotPosition(
        signal_id=None if entry is None else entry.signal_id,
        symbol=position.symbol,
        side=position.side,
        quantity=position.quantity,
        entry_price=position.entry_price,
        mark_price=position.mark_price,
        liquidation_price=position.liquidation_price,
        leverage=position.leverage,
        is_isolated=position.is_isolated,
        margin_usdt=position.margin_usdt,
        unrealised_pnl_usdt=position.unrealised_pnl_usdt,
        stop_price=None if entry is None else stops.get(protection_ids(entry, installation)[0]),
    )
