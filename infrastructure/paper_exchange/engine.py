"""The exchange's core: a command and a time go in, an answer and events come out.

Knows which desk handles which command and what a price move sets off. Must never read a clock, a random
number or a socket: the same state, command and time always give the same result, which is what the journal
relies on.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from infrastructure.paper_exchange import payloads
from infrastructure.paper_exchange.account import AccountState, Forgotten, Ledger, Terms
from infrastructure.paper_exchange.commands import (
    CancelAlgo,
    CancelAllAlgos,
    CancelAllOrders,
    CancelOrder,
    ChargeFunding,
    Command,
    ForceClose,
    MovePrices,
    PlaceAlgo,
    PlaceOrder,
    ResetAccount,
    SetLeverage,
    SetMarginType,
    SetWallet,
)
from infrastructure.paper_exchange.errors import ApiError
from infrastructure.paper_exchange.orders import OrderDesk
from infrastructure.paper_exchange.symbols import SymbolRules, notional_cap
from infrastructure.paper_exchange.triggers import AlgoDesk
from infrastructure.paper_exchange.values import (
    ZERO,
    ForcedClose,
    IncomeType,
    Payload,
    Position,
    SymbolSetting,
    plain,
)

_SUCCESS: Payload = {"code": 200, "msg": "success"}
_ALL_CANCELED: Payload = {"code": 200, "msg": "The operation of cancel all open order is done."}


class Outcome(NamedTuple):
    """The answer to a command, the user data events it caused, and the public liquidation events."""

    answer: Payload
    events: list[Payload]
    liquidations: list[Payload]


class Exchange:
    """One exchange with one account."""

    def __init__(self, rules: Mapping[str, SymbolRules], state: AccountState, terms: Terms) -> None:
        self.rules = rules
        self.state = state
        self.ledger = Ledger(rules, state, terms)
        self._orders = OrderDesk(self.ledger)
        self._algos = AlgoDesk(self.ledger, self._orders)
        self._liquidations: list[Payload] = []
        self._handlers: dict[type, Callable[[Any, int, list[Payload]], Payload]] = {
            PlaceOrder: self._place_order,
            CancelOrder: self._cancel_order,
            CancelAllOrders: self._cancel_all_orders,
            PlaceAlgo: self._place_algo,
            CancelAlgo: self._cancel_algo,
            CancelAllAlgos: self._cancel_all_algos,
            SetLeverage: self._set_leverage,
            SetMarginType: self._set_margin_type,
            MovePrices: self._move_prices,
            ChargeFunding: self._charge_funding,
            ForceClose: self._force_close,
            SetWallet: self._set_wallet,
            ResetAccount: self._reset_account,
        }

    def execute(self, command: Command, now_ms: int) -> Outcome:
        """Carry out a command; raises `ApiError`, with nothing changed, when a rule forbids it."""
        events: list[Payload] = []
        self._liquidations = []
        answer = self._handlers[type(command)](command, now_ms, events)
        return Outcome(answer, events, self._liquidations)

    # -- orders ------------------------------------------------------------------------------------

    def _place_order(self, command: PlaceOrder, now_ms: int, events: list[Payload]) -> Payload:
        return payloads.order_body(self._orders.place(command, now_ms, events))

    def _cancel_order(self, command: CancelOrder, now_ms: int, events: list[Payload]) -> Payload:
        return payloads.order_body(self._orders.cancel(command, now_ms, events))

    def _cancel_all_orders(self, command: CancelAllOrders, now_ms: int, events: list[Payload]) -> Payload:
        self._orders.cancel_all(command, now_ms, events)
        return _ALL_CANCELED

    def _place_algo(self, command: PlaceAlgo, now_ms: int, events: list[Payload]) -> Payload:
        return payloads.algo_body(self._algos.place(command, now_ms, events))

    def _cancel_algo(self, command: CancelAlgo, now_ms: int, events: list[Payload]) -> Payload:
        algo = self._algos.cancel(command, now_ms, events)
        return {
            "algoId": algo.algo_id,
            "clientAlgoId": algo.client_algo_id,
            "code": "200",
            "msg": "success",
        }

    def _cancel_all_algos(self, command: CancelAllAlgos, now_ms: int, events: list[Payload]) -> Payload:
        self._algos.cancel_all(command, now_ms, events)
        return _ALL_CANCELED

    # -- settings ----------------------------------------------------------------------------------

    def _set_leverage(self, command: SetLeverage, now_ms: int, events: list[Payload]) -> Payload:
        symbol, leverage = command.symbol, command.leverage
        rules, position = self.rules[symbol], self.ledger.position(symbol)
        setting = self.ledger.setting(symbol)
        if not 1 <= leverage <= rules.leverage_max:
            raise ApiError(-4028, leverage)
        cap = notional_cap(rules.brackets, leverage)
        if abs(position.amount) * self.state.quotes[symbol].mark > cap:
            raise ApiError(-4028, leverage)
        if position.amount and leverage < setting.leverage and self.ledger.is_isolated(symbol):
            raise ApiError(-4161)
        self.state.settings[symbol] = SymbolSetting(leverage, setting.margin_type)
        events.append(payloads.leverage_update(symbol, leverage, now_ms))
        return {"leverage": leverage, "maxNotionalValue": plain(cap), "symbol": symbol}

    def _set_margin_type(self, command: SetMarginType, now_ms: int, events: list[Payload]) -> Payload:
        symbol, setting = command.symbol, self.ledger.setting(command.symbol)
        if command.margin_type is setting.margin_type:
            raise ApiError(-4046)
        if any(order.symbol == symbol for order in self.state.open_orders.values()):
            raise ApiError(-4047)
        if self.ledger.position(symbol).amount:
            raise ApiError(-4048)
        self.state.settings[symbol] = SymbolSetting(setting.leverage, command.margin_type)
        events.append(payloads.account_update(self.ledger, "MARGIN_TYPE_CHANGE", [symbol], now_ms))
        return _SUCCESS

    # -- prices and time ---------------------------------------------------------------------------

    def _move_prices(self, command: MovePrices, now_ms: int, events: list[Payload]) -> Payload:
        """The worst comes first: liquidations, then resting orders, then conditional orders."""
        self.state.quotes.update(command.quotes)
        self.state.cursor = max(self.state.cursor, command.cursor)
        self._liquidate_isolated(now_ms, events)
        self._liquidate_cross(now_ms, events)
        self._orders.fill_resting(now_ms, events)
        self._algos.fire_due(now_ms, events)
        return {}

    def _liquidate_isolated(self, now_ms: int, events: list[Payload]) -> None:
        for position in list(self.ledger.open_positions()):
            if not self.ledger.is_isolated(position.symbol):
                continue
            margin_balance = position.isolated_wallet + self.ledger.unrealized_pnl(position)
            if margin_balance <= self.ledger.maintenance_margin(position):
                self._liquidate(position, now_ms, events)

    def _liquidate_cross(self, now_ms: int, events: list[Payload]) -> None:
        """Close cross positions, the largest maintenance margin first, until the rest is covered."""
        for _ in range(len(self.rules)):
            positions = self.ledger.cross_positions()
            maintenance = sum((self.ledger.maintenance_margin(each) for each in positions), ZERO)
            margin_balance = self.state.cross_wallet + self.ledger.cross_unrealized_pnl()
            if not positions or margin_balance > maintenance:
                return
            self._liquidate(max(positions, key=self.ledger.maintenance_margin), now_ms, events)

    def _liquidate(self, position: Position, now_ms: int, events: list[Payload]) -> None:
        order = self._orders.force_close(
            position.symbol, ForcedClose.LIQUIDATION, abs(position.amount), now_ms, events
        )
        self._liquidations.append(payloads.force_order(order, now_ms))

    def _charge_funding(self, command: ChargeFunding, now_ms: int, events: list[Payload]) -> Payload:
        self.state.next_funding_ms = command.next_funding_ms
        for position in list(self.ledger.open_positions()):
            self.ledger.charge_funding(position, command.rates.get(position.symbol, ZERO), now_ms)
            isolated = [position.symbol] if self.ledger.is_isolated(position.symbol) else []
            events.append(payloads.account_update(self.ledger, "FUNDING_FEE", isolated, now_ms))
        return {}

    # -- administration ----------------------------------------------------------------------------

    def _force_close(self, command: ForceClose, now_ms: int, events: list[Payload]) -> Payload:
        held = abs(self.ledger.position(command.symbol).amount)
        if not held:
            raise ApiError(-2022)
        quantity = min(command.quantity, held) if command.reason is ForcedClose.ADL else held
        order = self._orders.force_close(command.symbol, command.reason, quantity or held, now_ms, events)
        if command.reason is ForcedClose.LIQUIDATION:
            self._liquidations.append(payloads.force_order(order, now_ms))
        return payloads.order_body(order)

    def _set_wallet(self, command: SetWallet, now_ms: int, events: list[Payload]) -> Payload:
        change: Decimal = command.wallet_balance - self.ledger.wallet_balance()
        self.ledger.book("", IncomeType.TRANSFER, change, now_ms)
        reason = "DEPOSIT" if change >= 0 else "WITHDRAW"
        events.append(payloads.account_update(self.ledger, reason, [], now_ms))
        return {"walletBalance": plain(self.ledger.wallet_balance())}

    def _reset_account(self, command: ResetAccount, now_ms: int, events: list[Payload]) -> Payload:
        state = self.state
        for rows in (state.settings, state.open_orders, state.open_algos, state.done_orders):
            rows.clear()
        for history in (state.done_algos, state.trades, state.incomes, state.positions):
            history.clear()
        state.forgotten = Forgotten()
        state.cross_wallet = state.initial_wallet = command.wallet_balance
        state.updated_ms = now_ms
        events.append(payloads.account_update(self.ledger, "ADJUSTMENT", [], now_ms))
        return {"walletBalance": plain(self.ledger.wallet_balance())}
