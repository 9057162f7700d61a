"""Raw Binance USD-M payloads → our values. Every number arrives as text and becomes a `Decimal`, never a
float.

Pure: payload in, value out. A payload without a field that is always there is a `KeyError`: the contract
changed.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from services.execute.call_gate import Budget
from services.execute.transfers import IncomeRow
from services.execute.venue import (
    AlgoReport,
    BestPrices,
    KeyRights,
    MarginSetup,
    OrderEvent,
    OrderReport,
    OrderSide,
    SetupEvent,
    VenueAccount,
    VenueCharges,
    VenuePosition,
    VenueTrade,
)
from shared.market import Bar
from shared.money import ONE, ZERO, stored
from shared.values import Side

Payload = Mapping[str, Any]

_BUDGET_NAMES = {
    Budget.WEIGHT_1M: ("REQUEST_WEIGHT", "MINUTE", 1),
    Budget.ORDERS_1M: ("ORDERS", "MINUTE", 1),
    Budget.ORDERS_10S: ("ORDERS", "SECOND", 10),
}
_OPEN_STATUSES = frozenset({"NEW", "PARTIALLY_FILLED", "TRIGGERING", "TRIGGERED"})
WEEK = timedelta(days=7)
HISTORY_KEPT = timedelta(days=89)
"""How far back history is asked for: the exchange refuses what is older than 90 days."""
AT_PAR = frozenset({"USDT", "BNFCR", "BFUSD", "LDUSDT"})
"""Assets in which fees are paid that count as one dollar each; but for USDT they have no market."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def from_ms(milliseconds: int | str) -> datetime:
    """Return the UTC time of a millisecond stamp."""
    return _EPOCH + timedelta(milliseconds=int(milliseconds))


def to_ms(at: datetime) -> int:
    """Return the millisecond stamp of a time."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def weeks(since: datetime, until: datetime, now: datetime) -> list[tuple[int, int]]:
    """Return first and last millisecond of windows of at most a week each that cover `since` to `until`.

    What is older than the exchange keeps is left out: it refuses to look there.
    """
    start = max(since, now - HISTORY_KEPT)
    found: list[tuple[int, int]] = []
    while until - start >= WEEK:
        found.append((to_ms(start), to_ms(start + WEEK) - 1))
        start += WEEK
    return [*found, (to_ms(start), to_ms(max(start, until)))]


def decimal(text: object) -> Decimal:
    """Return the number in a payload field.

    Raises:
        ValueError: it is not a number that one can count with: NaN would poison whatever it meets.
    """
    found = Decimal(str(text))
    if not found.is_finite():
        raise ValueError(f"{found} is not a number")
    return found


def name(raw: Payload, field: str) -> str:
    """Return the text in a field that names something.

    Raises:
        ValueError: it is no text, or empty.
    """
    found = raw[field]
    if not isinstance(found, str) or not found:
        raise ValueError(f"no {field}")
    return found


def known(raw: Payload, field: str, otherwise: Decimal = ZERO) -> Decimal:
    """Return the number in a field that nobody's safety depends on; `otherwise` when it cannot be read."""
    try:
        return decimal(raw[field])
    except (KeyError, ValueError, ArithmeticError):
        return otherwise


def order_report(raw: Payload) -> OrderReport:
    """Parse an order of POST/GET /fapi/v1/order."""
    average = decimal(raw.get("avgPrice") or 0)
    return OrderReport(
        client_id=name(raw, "clientOrderId"),
        order_id=str(raw["orderId"]),
        symbol=name(raw, "symbol"),
        side=OrderSide(raw["side"].lower()),
        status=name(raw, "status"),
        quantity=decimal(raw["origQty"]),
        filled_quantity=decimal(raw["executedQty"]),
        average_price=average if average > ZERO else None,
        updated_at=from_ms(raw["updateTime"]),
    )


def algo_report(raw: Payload) -> AlgoReport:
    """Parse a conditional order of /fapi/v1/algoOrder or /openAlgoOrders."""
    return AlgoReport(
        client_id=name(raw, "clientAlgoId"),
        algo_id=str(raw["algoId"]),
        symbol=name(raw, "symbol"),
        side=OrderSide(raw["side"].lower()),
        status=name(raw, "algoStatus"),
        trigger_price=known(raw, "triggerPrice"),  # a foreign trailing stop has none
        actual_order_id=str(raw["actualOrderId"]) if raw.get("actualOrderId") else None,
        order_type=raw.get("orderType") or "",
    )


def position(raw: Payload) -> VenuePosition | None:
    """Parse a row of /fapi/v3/positionRisk; None when nothing is held.

    Whose it is and how much: without these it is unreadable. What else cannot be read is 0: a position must
    be closed and protected all the same, and a liquidation price of 0 is the exchange's own "none".
    """
    amount, symbol = decimal(raw["positionAmt"]), name(raw, "symbol")
    if amount == ZERO:
        return None
    entry_price = known(raw, "entryPrice")
    mark_price = known(raw, "markPrice", entry_price)
    return VenuePosition(
        symbol=symbol,
        side=Side.LONG if amount > ZERO else Side.SHORT,
        quantity=abs(amount),
        entry_price=entry_price or mark_price,
        mark_price=mark_price,
        liquidation_price=known(raw, "liquidationPrice"),
        margin_usdt=known(raw, "isolatedWallet") or known(raw, "initialMargin"),
        notional_usdt=abs(known(raw, "notional", amount * mark_price)),
        unrealised_pnl_usdt=known(raw, "unRealizedProfit"),
        setup=_setup_of(raw),
    )


def _setup_of(raw: Payload) -> MarginSetup | None:
    """Return margin mode and leverage of a position: v3 names neither, its margins say both; None: not so."""
    notional, wallet = abs(known(raw, "notional")), known(raw, "isolatedWallet", -ONE)
    margin = known(raw, "positionInitialMargin") or known(raw, "initialMargin")
    if notional == ZERO or margin <= ZERO or wallet < ZERO:
        return None
    return MarginSetup(is_isolated=wallet != ZERO, leverage=max(1, round(notional / margin)))


def trade(raw: Payload, fee_asset_price: Decimal | None = ONE) -> VenueTrade:
    """Parse a row of /fapi/v1/userTrades; `fee_asset_price` in USDT, None when nobody knows it."""
    fee = decimal(raw["commission"])
    return VenueTrade(
        symbol=raw["symbol"],
        trade_id=str(int(raw["id"])),
        order_id=str(raw["orderId"]),
        side=OrderSide(raw["side"].lower()),
        quantity=decimal(raw["qty"]),
        price=decimal(raw["price"]),
        fee_usdt=ZERO if fee_asset_price is None else stored(fee * fee_asset_price),
        realised_pnl_usdt=decimal(raw["realizedPnl"]),
        filled_at=from_ms(raw["time"]),
        fee_asset=str(raw["commissionAsset"]),
        fee_amount=fee,
        is_fee_valued=fee_asset_price is not None,
    )


def account(raw: Payload) -> VenueAccount:
    """Parse /fapi/v3/account."""
    return VenueAccount(
        wallet_usdt=decimal(raw["totalWalletBalance"]),
        equity_usdt=decimal(raw["totalMarginBalance"]),
        available_usdt=decimal(raw["availableBalance"]),
    )


def fee_assets(rows: Iterable[Payload]) -> frozenset[str]:
    """Return the assets in which fees of /fapi/v1/userTrades were paid that have a price of their own."""
    return frozenset(str(row["commissionAsset"]) for row in rows) - AT_PAR


def margin_setup(row: Payload) -> tuple[str, MarginSetup]:
    """Parse a row of /fapi/v1/symbolConfig: a symbol's margin mode and leverage."""
    return name(row, "symbol"), MarginSetup(
        is_isolated=row["marginType"] == "ISOLATED", leverage=int(row["leverage"])
    )


def order_event(message: Payload) -> OrderEvent | None:
    """Parse ORDER_TRADE_UPDATE and ALGO_UPDATE of the user-data stream; None for one we cannot read."""
    order = message.get("o")
    if not isinstance(order, Mapping) or "s" not in order:
        return None
    return OrderEvent(
        symbol=order["s"],
        client_id=str(order.get("c") or order.get("caid") or ""),
        is_open=order.get("X") in _OPEN_STATUSES,
    )


def setup_events(message: Payload) -> tuple[SetupEvent, ...]:
    """Parse changes of leverage and margin mode out of ACCOUNT_CONFIG_UPDATE and ACCOUNT_UPDATE."""
    match message:
        case {"e": "ACCOUNT_CONFIG_UPDATE", "ac": {"s": str(symbol), "l": leverage}}:
            return (SetupEvent(symbol=symbol, leverage=int(leverage)),)
        case {"e": "ACCOUNT_UPDATE", "a": {"m": "MARGIN_TYPE_CHANGE", "P": [*positions]}}:
            return tuple(
                SetupEvent(symbol=each["s"], is_isolated=str(each["mt"]).lower() == "isolated")
                for each in positions
                if "s" in each and "mt" in each
            )
        case _:
            return ()


def best_prices(raw: Payload) -> BestPrices:
    """Parse /fapi/v1/ticker/bookTicker of one symbol."""
    return BestPrices(bid=decimal(raw["bidPrice"]), ask=decimal(raw["askPrice"]))


def bar(row: list[Any]) -> Bar:
    """Parse a row of /fapi/v1/klines."""
    return Bar(
        opened_at=from_ms(row[0]),
        open=decimal(row[1]),
        high=decimal(row[2]),
        low=decimal(row[3]),
        close=decimal(row[4]),
        volume=decimal(row[5]),
    )


def charges(rows: Collection[Payload]) -> VenueCharges:
    """Return funding and liquidation fees from the rows of /fapi/v1/income, where what is paid is negative.

    The other kinds of row are the trades' own, or transfers.
    """

    def booked(kind: str) -> Decimal:
        return sum((decimal(row["income"]) for row in rows if row["incomeType"] == kind), ZERO)

    return VenueCharges(funding_usdt=booked("FUNDING_FEE"), liquidation_fees_usdt=-booked("INSURANCE_CLEAR"))


def income_row(raw: Payload) -> IncomeRow:
    """Parse a row of /fapi/v1/income."""
    return IncomeRow(
        kind=raw["incomeType"],
        tran_id=str(raw["tranId"]),
        trade_id=str(raw.get("tradeId") or ""),
        symbol=raw.get("symbol") or "",
        asset=raw["asset"],
        amount=decimal(raw["income"]),
        at=from_ms(raw["time"]),
    )


def beside(rows: Collection[Payload], start: int, end: int) -> list[tuple[int, int]]:
    """Return the windows of a history that a full page of `rows` leaves open, ms.

    The first and the last millisecond may be in the page in part only; a page full of one cannot be told
    apart any further.
    """
    first, last = min(int(row["time"]) for row in rows), max(int(row["time"]) for row in rows)
    if first == last:
        first, last = first - 1, last + 1
    return [(low, high) for low, high in ((start, first), (last, end)) if low <= high]


def budgets(info: Payload) -> dict[Budget, int]:
    """Return the limits on request weight and orders that exchangeInfo tells."""
    told = {
        (each["rateLimitType"], each["interval"], int(each["intervalNum"])): int(each["limit"])
        for each in info.get("rateLimits", ())
    }
    return {budget: told[name] for budget, name in _BUDGET_NAMES.items() if name in told}


def key_rights(raw: Payload) -> KeyRights:
    """Read what an API key may do; a right that is not named counts as the worse of the two."""
    return KeyRights(
        may_withdraw=bool(raw.get("enableWithdrawals", True)),
        may_trade_futures=bool(raw.get("enableFutures", False)),
        is_bound_to_addresses=bool(raw.get("ipRestrict", False)),
    )
