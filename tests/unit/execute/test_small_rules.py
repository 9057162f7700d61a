"""The small pure parts: margin set-up, the tick board, raw payloads, facts."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.execute import facts, venue_parse
from services.execute.call_gate import Budget
from services.execute.execution_rules import ClosedBooks
from services.execute.leverage_manager import SetupStep, changed_elsewhere, setup_steps
from services.execute.listing import read_listing
from services.execute.order_state import EntryState
from services.execute.tick_board import TickBoard
from services.execute.venue import MarginSetup, OrderReport, OrderSide
from shared import codec
from shared.models import CloseIgnored, OrderEnded, PositionClosed
from shared.values import CloseReason, OutcomeKind, Severity, Side
from tests.unit.execute.builders import BTC, NOON, close_request, entry

ISOLATED_20 = MarginSetup(is_isolated=True, leverage=20)

# --- margin ---


@pytest.mark.parametrize(
    ("known", "steps"),
    [
        (ISOLATED_20, ()),
        (MarginSetup(is_isolated=True, leverage=5), (SetupStep.SET_LEVERAGE,)),
        (MarginSetup(is_isolated=False, leverage=20), (SetupStep.SET_ISOLATED,)),
        (
            MarginSetup(is_isolated=False, leverage=5),
            (SetupStep.SET_ISOLATED, SetupStep.SET_LEVERAGE),
        ),
    ],
)
def test_only_what_differs_is_set_up(known: MarginSetup, steps: tuple[SetupStep, ...]) -> None:
    assert setup_steps(known, 20) == steps


def test_symbols_that_somebody_else_changed() -> None:
    cross = MarginSetup(is_isolated=False, leverage=20)
    remembered = {"A": ISOLATED_20, "B": ISOLATED_20, "C": ISOLATED_20}
    actual = {"A": ISOLATED_20, "B": cross, "D": cross}
    assert changed_elsewhere(remembered, actual) == {"B", "C"}


# --- ticks ---


def board() -> TickBoard:
    return TickBoard([BTC, "ETHUSDT"], NOON)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def fill_in(under_test: TickBoard, symbol: str, seconds: float) -> None:
    under_test.quote(symbol, Decimal(99), Decimal(101), at(seconds), at(seconds))
    under_test.mark(symbol, Decimal(100), at(seconds))
    under_test.traded(symbol, Decimal(100), Decimal(5_000_000), at(seconds))


def test_tick_is_told_when_all_of_its_prices_are_known_and_only_when_it_changed() -> None:
    under_test = board()
    under_test.quote(BTC, Decimal(99), Decimal(101), NOON, NOON)
    under_test.mark(BTC, Decimal(100), NOON)
    assert under_test.take_changed() == []
    under_test.traded(BTC, Decimal(100), Decimal(5_000_000), NOON)
    [tick] = under_test.take_changed()
    assert (tick.symbol, tick.bid, tick.ask, tick.last, tick.mark) == (
        BTC,
        Decimal(99),
        Decimal(101),
        Decimal(100),
        Decimal(100),
    )
    assert under_test.take_changed() == []


def test_symbols_that_are_not_watched_are_ignored() -> None:
    under_test = board()
    fill_in(under_test, "XRPUSDT", 0)
    assert under_test.take_changed() == []


def test_marks_that_flow_do_not_make_dead_quotes_look_fresh() -> None:
    under_test = board()
    fill_in(under_test, BTC, 0)
    under_test.mark(BTC, Decimal(100), at(30))
    [tick] = under_test.take_changed()
    assert tick.age_s(at(30)) == 30
    assert under_test.ages_s(at(30))[BTC] == 30


def test_quiet_market_is_not_a_silent_stream() -> None:
    """A symbol whose book does not move is fresh as long as its stream brings others."""
    under_test = board()
    fill_in(under_test, BTC, 0)
    fill_in(under_test, "ETHUSDT", 30)
    under_test.mark(BTC, Decimal(100), at(30))
    ages = {tick.symbol: tick.age_s(at(30)) for tick in under_test.take_changed()}
    assert ages == {BTC: 0, "ETHUSDT": 0}


# --- payloads ---

ORDER: dict[str, Any] = {
    "orderId": 4_000_000_123,
    "symbol": BTC,
    "status": "PARTIALLY_FILLED",
    "clientOrderId": "p95test-abc-e",
    "price": "50050.00",
    "avgPrice": "50000.20000",
    "origQty": "0.100",
    "executedQty": "0.040",
    "side": "BUY",
    "updateTime": 1_700_000_000_123,
}
TRADE: dict[str, Any] = {
    "symbol": BTC,
    "id": 698_759,
    "orderId": 25_851_813,
    "side": "SELL",
    "price": "7819.01",
    "qty": "0.002",
    "realizedPnl": "-0.91539999",
    "quoteQty": "15.63802",
    "commission": "-0.07819010",
    "commissionAsset": "USDT",
    "time": 1_569_514_978_020,
}
POSITION: dict[str, Any] = {
    "symbol": BTC,
    "positionSide": "BOTH",
    "positionAmt": "-0.150",
    "entryPrice": "50000.2",
    "markPrice": "49990.10000000",
    "unRealizedProfit": "1.51500000",
    "liquidationPrice": "52000.1",
    "isolatedWallet": "375.00150000",
    "initialMargin": "374.9",
    "notional": "-7498.51500000",
}
ALGO: dict[str, Any] = {
    "algoId": 2_146_760,
    "clientAlgoId": "p95test-abc-s",
    "symbol": BTC,
    "side": "SELL",
    "algoStatus": "NEW",
    "triggerPrice": "49000.20",
    "actualOrderId": "",
}


def test_order_payload() -> None:
    report = venue_parse.order_report(ORDER)
    assert report == OrderReport(
        client_id="p95test-abc-e",
        order_id="4000000123",
        symbol=BTC,
        side=OrderSide.BUY,
        status="PARTIALLY_FILLED",
        quantity=Decimal("0.100"),
        filled_quantity=Decimal("0.040"),
        average_price=Decimal("50000.20000"),
        updated_at=datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC),
    )
    assert not report.is_final


@pytest.mark.parametrize("average", ["0", "0.00000", "", None])
def test_order_payload_without_an_average_price(average: str | None) -> None:
    assert venue_parse.order_report(ORDER | {"avgPrice": average}).average_price is None
    without = {name: value for name, value in ORDER.items() if name != "avgPrice"}
    assert venue_parse.order_report(without).average_price is None


@pytest.mark.parametrize(
    ("status", "is_final"),
    [
        ("NEW", False),
        ("PARTIALLY_FILLED", False),
        ("FILLED", True),
        ("CANCELED", True),
        ("REJECTED", True),
        ("EXPIRED", True),
        ("EXPIRED_IN_MATCH", True),
    ],
)
def test_which_orders_are_final(status: str, is_final: bool) -> None:
    assert venue_parse.order_report(ORDER | {"status": status}).is_final is is_final


def test_field_that_is_gone_is_a_broken_contract() -> None:
    with pytest.raises(KeyError):
        venue_parse.order_report({name: value for name, value in ORDER.items() if name != "executedQty"})


def test_position_payload() -> None:
    position = venue_parse.position(POSITION)
    assert position is not None
    assert (position.side, position.quantity) == (Side.SHORT, Decimal("0.150"))
    assert (position.margin_usdt, position.notional_usdt) == (Decimal("375.0015"), Decimal("7498.515"))
    assert venue_parse.position(POSITION | {"positionAmt": "0.000"}) is None


def test_fee_in_another_asset_is_valued_in_usdt() -> None:
    rows = [TRADE, TRADE | {"commissionAsset": "BNB", "commission": "0.00012"}]
    assert venue_parse.fee_assets(rows) == {"BNB"}
    assert venue_parse.trade(rows[1], Decimal(650)).fee_usdt == Decimal("0.078")
    assert venue_parse.trade(rows[0]).fee_usdt == Decimal("-0.0781901")


def test_conditional_order_payload() -> None:
    assert venue_parse.algo_report(ALGO).is_standing
    assert venue_parse.algo_report(ALGO).actual_order_id is None
    fired = venue_parse.algo_report(ALGO | {"algoStatus": "FINISHED", "actualOrderId": "77"})
    assert fired.has_fired
    assert not fired.is_standing


def test_foreign_trailing_stop_without_a_trigger_price_does_not_blind_us() -> None:
    for trigger in ("", None):
        assert venue_parse.algo_report(ALGO | {"triggerPrice": trigger}).trigger_price == 0


def test_margin_payload() -> None:
    rows = [
        {"symbol": "A", "marginType": "ISOLATED", "leverage": 20},
        {"symbol": "B", "marginType": "CROSSED", "leverage": 125},
    ]
    assert dict(map(venue_parse.margin_setup, rows)) == {
        "A": ISOLATED_20,
        "B": MarginSetup(is_isolated=False, leverage=125),
    }


def test_no_number_of_a_payload_becomes_a_float() -> None:
    values = (
        venue_parse.order_report(ORDER),
        venue_parse.position(POSITION),
        venue_parse.trade(TRADE),
        venue_parse.algo_report(ALGO),
        venue_parse.bar([1_700_000_000_000, "1.1", "1.3", "1.0", "1.2", "0.30000000000000004"]),
    )
    for value in values:
        assert value is not None
        assert not [name for name in value.__struct_fields__ if isinstance(getattr(value, name), float)]
    assert venue_parse.decimal("0.30000000000000004") == Decimal("0.30000000000000004")


def test_time_stamps_are_exact_both_ways() -> None:
    moment = datetime(2026, 1, 31, 12, 0, 0, 123_999, tzinfo=UTC)
    assert venue_parse.from_ms(venue_parse.to_ms(moment)) == moment.replace(microsecond=123_000)


def test_budgets_are_read_from_the_rules() -> None:
    limits = [
        {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
    ]
    assert venue_parse.budgets({"rateLimits": limits}) == {Budget.WEIGHT_1M: 6_000, Budget.ORDERS_1M: 1_200}
    assert venue_parse.budgets({}) == {}


def test_only_perpetuals_in_usdt_that_trade_are_instruments() -> None:
    filters = [
        {"filterType": "PRICE_FILTER", "tickSize": "0.10"},
        {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "1000"},
        {"filterType": "MARKET_LOT_SIZE", "stepSize": "0.01", "minQty": "0.002", "maxQty": "120"},
        {"filterType": "MIN_NOTIONAL", "notional": "50"},
    ]
    good = {
        "symbol": BTC,
        "contractType": "PERPETUAL",
        "status": "TRADING",
        "quoteAsset": "USDT",
        "filters": filters,
    }
    symbols = [
        good,
        good | {"symbol": "BTCUSDT_260327", "contractType": "CURRENT_QUARTER"},
        good | {"symbol": "BTCUSDC", "quoteAsset": "USDC"},
        good | {"symbol": "OLDUSDT", "status": "SETTLING"},
        good | {"symbol": "NOTIERUSDT"},
    ]
    tier = {
        "initialLeverage": 20,
        "notionalFloor": 0,
        "notionalCap": 5000,
        "maintMarginRatio": 0.025,
        "cum": 0,
    }
    tiers = [
        {"symbol": each["symbol"], "brackets": [tier]} for each in symbols if each["symbol"] != "NOTIERUSDT"
    ]
    [only] = read_listing({"symbols": symbols}, tiers, Decimal("0.0005")).instruments.values()
    assert only.symbol == BTC
    assert (only.step_size, only.quantity_min, only.quantity_max) == (
        Decimal("0.01"),
        Decimal("0.002"),
        Decimal(120),
    )
    assert only.brackets[0].maintenance_rate == Decimal("0.025")


# --- facts ---

BOOKS = ClosedBooks(
    exit_price=Decimal(51_000),
    pnl_usdt=Decimal(100),
    fees_usdt=Decimal(5),
    closed_at=NOON,
    exit_order_id="78",
    fills=(),
)


def closed(reason: CloseReason, state: EntryState = EntryState.CLOSING, **changes: Any) -> list[Any]:
    told = facts.closed(entry(state, **changes), reason, BOOKS, Decimal("-0.1"), NOON)
    return [each.payload for each in told]


def test_facts_have_the_same_ids_whenever_they_are_told() -> None:
    once = facts.closed(entry(EntryState.CLOSED), CloseReason.STOP_LOSS, BOOKS, Decimal(0), NOON)
    again = facts.closed(entry(EntryState.CLOSED), CloseReason.STOP_LOSS, BOOKS, Decimal(0), at(99))
    assert [each.event_id for each in once] == [each.event_id for each in again]
    first = facts.ended(entry(), failed=True, reason="unknown", detail="", now=NOON)
    other = facts.ended(entry(name="two"), failed=True, reason="unknown", detail="", now=NOON)
    assert first[0].event_id != other[0].event_id


def test_close_in_the_name_of_a_request_names_it() -> None:
    [fact] = closed(CloseReason.EXIT_SIGNAL)
    assert isinstance(fact, PositionClosed)
    assert (fact.closed_by, fact.net_pnl_usdt) == ("sig-exit", Decimal("94.9"))


def test_request_that_came_after_the_stop_is_told_so() -> None:
    fact, ignored = closed(CloseReason.STOP_LOSS)
    assert isinstance(fact, PositionClosed)
    assert fact.closed_by is None
    assert ignored == CloseIgnored(signal_id="sig-exit", symbol=BTC, reason="closed_by:stop_loss")


def test_reversal_is_no_request_of_its_own() -> None:
    """`closed_by` is the new entry's signal then: told as ignored, the entry itself would have an outcome."""
    told = closed(CloseReason.STOP_LOSS, close_reason=CloseReason.OPPOSITE_SIGNAL, closed_by="sig-short")
    assert [type(each) for each in told] == [PositionClosed]


def test_position_that_never_stood_protected_is_a_failed_entry() -> None:
    ended, fact = closed(CloseReason.UNPROTECTED, EntryState.CLOSING, protected_at=None, closed_by=None)
    assert isinstance(ended, OrderEnded)
    assert (ended.outcome, ended.reason) == (OutcomeKind.FAILED, "closed:unprotected")
    assert isinstance(fact, PositionClosed)


def test_alert_is_told_once_a_minute() -> None:
    def alert(seconds: float) -> str:
        return facts.alert("kind", "text", Severity.WARNING, "sig-1", at(seconds)).event_id

    assert alert(0) == alert(59)
    assert alert(0) != alert(60)


def test_ignored_close_belongs_to_the_requests_story() -> None:
    request = close_request()
    [fact] = facts.close_ignored(request.signal_id, BTC, "no_position", NOON)
    assert fact.correlation_id == request.signal_id


def test_facts_pass_the_wire() -> None:
    told = facts.closed(entry(EntryState.CLOSED), CloseReason.STOP_LOSS, BOOKS, Decimal(0), NOON)
    for envelope in told:
        assert codec.decode(codec.encode(envelope)) == envelope
