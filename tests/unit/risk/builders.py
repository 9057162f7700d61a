"""A healthy case that every check passes, and ways to spoil one thing of it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from services.risk.account import Account
from services.risk.correlation import Correlations
from services.risk.disk_space import DiskSpace
from services.risk.position_manager import Book, Reservation, ReservationState
from services.risk.profiles import PROFILES, Limits, Profile
from services.risk.proposal import Market, Proposal
from services.risk.verdicts import Case
from shared.edge import estimate_edge
from shared.market import Bar, Bracket, Instrument, Tick
from shared.models import AccountSnapshot, AnalysisCompleted
from shared.values import (
    Action,
    Analysis,
    Check,
    EdgeEstimate,
    Gate,
    Origin,
    Position,
    RiskLevel,
    Side,
    Signal,
    SnapshotPosition,
)

D = Decimal
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
EDGE = estimate_edge(())
PRICE = D(50_000)
UP_AND_DOWN = [str(100 + (7 * n) % 11) for n in range(40)]
MIRRORED = [str(200 - int(close)) for close in UP_AND_DOWN]
NO_EDGE = msgspec.structs.replace(EDGE, win_rate=D("0.30"))


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def bracket(leverage_max: int, floor: int, cap: int, rate: str, amount: str) -> Bracket:
    return Bracket(
        leverage_max=leverage_max,
        notional_floor_usdt=D(floor),
        notional_cap_usdt=D(cap),
        maintenance_rate=D(rate),
        maintenance_amount_usdt=D(amount),
    )


BTC_BRACKETS = (
    bracket(150, 0, 300_000, "0.004", "0"),
    bracket(100, 300_000, 800_000, "0.005", "300"),
    bracket(75, 800_000, 3_000_000, "0.0065", "1500"),
    bracket(50, 3_000_000, 12_000_000, "0.01", "12000"),
    bracket(25, 12_000_000, 70_000_000, "0.02", "132000"),
    bracket(20, 70_000_000, 100_000_000, "0.025", "482000"),
    bracket(10, 100_000_000, 230_000_000, "0.05", "2982000"),
)
ADA_BRACKETS = (
    bracket(75, 0, 10_000, "0.005", "0"),
    bracket(50, 10_000, 50_000, "0.01", "50"),
    bracket(40, 50_000, 200_000, "0.015", "300"),
    bracket(25, 200_000, 1_000_000, "0.02", "1300"),
    bracket(20, 1_000_000, 2_000_000, "0.025", "6300"),
    bracket(10, 2_000_000, 10_000_000, "0.05", "56300"),
    bracket(5, 10_000_000, 20_000_000, "0.1", "556300"),
)


def instrument(symbol: str = "BTCUSDT", **changes: Any) -> Instrument:
    made = Instrument(
        symbol=symbol,
        tick_size=D("0.1"),
        step_size=D("0.001"),
        quantity_min=D("0.001"),
        quantity_max=D(1000),
        notional_min_usdt=D(50),
        taker_fee_rate=D("0.0005"),
        brackets=BTC_BRACKETS,
    )
    return msgspec.structs.replace(made, **changes)


def tick(symbol: str = "BTCUSDT", price: Decimal = PRICE, received_at: datetime = NOW) -> Tick:
    return Tick(
        symbol=symbol,
        bid=price,
        ask=price,
        last=price,
        mark=price,
        quote_volume_24h_usdt=D(1_000_000_000),
        exchange_time=received_at,
        received_at=received_at,
    )


def signal(
    signal_id: str = "sig-1", symbol: str = "BTCUSDT", side: Side = Side.LONG, **changes: Any
) -> Signal:
    made = Signal(
        signal_id=signal_id,
        dedupe_key=signal_id,
        origin=Origin.ALERT,
        strategy="trend",
        symbol=symbol,
        action=Action(side.value),
        confidence=D("0.9"),
        price=D(50_000),
        received_at=NOW,
        alert_text="{}",
    )
    return msgspec.structs.replace(made, **changes)


def gates(confidence: str = "0.9", score: str = "0.8", final: str = "0.95") -> tuple[Gate, ...]:
    return (
        Gate(name="confidence", value=D(confidence), minimum=D("0.25")),
        Gate(name="phoenix95_score", value=D(score), minimum=D("0.45")),
        Gate(name="final_confidence", value=D(final), minimum=D("0.85")),
    )


def analysis(**changes: Any) -> Analysis:
    made = Analysis(
        scorer="phoenix95",
        price=D(50_000),
        rsi=D(50),
        macd=D(0),
        quote_volume_24h_usdt=D(1_000_000_000),
        open_positions=0,
        factors=(),
        technical=D("0.9"),
        phoenix=D("0.8"),
        market=D("0.7"),
        phoenix95_score=D("0.8"),
        final_confidence=D("0.95"),
        risk_level=RiskLevel.LOW,
        gates=gates(),
    )
    return msgspec.structs.replace(made, **changes)


def proposal(
    made: Signal | None = None,
    *,
    score: Analysis | None = None,
    edge: EdgeEstimate | None = EDGE,
    is_manual: bool = False,
) -> Proposal:
    used = made or signal()
    return Proposal(
        signal=used,
        side=Side(used.action.value),
        analysis=None if is_manual else score or analysis(),
        edge=edge,
    )


def analysed(made: Signal | None = None, edge: EdgeEstimate | None = EDGE) -> AnalysisCompleted:
    return AnalysisCompleted(signal=made or signal(), analysis=analysis(), edge=edge)


def account(equity: int | Decimal = 10_000, **changes: Any) -> Account:
    made = Account(
        wallet_usdt=D(equity),
        equity_usdt=D(equity),
        available_usdt=D(equity),
        snapshot_taken_at=NOW,
        day=NOW.date(),
        day_start_equity_usdt=D(equity),
        peak_equity_usdt=D(equity),
    )
    return msgspec.structs.replace(made, **changes)


def reservation(signal_id: str = "sig-0", symbol: str = "ETHUSDT", **changes: Any) -> Reservation:
    made = Reservation(
        signal_id=signal_id,
        strategy="trend",
        symbol=symbol,
        side=Side.LONG,
        state=ReservationState.OPEN,
        quantity=D("0.1"),
        entry_price=D(2_000),
        notional_usdt=D(200),
        margin_usdt=D(10),
        risk_usdt=D("4.2"),
        reserved_at=NOW - seconds(600),
        valid_until=NOW - seconds(570),
        opened_at=NOW - seconds(599),
        snapshot_at=NOW,
    )
    return msgspec.structs.replace(made, **changes)


def held(signal_id: str = "sig-0", symbol: str = "ETHUSDT", **changes: Any) -> Reservation:
    """An approval whose position is not there yet."""
    made = reservation(
        signal_id,
        symbol,
        state=ReservationState.HELD,
        opened_at=None,
        snapshot_at=None,
        reserved_at=NOW - seconds(1),
        valid_until=NOW + seconds(29),
    )
    return msgspec.structs.replace(made, **changes)


def book(*reservations: Reservation, account_: Account | None = None, **changes: Any) -> Book:
    made = Book(account=account_ or account(), reservations={each.signal_id: each for each in reservations})
    return msgspec.structs.replace(made, **changes)


def market(**changes: Any) -> Market:
    made = Market(instrument=instrument(), tick=tick(), correlations=Correlations())
    return msgspec.structs.replace(made, **changes)


def limits(**changes: Any) -> Limits:
    return msgspec.structs.replace(PROFILES[Profile.MISSION], **changes)


def case(
    *,
    proposal_: Proposal | None = None,
    book_: Book | None = None,
    market_: Market | None = None,
    limits_: Limits | None = None,
    now: datetime = NOW,
    disk: DiskSpace | None = None,
) -> Case:
    return Case(
        proposal=proposal_ or proposal(),
        book=book_ or book(),
        market=market_ or market(),
        limits=limits_ or limits(),
        now=now,
        disk=disk,
    )


def bars(*closes: str) -> list[Bar]:
    return [
        Bar(
            opened_at=NOW + timedelta(minutes=index),
            open=D(close),
            high=D(close),
            low=D(close),
            close=D(close),
            volume=D(1),
        )
        for index, close in enumerate(closes)
    ]


def found(checks: tuple[Check, ...], name: str) -> Check:
    return next(each for each in checks if each.name == name)


def position(signal_id: str = "sig-0", **changes: Any) -> Position:
    made = Position(
        signal_id=signal_id,
        strategy="trend",
        symbol="ETHUSDT",
        side=Side.LONG,
        quantity=D("0.2"),
        entry_price=D(2_001),
        leverage=20,
        margin_usdt=D("20.01"),
        risk_usdt=D("8.5"),
        stop_price=D("1960.9"),
        take_profit_price=D("2041.1"),
        opened_at=NOW,
        version=1,
    )
    return msgspec.structs.replace(made, **changes)


def shown(signal_id: str | None = "sig-0", **changes: Any) -> SnapshotPosition:
    made = SnapshotPosition(
        signal_id=signal_id,
        symbol="ETHUSDT",
        side=Side.LONG,
        quantity=D("0.2"),
        entry_price=D(2_001),
        mark_price=D(2_002),
        liquidation_price=D(1_910),
        leverage=20,
        margin_usdt=D("20.01"),
        unrealised_pnl_usdt=D("0.2"),
        stop_price=D("1960.98"),
    )
    return msgspec.structs.replace(made, **changes)


def snapshot(
    *positions: SnapshotPosition, taken_at: datetime = NOW, equity: int | Decimal = 10_000
) -> AccountSnapshot:
    return AccountSnapshot(
        taken_at=taken_at,
        wallet_usdt=D(equity),
        equity_usdt=D(equity),
        available_usdt=D(equity),
        positions=positions,
    )
