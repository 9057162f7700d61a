"""The vocabulary of the exchange: orders, positions, trades, income rows and quotes, as plain structs.

Knows shapes only. Must never compute money (see `margin`, `account`) or know about wires (see `payloads`).
Every amount is a `Decimal`; every time is milliseconds since the epoch, UTC.
"""

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_UP, Decimal
from enum import StrEnum
from typing import Any

import msgspec

Payload = dict[str, Any]
"""A JSON object as it goes on the wire."""

ZERO = Decimal(0)
ONE = Decimal(1)
MONEY_STEP = Decimal("0.00000001")
ASSET = "USDT"


class Side(StrEnum):
    """Direction of an order."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for BUY, −1 for SELL."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """Order types of the order endpoint."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"


class AlgoType(StrEnum):
    """Conditional order types of the algo endpoint."""

    STOP_MARKET = "STOP_MARKET"
    TAKE_PROFIT_MARKET = "TAKE_PROFIT_MARKET"


class TimeInForce(StrEnum):
    """How long an order may work."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTX = "GTX"


class OrderStatus(StrEnum):
    """Life of an order: NEW → PARTIALLY_FILLED → FILLED, or CANCELED / EXPIRED from either."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"


class AlgoStatus(StrEnum):
    """Life of a conditional order: NEW → TRIGGERING → TRIGGERED → FINISHED, or an end before that."""

    NEW = "NEW"
    TRIGGERING = "TRIGGERING"
    TRIGGERED = "TRIGGERED"
    FINISHED = "FINISHED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


class WorkingType(StrEnum):
    """Which price a conditional order watches."""

    CONTRACT_PRICE = "CONTRACT_PRICE"
    MARK_PRICE = "MARK_PRICE"


class MarginType(StrEnum):
    """Whether a position shares the wallet or owns a part of it."""

    CROSSED = "CROSSED"
    ISOLATED = "ISOLATED"


class ForcedClose(StrEnum):
    """Why the exchange itself closes a position."""

    LIQUIDATION = "LIQUIDATION"
    ADL = "ADL"
    SETTLEMENT = "SETTLEMENT"


class IncomeType(StrEnum):
    """Why the wallet changed."""

    TRANSFER = "TRANSFER"
    REALIZED_PNL = "REALIZED_PNL"
    FUNDING_FEE = "FUNDING_FEE"
    COMMISSION = "COMMISSION"
    INSURANCE_CLEAR = "INSURANCE_CLEAR"


class Quote(msgspec.Struct, frozen=True):
    """Prices of one symbol at one moment: last trade and mark."""

    last: Decimal
    mark: Decimal


class Order(msgspec.Struct):
    """One order of the order endpoint, resting or done."""

    order_id: int
    symbol: str
    client_order_id: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    quantity: Decimal
    price: Decimal
    reduce_only: bool
    created_ms: int
    updated_ms: int
    status: OrderStatus = OrderStatus.NEW
    executed: Decimal = ZERO
    executed_quote: Decimal = ZERO
    orig_type: str = ""
    stop_price: Decimal = ZERO
    working_type: WorkingType = WorkingType.CONTRACT_PRICE
    close_position: bool = False

    @property
    def remaining(self) -> Decimal:
        """Quantity not yet executed."""
        return self.quantity - self.executed

    @property
    def average_price(self) -> Decimal:
        """Quantity-weighted execution price, 0 before the first fill."""
        return self.executed_quote / self.executed if self.executed else ZERO


class Algo(msgspec.Struct):
    """One conditional order of the algo endpoint."""

    algo_id: int
    client_algo_id: str
    symbol: str
    side: Side
    type: AlgoType
    trigger_price: Decimal
    quantity: Decimal
    close_position: bool
    reduce_only: bool
    working_type: WorkingType
    price_protect: bool
    created_ms: int
    updated_ms: int
    status: AlgoStatus = AlgoStatus.NEW
    triggered_ms: int = 0
    order_id: int = 0
    average_price: Decimal = ZERO
    executed: Decimal = ZERO
    reject_reason: str = ""


class Position(msgspec.Struct):
    """The one-way position of a symbol; `amount` is signed (short < 0)."""

    symbol: str
    amount: Decimal = ZERO
    entry_price: Decimal = ZERO
    isolated_wallet: Decimal = ZERO
    open_fees: Decimal = ZERO
    accumulated_pnl: Decimal = ZERO
    updated_ms: int = 0

    @property
    def side(self) -> Side:
        """BUY for a long (or flat) position, SELL for a short one."""
        return Side.SELL if self.amount < 0 else Side.BUY


class Trade(msgspec.Struct, frozen=True):
    """One execution of one of our orders."""

    trade_id: int
    order_id: int
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    realized_pnl: Decimal
    commission: Decimal
    maker: bool
    time_ms: int


class Income(msgspec.Struct, frozen=True):
    """One change of the wallet and its reason; the rows of all types add up to the wallet."""

    tran_id: int
    symbol: str
    type: IncomeType
    amount: Decimal
    time_ms: int
    info: str = ""
    trade_id: int = 0


class SymbolSetting(msgspec.Struct, frozen=True):
    """What the account has configured for one symbol."""

    leverage: int = 20
    margin_type: MarginType = MarginType.CROSSED


def money(amount: Decimal) -> Decimal:
    """Round an amount of USDT to the ledger's 8 decimals."""
    return amount.quantize(MONEY_STEP, ROUND_HALF_EVEN)


def money_up(amount: Decimal) -> Decimal:
    """Round an amount that is taken from the client up, against the client."""
    return amount.quantize(MONEY_STEP, ROUND_UP)


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """Round down to a multiple of `step`."""
    return (value / step).to_integral_value(ROUND_DOWN) * step


def plain(value: Decimal) -> str:
    """Write a number as the wire does: no exponent."""
    return format(value, "f")
