"""Account-wide REST answers: balances, account, positions, settings, brackets and filtered histories.

Knows the field names of these answers. Must never change state.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import TypeVar

from infrastructure.paper_exchange import margin, payloads
from infrastructure.paper_exchange.account import Ledger
from infrastructure.paper_exchange.requests import RowFilter
from infrastructure.paper_exchange.symbols import SymbolRules, notional_cap
from infrastructure.paper_exchange.values import (
    ASSET,
    ZERO,
    Algo,
    Income,
    Order,
    Payload,
    Position,
    Trade,
    plain,
)

_NEVER_MS = 1
"""Clients drop assets whose updateTime is 0, so an untouched account says 1."""

_Row = TypeVar("_Row", Order, Algo, Trade, Income)


def balances(ledger: Ledger) -> list[Payload]:
    """GET balance (v2 and v3)."""
    available = plain(ledger.available_balance())
    return [
        {
            "accountAlias": "paper",
            "asset": ASSET,
            "balance": plain(ledger.wallet_balance()),
            "crossWalletBalance": plain(ledger.state.cross_wallet),
            "crossUnPnl": plain(ledger.cross_unrealized_pnl()),
            "availableBalance": available,
            "maxWithdrawAmount": available,
            "marginAvailable": True,
            "updateTime": ledger.state.updated_ms or _NEVER_MS,
        }
    ]


def account_v3(ledger: Ledger) -> Payload:
    """GET /fapi/v3/account."""
    asset = _asset(ledger)
    return {
        "totalInitialMargin": asset["initialMargin"],
        "totalMaintMargin": asset["maintMargin"],
        "totalWalletBalance": asset["walletBalance"],
        "totalUnrealizedProfit": asset["unrealizedProfit"],
        "totalMarginBalance": asset["marginBalance"],
        "totalPositionInitialMargin": asset["positionInitialMargin"],
        "totalOpenOrderInitialMargin": asset["openOrderInitialMargin"],
        "totalCrossWalletBalance": asset["crossWalletBalance"],
        "totalCrossUnPnl": asset["crossUnPnl"],
        "availableBalance": asset["availableBalance"],
        "maxWithdrawAmount": asset["maxWithdrawAmount"],
        "assets": [asset],
        "positions": [_account_position(ledger, position) for position in _active(ledger)],
    }


def account_v2(ledger: Ledger) -> Payload:
    """GET /fapi/v2/account: v3 and permissions, with every symbol among the positions."""
    permissions = {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": False,
        "feeBurn": False,
        "tradeGroupId": -1,
        "updateTime": ledger.state.updated_ms,
        "multiAssetsMargin": False,
    }
    positions = [_account_position_v2(ledger, ledger.position(symbol)) for symbol in ledger.rules]
    return account_v3(ledger) | permissions | {"positions": positions}


def position_risk_v3(ledger: Ledger, symbol: str) -> list[Payload]:
    """GET /fapi/v3/positionRisk: symbols with a position or open orders."""
    return [_risk(ledger, each) for each in _active(ledger) if not symbol or each.symbol == symbol]


def position_risk_v2(ledger: Ledger, symbol: str) -> list[Payload]:
    """GET /fapi/v2/positionRisk: every symbol, with its settings."""
    symbols = [symbol] if symbol else list(ledger.rules)
    return [_risk_v2(ledger, ledger.position(each)) for each in symbols]


def symbol_config(ledger: Ledger, symbol: str) -> list[Payload]:
    """GET symbolConfig."""
    return [_symbol_config(ledger, each) for each in ([symbol] if symbol else ledger.rules)]


def account_config(ledger: Ledger) -> Payload:
    """GET accountConfig."""
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": False,
        "dualSidePosition": False,
        "updateTime": ledger.state.updated_ms,
        "multiAssetsMargin": False,
        "tradeGroupId": -1,
    }


def commission_rate(ledger: Ledger, symbol: str) -> Payload:
    """GET commissionRate."""
    return {
        "symbol": symbol,
        "makerCommissionRate": plain(ledger.terms.maker_fee),
        "takerCommissionRate": plain(ledger.terms.taker_fee),
        "rpiCommissionRate": "0",
    }


def leverage_bracket(rules: SymbolRules) -> Payload:
    """One symbol of GET leverageBracket; here numbers are numbers."""
    brackets = [
        {
            "bracket": bracket.number,
            "initialLeverage": bracket.leverage,
            "notionalCap": float(bracket.cap),
            "notionalFloor": float(bracket.floor),
            "maintMarginRatio": float(bracket.maint_ratio),
            "cum": float(bracket.cum),
        }
        for bracket in rules.brackets
    ]
    return {"symbol": rules.symbol, "notionalCoef": 1.0, "brackets": brackets}


def orders(ledger: Ledger, wanted: RowFilter) -> list[Order]:
    """Open and done orders of allOrders, oldest first."""
    rows = [*_rows(ledger.state.done_orders, wanted.symbol), *ledger.state.open_orders.values()]
    found = [
        order
        for order in rows
        if wanted.symbol in ("", order.symbol)
        and order.order_id >= wanted.order_id
        and wanted.start_ms <= order.created_ms <= wanted.end_ms
    ]
    return sorted(found, key=lambda order: order.order_id)[-wanted.limit :]


def algos(ledger: Ledger, wanted: RowFilter) -> list[Algo]:
    """Open and done conditional orders of allAlgoOrders, oldest first."""
    rows = [*_rows(ledger.state.done_algos, wanted.symbol), *ledger.state.open_algos.values()]
    found = [
        algo
        for algo in rows
        if wanted.symbol in ("", algo.symbol) and wanted.start_ms <= algo.created_ms <= wanted.end_ms
    ]
    return sorted(found, key=lambda algo: algo.algo_id)[-wanted.limit :]


def user_trades(ledger: Ledger, wanted: RowFilter) -> list[Payload]:
    """GET userTrades: from an id forwards when one is given, else the latest."""
    found = [
        trade
        for trade in _rows(ledger.state.trades, wanted.symbol)
        if trade.trade_id >= wanted.from_id
        and wanted.order_id in (0, trade.order_id)
        and wanted.start_ms <= trade.time_ms <= wanted.end_ms
    ]
    rows = found[: wanted.limit] if wanted.from_id else found[-wanted.limit :]
    return [payloads.trade_body(trade) for trade in rows]


def incomes(ledger: Ledger, wanted: RowFilter, kind: str) -> list[Payload]:
    """GET income, oldest first."""
    found = [
        income
        for income in _rows(ledger.state.incomes, wanted.symbol)
        if kind in ("", income.type.value) and wanted.start_ms <= income.time_ms <= wanted.end_ms
    ]
    found.sort(key=lambda income: income.tran_id)
    return [payloads.income_body(income) for income in found[-wanted.limit :]]


def _rows(table: dict[str, list[_Row]], symbol: str) -> Iterable[_Row]:
    if symbol:
        return table.get(symbol, [])
    return [row for rows in table.values() for row in rows]


def _active(ledger: Ledger) -> list[Position]:
    ordered = {order.symbol for order in ledger.state.open_orders.values()}
    held = {position.symbol for position in ledger.open_positions()}
    return [ledger.position(symbol) for symbol in sorted(ordered | held)]


def _asset(ledger: Ledger) -> Payload:
    positions = list(ledger.open_positions())
    figures = [ledger.figures(position) for position in positions]
    wallet = ledger.wallet_balance()
    unrealized = sum((each.unrealized_pnl for each in figures), ZERO)
    position_margin = sum((each.initial_margin for each in figures), ZERO)
    order_margin = ledger.open_order_margin()
    available = plain(ledger.available_balance())
    return {
        "asset": ASSET,
        "walletBalance": plain(wallet),
        "unrealizedProfit": plain(unrealized),
        "marginBalance": plain(wallet + unrealized),
        "maintMargin": plain(sum((each.maintenance_margin for each in figures), ZERO)),
        "initialMargin": plain(position_margin + order_margin),
        "positionInitialMargin": plain(position_margin),
        "openOrderInitialMargin": plain(order_margin),
        "crossWalletBalance": plain(ledger.state.cross_wallet),
        "crossUnPnl": plain(ledger.cross_unrealized_pnl()),
        "availableBalance": available,
        "maxWithdrawAmount": available,
        "updateTime": ledger.state.updated_ms or _NEVER_MS,
    }


def _isolated_margin(ledger: Ledger, position: Position, unrealized: Decimal) -> Decimal:
    isolated = position.amount and ledger.is_isolated(position.symbol)
    return position.isolated_wallet + unrealized if isolated else ZERO


def _account_position(ledger: Ledger, position: Position) -> Payload:
    figures = ledger.figures(position)
    return {
        "symbol": position.symbol,
        "positionSide": "BOTH",
        "positionAmt": plain(position.amount),
        "unrealizedProfit": plain(figures.unrealized_pnl),
        "isolatedMargin": plain(_isolated_margin(ledger, position, figures.unrealized_pnl)),
        "notional": plain(figures.notional),
        "isolatedWallet": plain(position.isolated_wallet),
        "initialMargin": plain(figures.initial_margin),
        "maintMargin": plain(figures.maintenance_margin),
        "updateTime": position.updated_ms,
    }


def _account_position_v2(ledger: Ledger, position: Position) -> Payload:
    setting = ledger.setting(position.symbol)
    cap = notional_cap(ledger.rules[position.symbol].brackets, setting.leverage)
    return _account_position(ledger, position) | {
        "leverage": str(setting.leverage),
        "entryPrice": plain(position.entry_price),
        "breakEvenPrice": _break_even(position),
        "isolated": ledger.is_isolated(position.symbol),
        "maxNotional": plain(cap),
        "positionInitialMargin": plain(ledger.figures(position).initial_margin),
        "openOrderInitialMargin": plain(ledger.open_order_margin(position.symbol)),
        "bidNotional": "0",
        "askNotional": "0",
    }


def _risk(ledger: Ledger, position: Position) -> Payload:
    figures = ledger.figures(position)
    order_margin = ledger.open_order_margin(position.symbol)
    return {
        "symbol": position.symbol,
        "positionSide": "BOTH",
        "positionAmt": plain(position.amount),
        "entryPrice": plain(position.entry_price),
        "breakEvenPrice": _break_even(position),
        "markPrice": plain(figures.mark),
        "unRealizedProfit": plain(figures.unrealized_pnl),
        "liquidationPrice": plain(figures.liquidation_price),
        "isolatedMargin": plain(_isolated_margin(ledger, position, figures.unrealized_pnl)),
        "notional": plain(figures.notional),
        "marginAsset": ASSET,
        "isolatedWallet": plain(position.isolated_wallet),
        "initialMargin": plain(figures.initial_margin + order_margin),
        "maintMargin": plain(figures.maintenance_margin),
        "positionInitialMargin": plain(figures.initial_margin),
        "openOrderInitialMargin": plain(order_margin),
        "adl": 0,
        "bidNotional": "0",
        "askNotional": "0",
        "updateTime": position.updated_ms,
    }


_MARGIN_FIELDS = ("initialMargin", "maintMargin", "positionInitialMargin", "openOrderInitialMargin", "adl")


def _risk_v2(ledger: Ledger, position: Position) -> Payload:
    setting = ledger.setting(position.symbol)
    cap = notional_cap(ledger.rules[position.symbol].brackets, setting.leverage)
    risk = _risk(ledger, position)
    for name in _MARGIN_FIELDS:
        del risk[name]
    return risk | {
        "leverage": str(setting.leverage),
        "marginType": "isolated" if ledger.is_isolated(position.symbol) else "cross",
        "isAutoAddMargin": "false",
        "maxNotionalValue": plain(cap),
    }


def _symbol_config(ledger: Ledger, symbol: str) -> Payload:
    setting = ledger.setting(symbol)
    return {
        "symbol": symbol,
        "marginType": setting.margin_type.value,
        "isAutoAddMargin": False,
        "leverage": setting.leverage,
        "maxNotionalValue": plain(notional_cap(ledger.rules[symbol].brackets, setting.leverage)),
    }


def _break_even(position: Position) -> str:
    return plain(margin.break_even_price(position.amount, position.entry_price, position.open_fees))
