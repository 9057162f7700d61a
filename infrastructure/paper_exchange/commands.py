"""Everything that can change the account, as frozen records: the engine's input and the journal's language.

Knows shapes only. A journal written by one version is replayed by the same version, so fields may change
freely between releases only together with a graceful stop (which leaves a snapshot and an empty journal).
"""

from decimal import Decimal

import msgspec

from infrastructure.paper_exchange.values import (
    ONE,
    ZERO,
    AlgoType,
    ForcedClose,
    MarginType,
    OrderType,
    Quote,
    Side,
    TimeInForce,
    WorkingType,
)


class _Command(msgspec.Struct, frozen=True, tag_field="command", tag=True):
    """The common form: the journal tells commands apart by their name."""


class PlaceOrder(_Command, frozen=True, omit_defaults=True):
    """Place a MARKET or LIMIT order; empty client id lets the exchange choose one.

    `fill_share` < 1 is a fault's doing: the book gives an order that does not rest only this share of its
    quantity. It travels here so that the journal replays the same fills.
    """

    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal
    time_in_force: TimeInForce
    reduce_only: bool = False
    client_order_id: str = ""
    fill_share: Decimal = ONE


class CancelOrder(_Command, frozen=True):
    """Cancel one open order by id (0: by client id)."""

    symbol: str
    order_id: int = 0
    client_order_id: str = ""


class CancelAllOrders(_Command, frozen=True):
    """Cancel every open order of a symbol; conditional orders stay."""

    symbol: str


class PlaceAlgo(_Command, frozen=True):
    """Place a conditional order; quantity 0 with `close_position`."""

    symbol: str
    side: Side
    type: AlgoType
    trigger_price: Decimal
    quantity: Decimal
    close_position: bool = False
    reduce_only: bool = False
    working_type: WorkingType = WorkingType.CONTRACT_PRICE
    price_protect: bool = False
    client_algo_id: str = ""


class CancelAlgo(_Command, frozen=True):
    """Cancel one open conditional order by id (0: by client id)."""

    algo_id: int = 0
    client_algo_id: str = ""


class CancelAllAlgos(_Command, frozen=True):
    """Cancel every open conditional order of a symbol."""

    symbol: str


class SetLeverage(_Command, frozen=True):
    """Set the leverage of a symbol."""

    symbol: str
    leverage: int


class SetMarginType(_Command, frozen=True):
    """Set the margin type of a symbol."""

    symbol: str
    margin_type: MarginType


class MovePrices(_Command, frozen=True):
    """New quotes; fires what they fire. `cursor` is how far the price source has got."""

    quotes: dict[str, Quote]
    cursor: int = 0


class ChargeFunding(_Command, frozen=True):
    """Exchange funding between longs and shorts at the given rate per symbol."""

    rates: dict[str, Decimal]
    next_funding_ms: int


class ForceClose(_Command, frozen=True):
    """Administration: the exchange closes a position by an order of its own (quantity 0: all of it)."""

    symbol: str
    reason: ForcedClose
    quantity: Decimal = ZERO


class SetWallet(_Command, frozen=True):
    """Administration: bring the wallet to this balance (USDT) by a transfer."""

    wallet_balance: Decimal


class ResetAccount(_Command, frozen=True):
    """Administration: forget orders, positions and history and start again with this wallet (USDT)."""

    wallet_balance: Decimal


Command = (
    PlaceOrder
    | CancelOrder
    | CancelAllOrders
    | PlaceAlgo
    | CancelAlgo
    | CancelAllAlgos
    | SetLeverage
    | SetMarginType
    | MovePrices
    | ChargeFunding
    | ForceClose
    | SetWallet
    | ResetAccount
)
