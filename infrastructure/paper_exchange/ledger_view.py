"""GET /admin/ledger: the account's whole truth in one answer, for auditors.

Knows which rows belong into it. No fault hides anything here, and no row is left out silently: `cut` counts
what the histories have forgotten.
"""

import msgspec

from infrastructure.paper_exchange import payloads
from infrastructure.paper_exchange.account import Ledger
from infrastructure.paper_exchange.values import Algo, IncomeType, Payload, Position, plain


def ledger_view(ledger: Ledger, now_ms: int) -> Payload:
    """Every order, conditional order, trade and income row by id, and what they have led to."""
    state = ledger.state
    orders = [*state.open_orders.values(), *(each for rows in state.done_orders.values() for each in rows)]
    algos = [*state.open_algos.values(), *(each for rows in state.done_algos.values() for each in rows)]
    trades = [each for rows in state.trades.values() for each in rows]
    incomes = sorted(
        (each for rows in state.incomes.values() for each in rows), key=lambda each: each.tran_id
    )
    cut = msgspec.to_builtins(state.forgotten)
    return {
        "time": now_ms,
        "initialWallet": None if state.initial_wallet is None else plain(state.initial_wallet),
        "walletBalance": plain(ledger.wallet_balance()),
        "complete": not any(cut.values()),
        "cut": cut,
        "orders": [
            payloads.order_body(each, with_time=True)
            for each in sorted(orders, key=lambda each: each.order_id)
        ],
        "algoOrders": [_algo(each) for each in sorted(algos, key=lambda each: each.algo_id)],
        "trades": [payloads.trade_body(each) for each in sorted(trades, key=lambda each: each.trade_id)],
        "income": [payloads.income_body(each) for each in incomes],
        "transfers": [payloads.income_body(each) for each in incomes if each.type is IncomeType.TRANSFER],
        "positions": [_position(each) for each in state.positions.values()],
    }


def _algo(algo: Algo) -> Payload:
    return payloads.algo_body(algo, detailed=True) | {"rejectReason": algo.reject_reason}


def _position(position: Position) -> Payload:
    return {
        "symbol": position.symbol,
        "positionAmt": plain(position.amount),
        "entryPrice": plain(position.entry_price),
        "isolatedWallet": plain(position.isolated_wallet),
        "updateTime": position.updated_ms,
    }
