"""Deposits and withdrawals are found, counted once, and in the report of the equity that has them (F8)."""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

import pytest

from infrastructure.paper_exchange.commands import SetWallet
from services.execute import account_ledger
from services.execute.account_ledger import AccountLedger, Money
from services.execute.memory_outbox import MemoryOutbox
from services.execute.transfers import IncomeRow
from services.execute.venue import VenueAccount
from shared.models import AlertRaised
from tests.twins.execution import World
from tests.twins.ledger import MemoryLedger
from tests.twins.venue import refused
from tests.unit.execute.builders import NOON

D = Decimal


def counted(money: Money) -> tuple[object, object]:
    assert money.net_transfers_usdt is not None
    return money.net_transfers_usdt, money.unexplained_usdt


@dataclass
class Bench:
    """One account, and who keeps it: `ledger()` is a process."""

    world: World = field(default_factory=World)
    store: MemoryLedger = field(default_factory=MemoryLedger)
    seconds: float = 0.0

    def ledger(self) -> AccountLedger:
        world = self.world
        return AccountLedger(world.exchange, self.store, world.outbox, world.clock, lambda: self.seconds)

    def set_wallet(self, balance: int) -> None:
        self.world.venue.core.execute(SetWallet(D(balance)))

    def income_reads(self) -> int:
        return len(self.world.venue.sent("GET income"))


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_transfer_is_in_the_same_report_as_the_equity_that_contains_it(bench: Bench) -> None:
    ledger = bench.ledger()
    assert counted(await ledger.look()) == (0, 0)
    bench.seconds += 5
    bench.set_wallet(9_300)
    money = await ledger.look()
    assert money.account.wallet_usdt == 9_300
    assert counted(money) == (-700, 0)


async def test_transfers_are_counted_once_over_restarts_and_replicas(bench: Bench) -> None:
    await bench.ledger().look()
    for balance in (12_000, 11_000, 25_000):
        bench.seconds += 5
        bench.set_wallet(balance)
        assert (await bench.ledger().look()).net_transfers_usdt == balance - 10_000
        assert (await bench.ledger().look()).net_transfers_usdt == balance - 10_000


async def test_transfers_of_the_same_millisecond_are_all_counted(bench: Bench) -> None:
    await bench.ledger().look()
    bench.world.venue.latency_s = 0.0
    for balance in (9_000, 11_500):
        bench.set_wallet(balance)
        assert (await bench.ledger().look()).net_transfers_usdt == balance - 10_000


async def test_what_trading_earned_and_paid_is_no_transfer(bench: Bench) -> None:
    ledger = bench.ledger()
    await ledger.look()
    bench.world.by_hand("BUY", "0.1")
    bench.set_wallet(8_000)
    bench.world.venue.price("51000")
    bench.world.by_hand("SELL", "0.1")
    bench.seconds += 5
    money = await ledger.look()
    rows = bench.store.transfers
    assert money.unexplained_usdt == 0
    assert money.net_transfers_usdt == sum(each.amount for each in rows.values()) != 0
    assert {each.kind for each in rows.values()} == {"TRANSFER"}


async def test_a_quiet_wallet_costs_one_read_a_minute(bench: Bench) -> None:
    ledger = bench.ledger()
    for _ in range(25):
        await ledger.look()
        bench.seconds += 5
    assert bench.income_reads() == 3


async def test_what_cannot_be_read_is_reported_as_unexplained_asked_less_often_and_heals(
    bench: Bench,
) -> None:
    ledger = bench.ledger()
    await ledger.look()
    bench.world.venue.fail("GET income", *[refused(-1102)] * 1_000)
    bench.set_wallet(9_300)
    before = bench.income_reads()
    for _ in range(60):
        bench.seconds += 5
        money = await ledger.look()
        assert counted(money) == (0, -700)
    assert bench.income_reads() - before <= 10
    bench.world.venue.heal()
    bench.seconds += 60
    money = await ledger.look()
    assert counted(money) == (-700, 0)


class LateHistory:
    """An exchange whose history lags behind the wallet; or the other way round."""

    def __init__(self) -> None:
        self.wallet = [D(1_000)]
        self.rows: list[IncomeRow] = []

    def clock_ahead(self) -> timedelta:
        return timedelta()

    async def account(self) -> VenueAccount:
        now = self.wallet.pop(0) if len(self.wallet) > 1 else self.wallet[0]
        return VenueAccount(wallet_usdt=now, equity_usdt=now, available_usdt=now)

    async def income_since(self, since: object) -> tuple[IncomeRow, ...]:
        return tuple(self.rows)

    def book(self, kind: str, amount: int, number: int = 1) -> None:
        self.rows.append(
            IncomeRow(
                kind=kind,
                tran_id=str(number),
                trade_id="",
                symbol="",
                asset="USDT",
                amount=D(amount),
                at=NOON,
            )
        )


async def test_history_and_wallet_that_come_one_after_the_other_are_never_half_counted() -> None:
    exchange, seconds = LateHistory(), [0.0]
    store = MemoryLedger()
    ledger = AccountLedger(exchange, store, MemoryOutbox(), lambda: NOON, lambda: seconds[0])
    await ledger.look()
    exchange.wallet = [D(1_500)]  # the wallet first
    assert counted(await ledger.look()) == (0, 500)
    seconds[0] += 5
    exchange.book("TRANSFER", 500)
    assert counted(await ledger.look()) == (500, 0)
    exchange.book("TRANSFER", -200, 2)  # the history first
    seconds[0] += 60
    assert counted(await ledger.look()) == (500, 0)
    exchange.wallet = [D(1_300)]
    seconds[0] += 5
    assert counted(await ledger.look()) == (300, 0)


async def test_a_history_that_can_never_be_read_does_not_hold_results_back_for_ever(bench: Bench) -> None:
    ledger = bench.ledger()
    await ledger.look()
    bench.world.venue.fail("GET income", *[refused(-1102)] * 1_000)
    bench.set_wallet(10_500)
    while (await ledger.look()).unexplained_usdt:
        bench.seconds += 5
        assert bench.seconds < account_ledger.UNEXPLAINED_MAX_S + account_ledger.RETRY_S_MAX + 10
    assert [each.correlation_id for each in bench.world.outbox.published] == ["account"]
    bench.world.venue.heal()
    bench.seconds += 120
    assert counted(await ledger.look()) == (0, 0)


async def test_what_stays_unexplained_becomes_a_result_and_is_reported_once() -> None:
    exchange, seconds, outbox = LateHistory(), [0.0], MemoryOutbox()
    ledger = AccountLedger(exchange, MemoryLedger(), outbox, lambda: NOON, lambda: seconds[0])
    await ledger.look()
    exchange.wallet = [D(800)]
    while (await ledger.look()).unexplained_usdt:
        seconds[0] += 5
        assert seconds[0] < account_ledger.UNEXPLAINED_MAX_S + account_ledger.RETRY_S_MAX + 10
    (told,) = outbox.published
    assert isinstance(told.payload, AlertRaised)
    assert told.payload.kind == "wallet_unexplained"
    assert counted(await ledger.look()) == (0, 0)


@pytest.mark.parametrize(
    ("kind", "symbol", "is_transfer"),
    [
        ("TRANSFER", "", True),
        ("INTERNAL_TRANSFER", "", True),
        ("COIN_SWAP_WITHDRAW", "", True),
        ("STRATEGY_UMFUTURES_TRANSFER", "", True),
        ("WELCOME_BONUS", "", True),
        ("SOMETHING_NEW", "", True),
        ("SOMETHING_NEW", "BTCUSDT", False),
        ("REFERRAL_KICKBACK", "", False),
        ("COMMISSION_REBATE", "", False),
        ("FUNDING_FEE", "BTCUSDT", False),
        ("REALIZED_PNL", "BTCUSDT", False),
    ],
)
def test_whose_money_a_row_is(kind: str, symbol: str, is_transfer: bool) -> None:
    row = IncomeRow(kind=kind, tran_id="1", trade_id="", symbol=symbol, asset="USDT", amount=D(1), at=NOON)
    assert row.is_transfer is is_transfer


async def test_history_is_read_page_by_page_to_its_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.execute.binance_client.INCOME_PER_READ_MAX", 3)
    bench.world.venue.latency_s = 0.0
    for balance in range(9_000, 9_010):
        bench.set_wallet(balance)
        bench.world.clock.advance(0.001)
    rows = await bench.world.exchange.income_since(NOON - timedelta(minutes=1))
    assert sum(each.amount for each in rows) == 9_009 - 10_000
    assert len({each.key for each in rows}) == len(rows) == 10
