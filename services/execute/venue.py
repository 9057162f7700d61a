"""What the exchange says, as our own values. Prices in USDT, quantities in base units, times UTC-aware.

Pure: it must never know how an answer was fetched (`binance_client`) or spelled (`venue_parse`).
"""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from shared.ids import OrderRole
from shared.money import ZERO
from shared.values import Side, Value


class OrderSide(StrEnum):
    """Which way an order trades."""

    BUY = "buy"
    SELL = "sell"

    @classmethod
    def opening(cls, side: Side) -> "OrderSide":
        """The order side that opens a position of `side`."""
        return cls.BUY if side is Side.LONG else cls.SELL

    @classmethod
    def closing(cls, side: Side) -> "OrderSide":
        """The order side that closes a position of `side`."""
        return cls.SELL if side is Side.LONG else cls.BUY


class OrderReport(Value, frozen=True, kw_only=True):
    """One ordinary order as the exchange has it."""

    client_id: str
    order_id: str
    symbol: str
    side: OrderSide
    status: str
    quantity: Decimal
    filled_quantity: Decimal
    average_price: Decimal | None  # absent from some answers; ask again by client id
    updated_at: datetime
    order_type: str = ""
    limit_price: Decimal | None = None

    @property
    def is_final(self) -> bool:
        """Whether the exchange will not change this order any more."""
        return self.status not in ("NEW", "PARTIALLY_FILLED")


class AlgoReport(Value, frozen=True, kw_only=True):
    """One conditional order; `actual_order_id` is the ordinary order it became when it fired."""

    client_id: str
    algo_id: str
    symbol: str
    side: OrderSide
    status: str
    trigger_price: Decimal
    actual_order_id: str | None
    order_type: str = ""

    @property
    def is_standing(self) -> bool:
        """Whether it can still fire."""
        return self.status in ("NEW", "TRIGGERING")

    @property
    def has_fired(self) -> bool:
        """Whether it fired and became an order."""
        return self.status in ("TRIGGERED", "FINISHED") and self.actual_order_id is not None


class MarginSetup(Value, frozen=True, kw_only=True):
    """How a symbol stands on the exchange."""

    is_isolated: bool
    leverage: int

    def __str__(self) -> str:
        return f"{self.leverage}x {'isolated' if self.is_isolated else 'cross'}"


class SetupEvent(Value, frozen=True, kw_only=True):
    """Word of the user-data stream that a symbol stands differently now; None: that part did not change."""

    symbol: str
    leverage: int | None = None
    is_isolated: bool | None = None


class VenuePosition(Value, frozen=True, kw_only=True):
    """One position as the exchange has it."""

    symbol: str
    side: Side
    quantity: Decimal
    entry_price: Decimal
    mark_price: Decimal
    liquidation_price: Decimal
    margin_usdt: Decimal
    notional_usdt: Decimal
    unrealised_pnl_usdt: Decimal
    setup: MarginSetup | None  # None: the exchange's answer did not say

    @property
    def leverage(self) -> int:
        """As the exchange says, else what the margin tells of."""
        if self.setup is not None:
            return self.setup.leverage
        return 1 if self.margin_usdt <= ZERO else max(1, round(self.notional_usdt / self.margin_usdt))

    @property
    def is_isolated(self) -> bool:
        """Whether its own margin is all that it can lose; so it is opened, unless the exchange says other."""
        return self.setup is None or self.setup.is_isolated


class VenueCharges(Value, frozen=True, kw_only=True):
    """What a position cost or earned besides its trades; funding paid is negative, fees are positive."""

    funding_usdt: Decimal
    liquidation_fees_usdt: Decimal


class VenueTrade(Value, frozen=True, kw_only=True):
    """One fill."""

    symbol: str
    trade_id: str
    order_id: str
    side: OrderSide
    quantity: Decimal
    price: Decimal
    fee_usdt: Decimal  # 0 while the fee's asset cannot be valued
    realised_pnl_usdt: Decimal
    filled_at: datetime
    fee_asset: str = "USDT"
    fee_amount: Decimal | None = None  # in `fee_asset`; None: the same as `fee_usdt`
    is_fee_valued: bool = True


class VenueAccount(Value, frozen=True, kw_only=True):
    """The account's money."""

    wallet_usdt: Decimal
    equity_usdt: Decimal
    available_usdt: Decimal


class BestPrices(Value, frozen=True, kw_only=True):
    """Top of the book."""

    bid: Decimal
    ask: Decimal

    def to_open(self, side: Side) -> Decimal:
        """The price an order opening `side` meets first."""
        return self.ask if side is Side.LONG else self.bid


class EntryOrder(Value, frozen=True, kw_only=True):
    """An entry as it is sent: LIMIT IOC when it has a price, else MARKET."""

    client_id: str
    symbol: str
    side: OrderSide
    quantity: Decimal
    limit_price: Decimal | None


class ProtectiveOrder(Value, frozen=True, kw_only=True):
    """A stop-loss or take-profit that closes the whole position at market when it fires, or a named quantity
    of it.
    """

    client_id: str
    symbol: str
    side: OrderSide
    is_stop: bool
    trigger_price: Decimal
    quantity: Decimal | None = None


class OrderEvent(Value, frozen=True, kw_only=True):
    """A hint of the user-data stream that an order changed."""

    symbol: str
    client_id: str
    is_open: bool


class OrderRow(Value, frozen=True, kw_only=True):
    """What our records keep of an order of ours, of any kind."""

    client_id: str
    role: OrderRole
    symbol: str
    side: OrderSide
    order_type: str
    quantity: Decimal | None = None
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    status: str
    exchange_order_id: str | None = None
    filled_quantity: Decimal | None = None  # None: not known


def total_quantity(trades: tuple[VenueTrade, ...]) -> Decimal:
    """Return the sum of the fills' quantities."""
    return sum((trade.quantity for trade in trades), ZERO)


class AccountModes(Value, frozen=True, kw_only=True):
    """How the account is set up for all its positions; we trade with neither."""

    is_hedged: bool
    is_multi_asset: bool


class KeyRights(Value, frozen=True, kw_only=True):
    """What our API key may do at the exchange."""

    may_withdraw: bool
    may_trade_futures: bool
    is_bound_to_addresses: bool
