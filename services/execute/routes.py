"""EXECUTE's HTTP side: look at positions, orders and prices; ask for a close or a manual trade.

A request never trades by itself: it is staged as a message and takes the same road as every other (P3, P5,
P9).
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Protocol, Self
from uuid import uuid4

from fastapi import Depends, FastAPI, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.execute.config import ExecuteSettings
from services.execute.facts import PRODUCER
from services.execute.order_state import HAS_POSITION, MAY_HAVE_POSITION, Entry
from services.execute.ports import KnowsMarket, ListsInstruments, OwesMessages, ReadsAccount
from services.execute.preflight import Preflight
from services.execute.store import ExecuteStore
from services.execute.venue import VenuePosition
from shared import ids
from shared.clock import Clock
from shared.codec import envelop
from shared.errors import ExchangeUnavailable
from shared.http_api import AnyActor, Problem, api_key_guard, json_response
from shared.http_input import Number, Remark, SymbolName
from shared.models import AnalysisCompleted, CloseRequested, Envelope, ManualTradeProposed, Message
from shared.stream_processor import LatestTicks
from shared.suggestions import did_you_mean, meant
from shared.supervision import Done, attempt
from shared.symbols import NoSymbol, symbol_of
from shared.values import Action, CloseReason, Origin, Side, Signal

ACTOR = "operator"
MANUAL_STRATEGY = "manual"
VENUE_CACHE = timedelta(seconds=1)
ORDERS_MAX = 500


class LooksUp(ReadsAccount, ListsInstruments, Protocol):
    """The exchange, for questions."""


class CloseBody(BaseModel):
    """Which position to close. An unknown field is passed over, unless it may be the symbol mistyped."""

    model_config = ConfigDict(extra="allow")

    symbol: SymbolName | None = Field(None, description="Symbol; null closes all positions.")
    reason: Remark = Field("", description="Why, for the record; what is too long is cut.")
    foreign: bool = Field(
        False, description="Also a position that is not ours, of this symbol: the confirmation of that."
    )

    @model_validator(mode="after")
    def _is_meant(self) -> Self:
        if self.model_extra and "symbol" not in self.model_fields_set:
            raise ValueError("name the symbol, or send symbol: null to close all positions")
        return self


class TradeBody(BaseModel):
    """A manual proposal; RISK sizes it and may refuse it."""

    symbol: SymbolName
    side: Side
    confidence: Number = Field(Decimal("0.8"), ge=0, le=1)


class ExecuteRoutes:
    """Answers requests from EXECUTE's own record and the exchange."""

    def __init__(
        self,
        settings: ExecuteSettings,
        store: ExecuteStore,
        exchange: LooksUp,
        market: KnowsMarket,
        outbox: OwesMessages,
        ticks: LatestTicks,
        clock: Clock,
        preflight: Preflight,
    ) -> None:
        self._settings = settings
        self._store = store
        self._exchange = exchange
        self._market = market
        self._outbox = outbox
        self._ticks = ticks
        self._clock = clock
        self._preflight = preflight
        self._held_at = datetime.min.replace(tzinfo=UTC)
        self._venue_positions: dict[tuple[str, Side], VenuePosition] = {}

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        guarded = [Depends(api_key_guard(self._settings.api_key))]
        app.get("/positions", summary="Open positions with their protection", tags=["trading"])(
            self.positions
        )
        app.get("/orders", summary="Our newest orders of every kind", tags=["trading"])(self.orders)
        app.get("/prices/{symbol}", summary="The newest tick of a symbol", tags=["market"])(self.price)
        app.post(
            "/close",
            status_code=202,
            summary="Close a position, or all",
            dependencies=guarded,
            tags=["trading"],
        )(self.close)
        app.get(
            "/closes/{request_id}", summary="What became of a close that was asked for", tags=["trading"]
        )(self.close_request)
        app.post(
            "/trade",
            status_code=202,
            summary="Propose a trade to RISK",
            dependencies=guarded,
            tags=["trading"],
        )(self.trade)

        app.get("/preflight", summary="How account and key are set up at the exchange", tags=["trading"])(
            self.preflight
        )

    async def preflight(self) -> Response:
        """Return each thing that must be so at the exchange, whether it is, and what to do; asked of the
        exchange at most once a minute.
        """
        return json_response(await self._preflight.look())

    async def positions(self) -> Response:
        """Return our open positions, and what else stands on the account; marks, liquidation prices, leverage
        and margin mode are the exchange's. While it is away they are null, the leverage is the approved one.
        """
        entries = [each for each in await self._store.unfinished() if each.state in HAS_POSITION]
        held = await self._held() if entries else {}
        foreign = await self._store.foreign()
        return json_response(
            {
                "positions": [_shown(entry, held.get((entry.symbol, entry.side))) for entry in entries],
                "foreign_positions": foreign.positions,
                "foreign_positions_seen_at": foreign.positions_seen_at,
                "foreign_orders": foreign.orders,
                "foreign_orders_seen_at": foreign.orders_seen_at,
            }
        )

    async def _held(self) -> dict[tuple[str, Side], VenuePosition]:
        """Return what the exchange holds, asked at most once a second: lookers must not use up its weight."""
        now = self._clock()
        if now - self._held_at > VENUE_CACHE:
            self._held_at = now
            try:
                found = await self._exchange.positions()
                self._venue_positions = {(each.symbol, each.side): each for each in found}
            except ExchangeUnavailable:
                self._venue_positions = {}  # our own record is still worth showing
        return self._venue_positions

    async def orders(self, limit: int = 50) -> Response:
        """Return our newest orders."""
        return json_response({"orders": await self._store.orders(min(max(1, limit), ORDERS_MAX))})

    async def price(self, symbol: str) -> Response:
        """Return the newest tick."""
        tick = self._ticks.get(_named(symbol))
        if tick is None:
            raise Problem(
                404, "no price", f"{symbol} is not watched, or the market feed has not seen it yet."
            )
        return json_response(tick)

    async def close(self, body: CloseBody, actor: AnyActor = ACTOR) -> Response:
        """Stage a close request; it is carried out from the queue within moments, see `/closes/{request_id}`.

        A symbol that is neither held nor listed is refused: nothing would be closed, and nobody would know.
        """
        if body.symbol is not None:
            await self._demand_known(body.symbol)
        elif body.foreign:
            raise Problem(422, "no symbol", "What is not ours is closed by its symbol, one at a time.")
        request_id = f"req-{uuid4().hex[:20]}"
        request = CloseRequested(
            signal_id=request_id,
            symbol=body.symbol,
            requested_at=self._clock(),
            reason=CloseReason.OPERATOR,
            requested_by=f"{actor}: {body.reason}" if body.reason else actor,
            is_foreign=body.foreign,
        )
        await self._hand_over([request], request_id, request)
        return json_response({"request_id": request_id}, 202)

    async def close_request(self, request_id: str) -> Response:
        """Return who asked for a close, what it closed so far, and what of it is still open."""
        found = await self._store.close_request(request_id)
        if found is None:
            raise Problem(404, "request not known", f"No close {request_id!r} was asked for here.")
        symbol = found["symbol"]
        unfinished = await (self._store.unfinished() if symbol is None else self._store.unfinished_on(symbol))
        still_open = [
            each.symbol
            for each in unfinished
            if each.state in MAY_HAVE_POSITION and each.approval.signal_received_at <= found["requested_at"]
        ]
        is_over = found.pop("is_handled") and not still_open
        return json_response(found | {"state": "done" if is_over else "pending", "still_open": still_open})

    async def _demand_known(self, symbol: str) -> None:
        """Refuse a symbol that nobody knows; while it cannot be looked up, any is taken (P9)."""
        open_symbols = {each.symbol for each in await self._store.unfinished()}
        foreign = {str(each["symbol"]) for each in (await self._store.foreign()).positions}
        if symbol in open_symbols | foreign:
            return
        match await attempt(self._listed(symbol)):
            case Done(listed) if listed is not None and symbol not in listed:
                held = ", ".join(sorted(open_symbols)) or "none"
                words = (
                    f"{symbol} is not listed, and no position is open in it: nothing is closed.",
                    did_you_mean(meant(symbol, open_symbols, listed)),
                    f"Open positions: {held}.",
                )
                raise Problem(404, "symbol not known", " ".join(word for word in words if word))
            case _:
                return

    async def _listed(self, symbol: str) -> frozenset[str] | None:
        """Return every listed symbol; None when this one is surely among them."""
        if await self._market.instrument(symbol) is not None:
            return None
        return frozenset(each.symbol for each in await self._exchange.instruments())

    async def trade(self, body: TradeBody) -> Response:
        """Stage a manual proposal into RISK's queue."""
        now = self._clock()
        key = f"{MANUAL_STRATEGY}:{uuid4().hex}"
        signal = Signal(
            signal_id=ids.signal_id(key),
            dedupe_key=key,
            origin=Origin.MANUAL,
            strategy=MANUAL_STRATEGY,
            symbol=body.symbol,
            action=Action(body.side.value),
            confidence=body.confidence,
            received_at=now,
            alert_text=body.model_dump_json(),
        )
        proposal = AnalysisCompleted(signal=signal, analysis=None, edge=None)
        await self._hand_over([proposal, ManualTradeProposed(signal=signal)], signal.signal_id)
        return json_response({"signal_id": signal.signal_id}, 202)

    async def _hand_over(
        self, payloads: Sequence[Message], story: str, close: CloseRequested | None = None
    ) -> None:
        now = self._clock()
        envelopes: list[Envelope] = [
            envelop(each, correlation_id=story, causation_id=None, occurred_at=now, producer=PRODUCER)
            for each in payloads
        ]
        async with self._store.transaction() as tx:
            await self._outbox.stage(tx, envelopes)
            if close is not None:
                await self._store.record_close_request(tx, close, envelopes[0].event_id)
        await asyncio.shield(self._outbox.publish(envelopes))


def _shown(entry: Entry, held: VenuePosition | None) -> dict[str, object]:
    position = entry.position()
    return {
        "signal_id": entry.signal_id,
        "strategy": entry.strategy,
        "symbol": entry.symbol,
        "side": entry.side,
        "quantity": position.quantity,
        "exchange_quantity": None if held is None else held.quantity,
        "entry_price": position.entry_price,
        "mark_price": None if held is None else held.mark_price,
        "stop_price": entry.stop_price,
        "take_profit_price": entry.take_profit_price,
        "leverage": position.leverage if held is None else held.leverage,
        "is_isolated": None if held is None else held.is_isolated,
        "liquidation_price": None if held is None else held.liquidation_price,
        "margin_usdt": position.margin_usdt,
        "unrealised_pnl_usdt": None if held is None else held.unrealised_pnl_usdt,
        "state": entry.state,
        "opened_at": _time(entry.first_fill_at),
        "protected_at": _time(entry.protected_at),
    }


def _named(symbol: str) -> str:
    try:
        return symbol_of(symbol)
    except NoSymbol as unfit:
        raise Problem(422, "no symbol", str(unfit)) from None


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
