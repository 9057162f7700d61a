"""Reads the final truth: the exchange's ledger, the database, the dead-letter queues.

Reads only, and asks no service: what a service says about itself proves nothing. The ledger is the paper
exchange's, so drills are for paper systems.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import httpx

from infrastructure.drill.truth import (
    Charge,
    DeadLetter,
    EntryRow,
    SignalRow,
    Truth,
    VenueAlgo,
    VenueOrder,
    VenueTrade,
)
from shared import ids, topology
from shared.dead_letters import DeadLetters, Letter

HTTP_TIMEOUT_S = 20.0
CONNECT_TIMEOUT_S = 10.0
NEITHER_TRADE_NOR_TRANSFER = frozenset({"FUNDING_FEE", "INSURANCE_CLEAR"})

_RECORD = {
    "signals": """
        SELECT signals.signal_id, symbol, action, received_at, outcome::text, reason
        FROM brain.signals LEFT JOIN brain.outcomes USING (signal_id)
        ORDER BY received_at
    """,
    "duplicates": "SELECT signal_id, duplicate_of FROM brain.duplicates",
    "entries": """
        SELECT signal_id, client_id, symbol, side, state::text, created_at, filled_quantity, first_fill_at,
               closed_at, pnl_usdt - fees_usdt + funding_usdt AS net_pnl_usdt
        FROM execute.entries
        ORDER BY created_at
    """,
    "fills": "SELECT symbol, trade_id FROM execute.fills",
    "reserved": "SELECT signal_id, symbol FROM risk.reservations WHERE state <> 'released'",
    "owed": """
        SELECT (SELECT count(*) FROM brain.outbox WHERE sent_at IS NULL)
             + (SELECT count(*) FROM risk.outbox WHERE sent_at IS NULL)
             + (SELECT count(*) FROM execute.outbox WHERE sent_at IS NULL) AS owed
    """,
}


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where the truth is."""

    postgres_url: str
    admin_password: str = field(repr=False)
    amqp_url: str = field(repr=False)
    exchange_url: str
    installation: str


async def read_truth(sources: Sources, accepted: Collection[str]) -> Truth:
    """Return the final truth of a paper system at rest; `accepted` are the signal ids answered 200."""
    record = await _record(sources)
    ledger = await _ledger(sources.exchange_url)
    letters = await _dead_letters(sources.amqp_url)
    positions = {row["symbol"]: Decimal(row["positionAmt"]) for row in ledger["positions"]}
    transferred = sum((Decimal(row["income"]) for row in ledger["transfers"]), Decimal(0))
    charges = [row for row in ledger["income"] if row["incomeType"] in NEITHER_TRADE_NOR_TRANSFER]
    return Truth(
        installation=sources.installation,
        accepted=frozenset(accepted),
        duplicates={row["signal_id"]: row["duplicate_of"] for row in record["duplicates"]},
        signals=tuple(SignalRow(**row) for row in record["signals"]),
        entries=tuple(EntryRow(**row) for row in record["entries"]),
        booked_trades=frozenset((row["symbol"], row["trade_id"]) for row in record["fills"]),
        reserved={row["signal_id"]: row["symbol"] for row in record["reserved"]},
        dead_letters=tuple(letters),
        messages_owed=record["owed"][0]["owed"],
        orders=tuple(map(_order, ledger["orders"])),
        algos=tuple(map(_algo, ledger["algoOrders"])),
        trades=tuple(map(_trade, ledger["trades"])),
        positions={symbol: amount for symbol, amount in positions.items() if amount},
        wallet_usdt=Decimal(ledger["walletBalance"]),
        wallet_before_usdt=Decimal(ledger["initialWallet"]) + transferred,
        charges=tuple(map(_charge, charges)),
        is_complete=ledger["complete"],
    )


async def _record(sources: Sources) -> dict[str, list[dict[str, Any]]]:
    connection = await asyncpg.connect(
        sources.postgres_url,
        user="phoenix_admin",
        password=sources.admin_password,
        timeout=CONNECT_TIMEOUT_S,
    )
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return {
                name: [dict(row) for row in await connection.fetch(query)] for name, query in _RECORD.items()
            }
    finally:
        await connection.close()


async def _ledger(exchange_url: str) -> Mapping[str, Any]:
    async with httpx.AsyncClient(timeout=HTTP_TIMEOUT_S, trust_env=False) as http:
        answer = await http.get(f"{exchange_url}/admin/ledger")
        answer.raise_for_status()
        found: Mapping[str, Any] = answer.json()
        return found


def _order(row: Mapping[str, Any]) -> VenueOrder:
    return VenueOrder(
        order_id=str(row["orderId"]),
        client_id=row["clientOrderId"],
        symbol=row["symbol"],
        status=row["status"],
        executed_quantity=Decimal(row["executedQty"]),
        placed_at=_moment(row["time"]),
    )


def _algo(row: Mapping[str, Any]) -> VenueAlgo:
    return VenueAlgo(
        client_id=row["clientAlgoId"],
        symbol=row["symbol"],
        status=row["algoStatus"],
        created_at=_moment(row["createTime"]),
        changed_at=_moment(row["updateTime"]),
    )


def _trade(row: Mapping[str, Any]) -> VenueTrade:
    return VenueTrade(
        trade_id=str(row["id"]),
        symbol=row["symbol"],
        order_id=str(row["orderId"]),
        side=row["side"].lower(),
        quantity=Decimal(row["qty"]),
        net_usdt=Decimal(row["realizedPnl"]) - Decimal(row["commission"]),
        traded_at=_moment(row["time"]),
    )


def _charge(row: Mapping[str, Any]) -> Charge:
    return Charge(symbol=row["symbol"], amount_usdt=Decimal(row["income"]), charged_at=_moment(row["time"]))


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1_000, UTC)


async def _dead_letters(amqp_url: str) -> list[DeadLetter]:
    async with DeadLetters(amqp_url, "drill") as letters:
        return [
            DeadLetter(queue=queue.dead, schema=letter.kind, signal_id=_signal_of(letter))
            for queue in topology.QUEUES
            for letter in await letters.look(queue)
        ]


def _signal_of(letter: Letter) -> str | None:
    story = "" if letter.envelope is None else letter.envelope.correlation_id
    return story if story.startswith(ids.SIGNAL_PREFIX) else None
