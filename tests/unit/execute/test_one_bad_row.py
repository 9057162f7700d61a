"""One symbol's trouble is its own: a row that cannot be read costs its symbol, and nobody else (F7).

For money, "not readable" is never "nothing there": what may be held is not settled, and is told.
"""

import copy
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from unittest.mock import AsyncMock

import pytest

from infrastructure.paper_exchange import market_payloads
from infrastructure.paper_exchange.symbols import listed_symbols
from services.execute import listing, venue_parse, venue_rows
from services.execute.account_ledger import Money
from services.execute.binance_client import BinanceClient
from services.execute.ccxt_venue import _Venue
from services.execute.config import ExecuteSettings
from services.execute.keeper import Keeper
from services.execute.order_state import EntryState
from services.execute.reconciliation import CorrectionKind
from services.execute.tick_board import QUIET_MAX, TickBoard
from services.execute.venue import VenueAccount
from shared.errors import ExchangeUnavailable
from shared.ids import OrderRole
from tests.twins.execution import World
from tests.twins.venue import Fault
from tests.unit.execute.builders import BTC, NOON, approval, entry, sent
from tests.unit.execute.test_small_rules import fill_in

ETH = "ETHUSDT"
FEE = Decimal("0.0005")

Spoil = Callable[[dict[str, Any]], object]

SPOILED_RULES: dict[str, Spoil] = {
    "no filters": lambda row: row.pop("filters"),
    "null filters": lambda row: row.update(filters=None),
    "a filter without a type": lambda row: [each.pop("filterType") for each in row["filters"]],
    "a step that is no number": lambda row: [each.update(stepSize="abc") for each in row["filters"]],
    "a step that is NaN": lambda row: [each.update(stepSize="NaN") for each in row["filters"]],
    "a step of zero": lambda row: [each.update(stepSize="0", tickSize="0") for each in row["filters"]],
    "no status": lambda row: row.pop("status"),
    "no kind": lambda row: row.pop("contractType"),
    "no quote asset": lambda row: row.pop("quoteAsset"),
    "delisted": lambda row: row.update(status="SETTLING"),
    "not yet trading": lambda row: row.update(status="PENDING_TRADING"),
    "null status": lambda row: row.update(status=None),
    "no name": lambda row: row.pop("symbol"),
}
STREAMS_ONLY: dict[str, Spoil] = {
    "precision that is no number": lambda row: row.update(pricePrecision="x"),
}


def exchange_info(spoil: Spoil, symbol: str = ETH) -> dict[str, Any]:
    info: dict[str, Any] = copy.deepcopy(dict(market_payloads.exchange_info(listed_symbols(), [], 0)))
    spoil(next(row for row in info["symbols"] if row["symbol"] == symbol))
    return info


def brackets() -> list[dict[str, Any]]:
    tier = {"initialLeverage": 20, "notionalFloor": 0, "notionalCap": 5, "maintMarginRatio": "0.02", "cum": 0}
    return [{"symbol": name, "brackets": [dict(tier)]} for name in listed_symbols()]


@pytest.mark.parametrize("what", SPOILED_RULES)
@pytest.mark.parametrize("symbol", [BTC, ETH])  # the first row of the list, and another
def test_rules_that_cannot_be_read_leave_out_their_symbol_alone(what: str, symbol: str) -> None:
    found = listing.read_listing(exchange_info(SPOILED_RULES[what], symbol), brackets(), FEE)
    assert found.instruments.keys() == listed_symbols().keys() - {symbol}
    chosen = listing.choose(f"{BTC},{ETH},XRPUSDT", found)
    assert chosen.watched.keys() == {BTC, ETH, "XRPUSDT"} - {symbol}
    assert chosen.left_out.keys() == {symbol}
    assert chosen.left_out[symbol]


@pytest.mark.parametrize("what", [*SPOILED_RULES, *STREAMS_ONLY])
def test_the_table_that_the_streams_need_is_read_without_the_bad_row(what: str) -> None:
    rows = exchange_info((SPOILED_RULES | STREAMS_ONLY)[what])["symbols"]
    venue = _Venue()
    parsed = [each for each in map(venue.parse_market, [*rows, None, "x", 5]) if each is not None]
    assert len(parsed) >= len(rows) - 1
    assert BTC in {each["id"] for each in parsed}


@pytest.mark.parametrize("raw", [None, [], [{}], [{"initialLeverage": "x"}], "x", 5])
def test_brackets_that_cannot_be_read_leave_out_their_symbol_alone(raw: object) -> None:
    rows = [row if row["symbol"] != ETH else {"symbol": ETH, "brackets": raw} for row in brackets()]
    found = listing.read_listing(exchange_info(lambda _: None), [*rows, None, {}, "x"], FEE)
    assert found.instruments.keys() == listed_symbols().keys() - {ETH}
    assert "brackets" in found.unfit[ETH]


def test_what_is_wanted_and_not_listed_is_named_and_comes_back() -> None:
    found = listing.read_listing(exchange_info(lambda _: None), brackets(), FEE)
    chosen = listing.choose(" btcusdt, GONEUSDT ,", found)
    assert (set(chosen.watched), chosen.left_out) == ({BTC}, {"GONEUSDT": listing.NOT_LISTED})
    assert listing.choose("GONEUSDT", found).watched == {}
    assert listing.choose("*", found).watched.keys() == listed_symbols().keys()
    assert listing.choose("*", found, {"GONEUSDT"}).left_out.keys() == {"GONEUSDT"}


async def test_fee_is_asked_of_a_symbol_that_trades() -> None:
    """The first of the list may be delisted: the exchange then refuses, and all rules were unknown."""
    world = World()
    info = exchange_info(lambda row: row.update(status="SETTLING"), BTC)
    world.venue.fail("GET exchangeInfo", Fault(answer=info))
    assert BTC not in {each.symbol for each in await client(world).instruments()}
    assert world.venue.sent("GET commissionRate")[-1]["symbol"] != BTC


def client(world: World) -> BinanceClient:
    settings = ExecuteSettings.model_construct(recv_window_ms=2_000)
    return BinanceClient(settings, world.venue)


BAD_POSITIONS: dict[str, Any] = {
    "no amount": {"symbol": "GONEUSDT"},
    "null amount": {"symbol": "GONEUSDT", "positionAmt": None},
    "amount that is no number": {"symbol": "GONEUSDT", "positionAmt": "abc"},
    "NaN": {"symbol": "GONEUSDT", "positionAmt": "NaN"},
    "not a row": {"symbol": "GONEUSDT", "positionAmt": []},
}


@pytest.mark.parametrize("what", BAD_POSITIONS)
async def test_a_position_that_cannot_be_read_hides_no_other(what: str) -> None:
    world = World()
    approved = approval("one", at=world.clock())
    await world.process().flow.on_execution(sent(approved))
    rows = await world.venue.fapiPrivateV3GetPositionRisk({})
    world.venue.fail("GET v3/positionRisk", Fault(answer=[BAD_POSITIONS[what], *rows]))
    found = await client(world).holdings()
    assert [each.symbol for each in found.values] == [BTC]
    assert [row.symbol for row in found.bad] == ["GONEUSDT"]


@pytest.mark.parametrize(
    "field", ["entryPrice", "markPrice", "liquidationPrice", "notional", "isolatedWallet"]
)
@pytest.mark.parametrize("spoiled", [None, "", "abc", "NaN", ...])
async def test_a_position_is_known_by_symbol_and_amount_whatever_else_cannot_be_read(
    field: str, spoiled: object
) -> None:
    world = World()
    await world.process().flow.on_execution(sent(approval("one", at=world.clock())))
    [row] = [each for each in await world.venue.fapiPrivateV3GetPositionRisk({}) if each["symbol"] == BTC]
    raw = {name: value for name, value in row.items() if name != field or spoiled is not ...}
    if spoiled is not ...:
        raw[field] = spoiled
    else:
        raw.pop(field, None)
    position = venue_parse.position(raw)
    assert position is not None
    assert position.quantity == abs(Decimal(row["positionAmt"]))


@pytest.mark.parametrize("named", [True, False])
async def test_our_position_in_a_row_that_cannot_be_read_is_not_taken_for_flat(named: bool) -> None:
    """P4, P7: taken for gone, its stop would be cancelled and its symbol freed, with the position open."""
    world = World()
    approved = approval("one", at=world.clock())
    await world.process().flow.on_execution(sent(approved))
    spoiled = [{"symbol": BTC, "positionAmt": None} if named else {"positionAmt": "1"}]
    world.venue.fail("GET v3/positionRisk", *[Fault(answer=spoiled) for _ in range(6)])
    for _ in range(3):
        assert await world.process().flow.reconcile() == []
    assert world.is_protected(approved.signal_id)
    with pytest.raises(ExchangeUnavailable, match="cannot be read"):
        await client(world).positions(BTC)
    world.venue.heal()
    assert await world.process().flow.reconcile() == []


async def test_orders_that_cannot_be_read_hide_no_other() -> None:
    world = World()
    approved = approval("one", at=world.clock())
    await world.process().flow.on_execution(sent(approved))
    algos = await world.venue.fapiPrivateGetOpenAlgoOrders({})
    for bad in ({}, {"symbol": ETH}, None, "x", {**algos[0], "clientAlgoId": None, "symbol": ETH}):
        world.venue.fail("GET openAlgoOrders", Fault(answer=[bad, *algos]))
        assert len(await client(world).open_algos()) == len(algos)
        world.venue.fail("GET openOrders", Fault(answer=[bad]))
        assert await client(world).open_orders() == ()
    world.venue.fail("GET openAlgoOrders", Fault(answer={"rows": []}))
    with pytest.raises(ExchangeUnavailable):
        await client(world).open_algos()


async def test_a_stop_that_cannot_be_read_is_placed_again_which_changes_nothing() -> None:
    world = World()
    approved = approval("one", at=world.clock())
    await world.process().flow.on_execution(sent(approved))
    algos = await world.venue.fapiPrivateGetOpenAlgoOrders({})
    spoiled = [
        each | {"algoStatus": None}
        if each["clientAlgoId"].endswith(f"-{OrderRole.STOP_LOSS.value}")
        else each
        for each in algos
    ]
    world.venue.fail("GET openAlgoOrders", Fault(answer=spoiled))
    found = await world.process().flow.reconcile()
    assert [each.kind for each in found] == [CorrectionKind.RESTORE_PROTECTION]
    assert world.is_protected(approved.signal_id)
    assert len(await world.venue.fapiPrivateGetOpenAlgoOrders({})) == len(algos)


async def test_bars_and_margins_that_cannot_be_read_hide_no_other() -> None:
    world = World()
    world.venue.fail("GET symbolConfig", Fault(answer=[{}, {"symbol": ETH}, _margin(BTC)]))
    assert set(await client(world).margin_setups()) == {BTC}
    good = [1_700_000_000_000, "1", "2", "1", "2", "5"]
    rows = [good, [1], None, [*good[:4], "NaN", "5"], [*good[:4], None, "5"], good, good]
    world.venue.fail("GET klines", Fault(answer=rows))
    assert len(await client(world).bars(BTC, 6)) == 2


def _margin(symbol: str) -> dict[str, Any]:
    return {"symbol": symbol, "marginType": "ISOLATED", "leverage": 20}


async def test_the_account_is_told_with_our_books_where_the_exchange_cannot_be_read() -> None:
    """Left out, RISK would take the position for gone and give its risk to the next entry."""
    account = VenueAccount(wallet_usdt=Decimal(1), equity_usdt=Decimal(1), available_usdt=Decimal(1))
    exchange: Any = AsyncMock()
    ledger: Any = AsyncMock(look=AsyncMock(return_value=Money(account, Decimal(0), Decimal(0))))
    bad = (venue_rows.BadRow(BTC, "no positionAmt"), venue_rows.BadRow("GONEUSDT", "no positionAmt"))
    exchange.holdings.return_value, exchange.open_algos.return_value = venue_rows.Rows((), bad), ()
    mine = [entry(EntryState.PROTECTED)]
    store: Any = AsyncMock(unfinished=AsyncMock(return_value=mine), now=AsyncMock(return_value=NOON))
    nothing: Any = AsyncMock()
    made = Keeper(nothing, nothing, exchange, nothing, store, nothing, ledger, "test")
    assert await made.tell_account()
    (snapshot,) = store.record_snapshot.await_args.args
    [position] = snapshot.positions
    assert (position.symbol, position.signal_id) == (BTC, entry().signal_id)
    assert position.quantity == entry(EntryState.PROTECTED).filled_quantity


def board() -> TickBoard:
    made = TickBoard([BTC, ETH], NOON)
    fill_in(made, BTC, 0)
    fill_in(made, ETH, 0)
    return made


def test_one_silent_symbol_is_silent_alone() -> None:
    under_test = board()
    fill_in(under_test, BTC, 60)
    at = NOON + 2 * QUIET_MAX
    assert under_test.silent(at, Decimal(10)) == [ETH]


def test_a_symbol_without_quotes_is_silent_though_its_marks_flow() -> None:
    under_test = board()
    later = NOON + QUIET_MAX * 2
    fill_in(under_test, BTC, 60)
    under_test.mark(ETH, Decimal(100), later)
    assert under_test.silent(later, Decimal(10)) == [ETH]


def test_a_symbol_that_never_had_a_price_is_silent_though_it_is_heard() -> None:
    under_test = TickBoard([BTC, ETH], NOON)
    fill_in(under_test, BTC, 20)
    under_test.mark(ETH, Decimal(100), NOON + QUIET_MAX)
    assert under_test.silent(NOON + QUIET_MAX, Decimal(15)) == [ETH]


def test_symbols_come_and_go_without_touching_the_others() -> None:
    under_test = board()
    under_test.take_changed()
    under_test.watch([BTC, "XRPUSDT"], NOON)
    fill_in(under_test, ETH, 1)
    fill_in(under_test, "XRPUSDT", 1)
    assert [each.symbol for each in under_test.take_changed()] == ["XRPUSDT"]
    assert under_test.ages_s(NOON).keys() == {BTC, "XRPUSDT"}
