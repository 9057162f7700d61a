"""Which fault strikes whom and when: matching, arming, dice, time, counting, and what cannot be armed."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from infrastructure.paper_exchange.fault_kinds import KINDS, FaultKind, vocabulary
from infrastructure.paper_exchange.fault_orders import FOR_MS_MAX, FaultError, FaultOrder, read_order
from infrastructure.paper_exchange.faults import ARMED_MAX, Fault, FaultState, Seen, Switchboard, plays
from tests.unit.paper_exchange.builders import RULES, START_MS

OPERATIONS = {"place_order", "order", "cancel_order", "place_algo", "POST /fapi/v1/order"}
EVERY_KIND = frozenset(FaultKind)
EXAMPLES: dict[str, Any] = {"code": -1021, "share": "0.5", "symbol": "BTCUSDT", "asset": "BNFCR"}
ENTRY = Seen("place_order", "POST /fapi/v1/order", "BTCUSDT", "p95x-abc-e")


@dataclass
class Panel:
    """A switchboard and its clock."""

    now_ms: int = START_MS
    board: Switchboard = field(init=False)

    def __post_init__(self) -> None:
        self.board = Switchboard(lambda: self.now_ms)

    def arm(self, kind: str, **told: Any) -> Fault:
        return self.board.arm(read(kind, **told))

    def strikes(self, seen: Seen = ENTRY) -> bool:
        return self.board.strike(EVERY_KIND, seen) is not None

    def hides(self, number: int, age_ms: int = 0, kind: FaultKind = FaultKind.HIDDEN_ORDER) -> bool:
        return self.board.hides(kind, Seen("order", "", "BTCUSDT", "x-e"), number, age_ms)


@pytest.fixture
def panel() -> Panel:
    return Panel()


def read(kind: str, **told: Any) -> FaultOrder:
    return read_order(json.dumps({"kind": kind} | told).encode(), RULES, OPERATIONS)


# -- matching --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "matcher",
    [
        {},
        {"operation": "any"},
        {"operation": "place_order"},
        {"operation": "POST /fapi/v1/order"},
        {"symbol": "BTCUSDT"},
        {"role": "-e"},
        {"operation": "place_order", "symbol": "BTCUSDT", "role": "-e"},
    ],
)
def test_a_fault_strikes_what_its_matcher_means(panel: Panel, matcher: dict[str, str]) -> None:
    panel.arm("unknown_503", **matcher)
    assert panel.strikes()


@pytest.mark.parametrize(
    "matcher", [{"operation": "order"}, {"symbol": "ETHUSDT"}, {"role": "-s"}, {"role": "-e1"}]
)
def test_a_fault_spares_everything_else(panel: Panel, matcher: dict[str, str]) -> None:
    fault = panel.arm("unknown_503", **matcher)
    assert not panel.strikes()
    assert fault.fired == 0


@pytest.mark.parametrize(
    ("client_id", "role", "expected"),
    [
        ("p95x-abc-e", "-e", True),
        ("p95x-abc-c1", "-c1", True),
        ("p95x-abc-c12", "-c1", False),
        ("p95x-abc-c12", "-c", True),
        ("p95x-abc-s", "-c", False),
        ("", "-e", False),
    ],
)
def test_a_role_is_the_end_of_the_client_id(client_id: str, role: str, *, expected: bool) -> None:
    assert plays(client_id, role) is expected


def test_throttling_spares_what_reduces(panel: Panel) -> None:
    panel.arm("throttled")
    assert not panel.strikes(ENTRY._replace(sheltered=True))
    assert panel.strikes()


def test_partial_fills_are_for_entries_unless_a_role_says_otherwise(panel: Panel) -> None:
    close = Seen("place_order", "", "BTCUSDT", "x-c1", reduces=True)
    panel.arm("partial_fill", share="0.5")
    assert not panel.strikes(close)
    panel.arm("partial_fill", share="0.5", role="-c")
    assert panel.strikes(close)


def test_the_oldest_matching_fault_strikes_first(panel: Panel) -> None:
    panel.arm("unknown_503", symbol="ETHUSDT")
    first, second = panel.arm("banned"), panel.arm("delay", delay_ms=5)
    assert [panel.board.strike(EVERY_KIND, ENTRY) for _ in range(3)] == [first, second, None]


# -- arming ----------------------------------------------------------------------------------------


def test_nothing_is_armed_at_first_and_nothing_remains(panel: Panel) -> None:
    assert not panel.board.armed
    fault = panel.arm("unknown_503", times=2)
    assert [panel.strikes() for _ in range(3)] == [True, True, False]
    assert (fault.state, fault.fired) == (FaultState.SPENT, 2)
    assert not panel.board.armed


def test_a_fault_ends_with_its_time(panel: Panel) -> None:
    fault = panel.arm("unknown_503", for_ms=1_000)
    panel.now_ms += 999
    assert panel.strikes()
    panel.now_ms += 1
    assert not panel.strikes()
    assert (fault.state, fault.fired) == (FaultState.EXPIRED, 1)
    assert not panel.board.armed


def test_a_forgotten_fault_heals_itself(panel: Panel) -> None:
    panel.arm("unknown_503")
    panel.now_ms += FOR_MS_MAX
    assert panel.board.count == 0


def test_the_same_seed_throws_the_same_dice() -> None:
    def thrown(seed: int) -> list[bool]:
        panel = Panel()
        panel.arm("unknown_503", probability=0.3, seed=seed)
        return [panel.strikes() for _ in range(200)]

    assert thrown(7) == thrown(7)
    assert thrown(7) != thrown(8)
    assert 30 < sum(thrown(7)) < 90


def test_only_so_many_can_be_armed(panel: Panel) -> None:
    for _ in range(ARMED_MAX):
        panel.arm("banned")
    with pytest.raises(FaultError, match="heal some"):
        panel.arm("banned")


def test_healing_ends_one_or_all_and_keeps_the_counts(panel: Panel) -> None:
    first, second, third = (panel.arm("banned", times=5) for _ in range(3))
    panel.strikes()
    assert panel.board.heal(second.number) == [second]
    assert panel.board.heal() == [first, third]
    assert panel.board.heal(first.number) == []
    report = panel.board.report()
    assert report["armed"] == []
    assert [(row["id"], row["state"], row["fired"]) for row in report["past"]] == [
        (2, "healed", 0),
        (1, "healed", 1),
        (3, "healed", 0),
    ]
    assert report["fired"] == {"banned": 1}


def test_a_report_can_be_written_as_json(panel: Panel) -> None:
    for kind, row in KINDS.items():
        needed = {name: EXAMPLES.get(name, 5) for name in row.needs}
        panel.arm(kind, **needed)
    report = json.loads(json.dumps(panel.board.report()))
    assert {row["fault"]["kind"] for row in report["armed"]} == {kind.value for kind in FaultKind}
    assert vocabulary().keys() == {kind.value for kind in FaultKind}


# -- hidden things ---------------------------------------------------------------------------------


def test_a_fresh_thing_is_hidden_until_it_is_old_enough_and_counted_once(panel: Panel) -> None:
    fault = panel.arm("hidden_order", hide_ms=1_000)
    assert panel.hides(1)
    panel.now_ms += 999
    assert panel.hides(1, age_ms=999)
    panel.now_ms += 1
    assert not panel.hides(1, age_ms=1_000)
    assert (fault.fired, fault.state) == (1, FaultState.SPENT)


def test_what_was_there_before_and_other_kinds_stay_visible(panel: Panel) -> None:
    fault = panel.arm("hidden_order", hide_ms=1_000)
    assert not panel.hides(1, age_ms=1)
    assert not panel.hides(2, kind=FaultKind.HIDDEN_ALGO)
    assert fault.fired == 0


def test_only_so_many_things_are_hidden(panel: Panel) -> None:
    panel.arm("hidden_order", hide_ms=1_000, times=2)
    assert [panel.hides(number) for number in (1, 2, 3, 1, 2, 3)] == [True, True, False, True, True, False]


def test_the_dice_are_thrown_once_for_each_thing(panel: Panel) -> None:
    panel.arm("hidden_order", hide_ms=1_000, probability=0.5)
    first = [panel.hides(number) for number in range(50)]
    assert first == [panel.hides(number) for number in range(50)]
    assert 10 < sum(first) < 40


# -- the clock -------------------------------------------------------------------------------------


def test_the_youngest_skew_counts_and_ends_with_its_time(panel: Panel) -> None:
    panel.arm("clock_skew", skew_ms=5_000)
    youngest = panel.arm("clock_skew", skew_ms=-3_000, for_ms=100)
    assert panel.board.exchange_ms() == panel.now_ms - 3_000
    assert youngest.fired == 1
    panel.now_ms += 100
    assert panel.board.exchange_ms() == panel.now_ms + 5_000
    panel.board.heal()
    assert panel.board.exchange_ms() == panel.now_ms


# -- what cannot be armed --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "told", "reason"),
    [
        ("nonsense", {}, "one of unknown_503, "),
        ("unknown_503", {"surprise": 1}, "surprise"),
        ("unknown_503", {"times": 0}, "times"),
        ("unknown_503", {"times": 10**9}, "times"),
        ("unknown_503", {"for_ms": 10**9}, "for_ms"),
        ("unknown_503", {"symbol": "NOPEUSDT"}, "not listed"),
        ("unknown_503", {"operation": "dance"}, "dance"),
        ("unknown_503", {"delay_ms": 5}, "delay_ms means nothing"),
        ("unknown_503", {"probability": 0}, "probability"),
        ("unknown_503", {"probability": 1.5}, "probability"),
        ("unknown_503", {"probability": "NaN"}, "probability"),
        ("unknown_503", {"seed": 5}, "seed"),
        ("service_unavailable", {"executed": True}, "executed means nothing"),
        ("delay", {}, "needs delay_ms"),
        ("delay", {"delay_ms": 10**6}, "delay_ms"),
        ("delay", {"delay_ms": 5, "execution": "never"}, "execution"),
        ("throttled", {"operation": "order"}, "cannot meet"),
        ("refused", {}, "needs code"),
        ("refused", {"code": 5}, "code"),
        ("refused", {"code": -9_999}, "give msg"),
        ("partial_fill", {"share": 1}, "share"),
        ("partial_fill", {"share": 0}, "share"),
        ("hidden_order", {"hide_ms": 5, "operation": "algo"}, "cannot meet"),
        ("stream_silent", {}, "needs for_ms"),
        ("stream_silent", {"for_ms": 5, "times": 1}, "times means nothing"),
        ("stream_drop", {"for_ms": 5}, "for_ms means nothing"),
        ("stream_late", {"delay_ms": 5, "operation": "place_order"}, "cannot meet"),
        ("clock_skew", {"skew_ms": 10**6}, "skew_ms"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused_with_the_reason(
    kind: str, told: dict[str, Any], reason: str
) -> None:
    with pytest.raises(FaultError, match=reason):
        read(kind, **told)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"unknown_503"', b"{}"])
def test_a_body_that_is_no_wish_is_refused(body: bytes) -> None:
    with pytest.raises(FaultError):
        read_order(body, RULES, OPERATIONS)
