"""The desk of conditional orders: accepts, fires and cancels orders of the algo endpoint.

Knows the life of a conditional order and the sequence of its events. Must never fill anything itself: what
it fires, the order desk works. A conditional order whose position is gone stays open until it fires or is
cancelled.
"""

from decimal import Decimal

from infrastructure.paper_exchange import algo as rules
from infrastructure.paper_exchange import payloads, validation
from infrastructure.paper_exchange.account import Ledger
from infrastructure.paper_exchange.commands import CancelAlgo, CancelAllAlgos, PlaceAlgo
from infrastructure.paper_exchange.errors import ApiError
from infrastructure.paper_exchange.orders import OrderDesk
from infrastructure.paper_exchange.values import ZERO, Algo, AlgoStatus, Payload

_NO_POSITION = "ReduceOnly Order is rejected."


class AlgoDesk:
    """Works the conditional orders of one account."""

    def __init__(self, ledger: Ledger, orders: OrderDesk) -> None:
        self._ledger = ledger
        self._state = ledger.state
        self._orders = orders

    def place(self, request: PlaceAlgo, now_ms: int, events: list[Payload]) -> Algo:
        """Accept a conditional order; raises `ApiError` when a rule forbids it."""
        validation.check_algo(request, self._ledger)
        number = self._state.counters.algo
        self._state.counters.algo += 1
        algo = Algo(
            algo_id=number,
            client_algo_id=request.client_algo_id or f"paper-{number}",
            symbol=request.symbol,
            side=request.side,
            type=request.type,
            trigger_price=request.trigger_price,
            quantity=request.quantity,
            close_position=request.close_position,
            reduce_only=request.reduce_only,
            working_type=request.working_type,
            price_protect=request.price_protect,
            created_ms=now_ms,
            updated_ms=now_ms,
        )
        self._state.open_algos[number] = algo
        events.append(payloads.algo_update(algo, now_ms))
        return algo

    def cancel(self, request: CancelAlgo, now_ms: int, events: list[Payload]) -> Algo:
        """Cancel one open conditional order; raises -2011 when it is not open."""
        for algo in self._state.open_algos.values():
            if _is_named(algo, request.algo_id, request.client_algo_id):
                self._finish(algo, AlgoStatus.CANCELED, now_ms, events)
                return algo
        raise ApiError(-2011)

    def cancel_all(self, request: CancelAllAlgos, now_ms: int, events: list[Payload]) -> None:
        """Cancel every open conditional order of a symbol."""
        for algo in [each for each in self._state.open_algos.values() if each.symbol == request.symbol]:
            self._finish(algo, AlgoStatus.CANCELED, now_ms, events)

    def fire_due(self, now_ms: int, events: list[Payload]) -> None:
        """Fire every conditional order whose price has been reached, oldest first."""
        quotes = self._state.quotes
        for algo in [
            each for each in self._state.open_algos.values() if rules.fires(each, quotes[each.symbol])
        ]:
            self._fire(algo, now_ms, events)

    def _fire(self, algo: Algo, now_ms: int, events: list[Payload]) -> None:
        quantity = self._quantity_to_fire(algo)
        if not quantity:
            algo.reject_reason = _NO_POSITION
            expired = AlgoStatus.EXPIRED if algo.close_position else AlgoStatus.REJECTED
            self._finish(algo, expired, now_ms, events)
            return
        self._advance(algo, AlgoStatus.TRIGGERING, now_ms, events)
        try:
            order = self._orders.accept_fired(algo, quantity, now_ms)
        except ApiError as refusal:
            algo.reject_reason = refusal.message
            self._finish(algo, AlgoStatus.REJECTED, now_ms, events)
            return
        algo.order_id, algo.triggered_ms = order.order_id, now_ms
        self._advance(algo, AlgoStatus.TRIGGERED, now_ms, events)
        self._orders.work(order, now_ms, events)
        algo.average_price, algo.executed = order.average_price, order.executed
        self._finish(algo, AlgoStatus.FINISHED, now_ms, events)

    def _quantity_to_fire(self, algo: Algo) -> Decimal:
        amount = self._ledger.position(algo.symbol).amount
        if not (algo.close_position or algo.reduce_only):
            return algo.quantity
        if amount * algo.side.sign >= 0:
            return ZERO
        return abs(amount) if algo.close_position else min(algo.quantity, abs(amount))

    def _advance(self, algo: Algo, status: AlgoStatus, now_ms: int, events: list[Payload]) -> None:
        algo.status, algo.updated_ms = status, now_ms
        events.append(payloads.algo_update(algo, now_ms))

    def _finish(self, algo: Algo, status: AlgoStatus, now_ms: int, events: list[Payload]) -> None:
        del self._state.open_algos[algo.algo_id]
        self._advance(algo, status, now_ms, events)
        self._ledger.archive_algo(algo)


def _is_named(algo: Algo, algo_id: int, client_algo_id: str) -> bool:
    return algo.algo_id == algo_id if algo_id else algo.client_algo_id == client_algo_id


def find_algo(ledger: Ledger, algo_id: int, client_algo_id: str) -> Algo:
    """A conditional order by id or client id: an open one, else the newest; raises -2013 without one."""
    for algo in ledger.state.open_algos.values():
        if _is_named(algo, algo_id, client_algo_id):
            return algo
    done = (algo for rows in ledger.state.done_algos.values() for algo in rows)
    found = [algo for algo in done if _is_named(algo, algo_id, client_algo_id)]
    if not found:
        raise ApiError(-2013)
    return max(found, key=lambda algo: algo.algo_id)
