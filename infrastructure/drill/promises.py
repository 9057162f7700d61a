"""The promises as checks: each takes the final truth of a system at rest and returns what broke it.

Pure. A breach is a sentence for a person. What cannot be seen in the final truth (the price when an old alert
came, who asked first) is not judged here.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from infrastructure.drill.truth import FILLED_STATES, OPEN_STATES, EntryRow, Truth, VenueAlgo
from shared import ids
from shared.ids import OrderRole

ENTRY_ENDS = frozenset({"rejected", "expired", "failed", "opened", "no_op"})
EXIT_ENDS = frozenset({"closed", "no_op", "failed"})
EXTERNAL = "external:"
"""How RISK's ids of positions begin that are not ours."""
FILLED_YET_FAILED = ("unknown", "parked", "closed:")
"""How the reason of a failed entry begins that had a position all the same: its order was given up and
adopted, its message was parked after it was sent, it was closed before it stood protected.
"""

Check = Callable[[Truth, timedelta], Iterator[str]]


@dataclass(frozen=True, kw_only=True)
class Promise:
    """One promise: its number, what it says, how it is judged."""

    number: str
    title: str
    check: Check


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of one promise."""

    promise: Promise
    breaches: tuple[str, ...]

    @property
    def held(self) -> bool:
        """Whether nothing broke it."""
        return not self.breaches


def judge(truth: Truth, unprotected_max: timedelta) -> list[Verdict]:
    """Return the verdict on every promise.

    `unprotected_max` is the longest that a position may have been without its stop: the budget of P4, plus
    however long the faults themselves kept the exchange or EXECUTE away.
    """
    return [Verdict(promise=each, breaches=tuple(each.check(truth, unprotected_max))) for each in PROMISES]


def _accepted_is_recorded(truth: Truth, _: timedelta) -> Iterator[str]:
    known = {each.signal_id for each in truth.signals}
    for signal_id in sorted(truth.accepted):
        if truth.story_of(signal_id) not in known:
            yield f"{signal_id} was answered 200 and is not recorded"


def _every_signal_has_its_outcome(truth: Truth, _: timedelta) -> Iterator[str]:
    for each in truth.signals:
        allowed = EXIT_ENDS if each.action == "exit" else ENTRY_ENDS
        if each.outcome is None:
            yield f"{each.signal_id} ({each.action}) has no outcome"
        elif each.outcome not in allowed:
            yield f"{each.signal_id} ({each.action}) ended as {each.outcome}"


def _outcomes_are_true(truth: Truth, _: timedelta) -> Iterator[str]:
    filled = {each.signal_id for each in truth.entries if each.state in FILLED_STATES}
    for each in truth.signals:
        if each.outcome == "opened" and each.signal_id not in filled:
            yield f"{each.signal_id} is recorded as opened and never filled"
        if each.signal_id not in filled or each.outcome in (None, "opened"):
            continue
        if each.outcome != "failed" or not (each.reason or "").startswith(FILLED_YET_FAILED):
            yield f"{each.signal_id} is recorded as {each.outcome}({each.reason}) and was filled"


def _one_entry_order_per_signal(truth: Truth, _: timedelta) -> Iterator[str]:
    ours = [each for each in truth.orders if ids.is_ours(each.client_id, truth.installation)]
    entries = Counter(each.client_id for each in ours if _role(each.client_id) == OrderRole.ENTRY.value)
    for client_id, count in sorted(entries.items()):
        if count > 1:
            yield f"{client_id} was accepted {count} times"
    known = {_stem(each.client_id) for each in truth.entries}
    for each in ours:
        if _stem(each.client_id) not in known:
            yield f"order {each.client_id} belongs to no entry in the books"


def _no_entry_fills_unnoticed(truth: Truth, _: timedelta) -> Iterator[str]:
    booked = {each.client_id: each for each in truth.entries}
    for each in truth.orders:
        entry = booked.get(each.client_id)
        if entry is None or each.executed_quantity == 0:
            continue
        if entry.state not in FILLED_STATES:
            yield f"{each.client_id} filled {each.executed_quantity} and stands as {entry.state}"
        elif entry.filled_quantity != each.executed_quantity:
            yield f"{each.client_id} filled {each.executed_quantity}, booked {entry.filled_quantity}"


def _every_position_is_protected(truth: Truth, unprotected_max: timedelta) -> Iterator[str]:
    active = {each.client_id for each in truth.algos if each.is_standing}
    stops: dict[str, list[VenueAlgo]] = defaultdict(list)
    for algo in truth.algos:
        stops[algo.client_id].append(algo)
    for each in truth.entries:
        if each.first_fill_at is None:
            continue
        stop, target = _protection_of(each)
        if each.state in OPEN_STATES and not {stop, target} <= active:
            yield f"{each.signal_id} on {each.symbol} is open without its stop and target"
        longest = _longest_gap(each.first_fill_at, each.closed_at, stops[stop])
        if longest is None:
            yield f"{each.signal_id} on {each.symbol} never had a stop"
        elif longest > unprotected_max:
            yield f"{each.signal_id} on {each.symbol} was {longest.total_seconds():.1f} s without a stop"


def _longest_gap(
    opened_at: datetime, closed_at: datetime | None, stops: Sequence[VenueAlgo]
) -> timedelta | None:
    """Return the longest time within a position's life in which no stop was active.

    At every moment, not only at the first: a stop that was cancelled and came back late leaves a gap. None
    when a position that is open has had no stop at all. What follows the last stop of an open position is not
    known here; that it has one now is judged apart.
    """
    if not stops and closed_at is None:
        return None
    covered_until, longest = opened_at, timedelta(0)
    for stop in sorted(stops, key=lambda order: order.created_at):
        longest = max(longest, stop.created_at - covered_until)
        covered_until = max(covered_until, stop.changed_at)
        if stop.is_standing:
            return longest
    return longest if closed_at is None else max(longest, closed_at - covered_until)


def _reservations_are_open_positions(truth: Truth, _: timedelta) -> Iterator[str]:
    held = {each.signal_id for each in truth.entries if each.state in OPEN_STATES}
    ours = {each for each in truth.reserved if not each.startswith(EXTERNAL)}
    for signal_id in sorted(ours - held):
        yield f"risk of {signal_id} is reserved and nothing is open"
    for signal_id in sorted(held - ours):
        yield f"{signal_id} is open and its risk is not reserved"


def _fills_positions_and_books_agree(truth: Truth, _: timedelta) -> Iterator[str]:
    traded: dict[str, Decimal] = defaultdict(Decimal)
    booked: dict[str, Decimal] = defaultdict(Decimal)
    for trade in truth.trades:
        traded[trade.symbol] += trade.quantity if trade.side == "buy" else -trade.quantity
    for entry in truth.entries:
        if entry.state in OPEN_STATES:
            booked[entry.symbol] += entry.filled_quantity * (1 if entry.side == "long" else -1)
    for symbol in sorted(traded.keys() | booked.keys() | truth.positions.keys()):
        held = truth.positions.get(symbol, Decimal(0))
        if not traded[symbol] == held == booked[symbol]:
            yield f"{symbol}: trades add up to {traded[symbol]}, held are {held}, booked {booked[symbol]}"


def _nothing_of_ours_is_left_behind(truth: Truth, _: timedelta) -> Iterator[str]:
    owned = {
        client_id for each in truth.entries if each.state in OPEN_STATES for client_id in _protection_of(each)
    }
    for algo in truth.algos:
        if algo.is_standing and _is_ours(truth, algo.client_id) and algo.client_id not in owned:
            yield f"{algo.client_id} on {algo.symbol} stands and protects nothing"
    for order in truth.orders:
        if order.is_open and _is_ours(truth, order.client_id):
            yield f"{order.client_id} on {order.symbol} is still {order.status}"


def _exits_are_answered(truth: Truth, _: timedelta) -> Iterator[str]:
    for each in truth.signals:
        if each.action == "exit" and each.outcome == "failed" and each.reason != "parked":
            yield f"exit {each.signal_id} failed: {each.reason}"


def _dead_letters_are_accounted_for(truth: Truth, _: timedelta) -> Iterator[str]:
    ended = {each.signal_id: each.outcome for each in truth.signals}
    for letter in truth.dead_letters:
        if letter.signal_id is not None and ended.get(letter.signal_id) is None:
            yield f"{letter.schema} of {letter.signal_id} lies dead in {letter.queue}, nobody was told"


def _nothing_is_owed(truth: Truth, _: timedelta) -> Iterator[str]:
    if truth.messages_owed:
        yield f"{truth.messages_owed} committed messages were never published"


def _money_is_conserved(truth: Truth, _: timedelta) -> Iterator[str]:
    if not truth.is_complete:
        yield "the exchange has forgotten some of its rows: nothing can be proved from the rest"
        return
    change, earned = truth.wallet_usdt - truth.wallet_before_usdt, truth.earned_usdt
    if change != earned:
        yield f"the wallet changed by {change} USDT, its trades and charges by {earned}"
    if truth.positions:
        return  # what is open is not booked yet
    strangers = [each for each in truth.trades if (each.symbol, each.trade_id) not in truth.booked_trades]
    booked = sum((each.net_pnl_usdt or Decimal(0) for each in truth.entries), Decimal(0))
    elsewhere = sum((each.net_usdt for each in strangers), Decimal(0))
    if booked + elsewhere != earned:
        yield f"the books say {booked} USDT (and {elsewhere} traded by others), the exchange {earned}"


def _role(client_id: str) -> str:
    return client_id.rpartition("-")[2][:1]


def _stem(client_id: str) -> str:
    return client_id.rpartition("-")[0]


def _is_ours(truth: Truth, client_id: str) -> bool:
    return ids.is_ours(client_id, truth.installation)


def _protection_of(entry: EntryRow) -> tuple[str, str]:
    stem = _stem(entry.client_id)
    return f"{stem}-{OrderRole.STOP_LOSS.value}", f"{stem}-{OrderRole.TAKE_PROFIT.value}"


PROMISES = (
    Promise(number="P1", title="accepted means durable", check=_accepted_is_recorded),
    Promise(number="P2", title="one outcome for every signal", check=_every_signal_has_its_outcome),
    Promise(number="P2", title="the outcome is what happened", check=_outcomes_are_true),
    Promise(number="P2", title="dead letters have told their end", check=_dead_letters_are_accounted_for),
    Promise(number="P2", title="no message is owed", check=_nothing_is_owed),
    Promise(number="P3", title="at most one entry order per signal", check=_one_entry_order_per_signal),
    Promise(number="P4", title="no position without a stop", check=_every_position_is_protected),
    Promise(number="P5", title="reservations are open positions", check=_reservations_are_open_positions),
    Promise(number="P6", title="no fill goes unnoticed", check=_no_entry_fills_unnoticed),
    Promise(number="P7", title="fills = position = books", check=_fills_positions_and_books_agree),
    Promise(number="P7", title="no orphan order of ours", check=_nothing_of_ours_is_left_behind),
    Promise(number="P7", title="money is conserved", check=_money_is_conserved),
    Promise(number="P9", title="every exit is answered", check=_exits_are_answered),
)
"""In the order in which they are shown."""
