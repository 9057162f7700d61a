"""A rolling restart: one at a time, never the last that answers, and completed by a second run."""

from collections.abc import Collection, Iterable

import pytest

from infrastructure.local.bring_up import StartError
from infrastructure.local.plan import Probe, Program, UnknownProgramError
from infrastructure.local.rolling import RollingRestart, RollRefused, rollable
from infrastructure.local.supervision import SupervisorError
from tests.unit.local.test_plan import table


class Killed(BaseException):
    """What ends a process between two of its steps."""


class System:
    """Remembers what was done to it; a stopped program is not ready, and one in `broken` never is again."""

    def __init__(self, replicas: int = 2) -> None:
        self.table = table(replicas)
        self.ready = {program.name for program in self.table}
        self.drained: set[str] = set()
        self.done: list[str] = []
        self.broken: set[str] = set()
        self.dies_at: str | None = None

    def stop(self, names: Iterable[str], *, timeout_s: float) -> None:
        assert timeout_s > 10, "a service may take 10 s to finish what it holds"
        for name in names:
            self._step(f"stop {name}")
            self.ready.discard(name)

    def adopt(self, name: str) -> None:
        self._step(f"adopt {name}")

    def start(self, name: str) -> None:
        if name == "gone":
            raise SupervisorError(name)
        self.done.append(f"start {name}")

    def drain(self, names: Collection[str]) -> None:
        self._step(f"drain {' '.join(names)}".strip())
        self.drained = set(names)

    def bring_up(self, program: Program) -> None:
        self._step(f"bring up {program.name}")
        if program.name in self.broken:
            raise StartError(f"{program.name} ends right after it starts")
        self.ready.add(program.name)

    def answers(self, probe: Probe) -> bool:
        return any(probe in program.ready and program.name in self.ready for program in self.table)

    def roll(self, *names: str, with_gap: bool = False) -> None:
        chosen = rollable(self.table, names)
        rolling = RollingRestart(
            table=self.table,
            supervisor=self,
            drain=self.drain,
            answers=self.answers,
            bring_up=self.bring_up,
            tell=lambda _line: None,
        )
        rolling.check(chosen, with_gap=with_gap)
        rolling.run(chosen)

    def restarted(self) -> list[str]:
        return [step.removeprefix("bring up ") for step in self.done if step.startswith("bring up ")]

    def _step(self, step: str) -> None:
        if step == self.dies_at:
            raise Killed(step)
        self.done.append(step)


def test_each_instance_is_out_of_nginx_before_it_stops_and_back_before_the_next_one() -> None:
    system = System()
    system.roll("risk")
    assert system.done == [
        "drain risk-0", "stop risk-0", "adopt risk-0", "bring up risk-0", "drain",
        "drain risk-1", "stop risk-1", "adopt risk-1", "bring up risk-1", "drain",
        "drain",
    ]  # fmt: skip


def test_without_names_all_services_are_restarted_readers_before_writers() -> None:
    system = System()
    system.roll()
    assert system.restarted() == [
        "notify-0", "notify-1", "execute-0", "execute-1", "risk-0", "risk-1", "brain-0", "brain-1",
    ]  # fmt: skip


def test_the_only_instance_is_left_alone_unless_a_gap_is_accepted() -> None:
    system = System(replicas=1)
    with pytest.raises(RollRefused, match=r"(?s)brain-0\n.*--replicas 2.*--with-gap"):
        system.roll()
    assert system.done == []
    system.roll(with_gap=True)
    assert system.restarted() == ["notify-0", "execute-0", "risk-0", "brain-0"]
    assert "drain brain-0" not in system.done, "nginx must go on asking the only one"


@pytest.mark.parametrize("single", ["market_feed", "paper_exchange"])
def test_feed_and_paper_exchange_are_restarted_when_they_are_named_and_a_gap_is_accepted(single: str) -> None:
    system = System()
    with pytest.raises(RollRefused, match=single):
        system.roll(single)
    system.roll(single, "brain", with_gap=True)
    assert system.restarted() == [single, "brain-0", "brain-1"]


@pytest.mark.parametrize("name", ["postgres", "nginx", "kafka"])
def test_servers_are_not_restarted_this_way(name: str) -> None:
    with pytest.raises(UnknownProgramError, match=name):
        System().roll(name)


def test_nothing_is_touched_while_the_other_instance_is_not_ready() -> None:
    system = System()
    system.ready.discard("execute-1")
    with pytest.raises(RollRefused, match="execute-1"):
        system.roll("brain", "execute-0")
    assert system.done == []


def test_nothing_is_touched_while_two_instances_of_a_service_are_not_ready() -> None:
    system = System(replicas=3)
    system.ready -= {"brain-0", "brain-2"}
    with pytest.raises(RollRefused, match="brain-0, brain-2"):
        system.roll()
    assert system.done == []


def test_the_one_that_is_not_ready_is_restarted_first() -> None:
    system = System()
    system.ready.discard("brain-1")
    system.roll("risk", "brain")
    assert system.restarted() == ["risk-0", "risk-1", "brain-1", "brain-0"]


def test_one_that_does_not_come_up_ends_the_run_and_the_other_goes_on_answering() -> None:
    system = System()
    system.broken.add("risk-0")
    with pytest.raises(StartError):
        system.roll()
    assert "stop risk-1" not in system.done
    assert system.done[-2:] == ["start risk-0", "drain"], "the supervisor goes on trying it"


STEPS = [
    "drain brain-0",
    "stop brain-0",
    "adopt brain-0",
    "bring up brain-0",
    "drain",
    "drain brain-1",
    "stop brain-1",
]


@pytest.mark.parametrize("step", STEPS)
def test_interrupted_anywhere_a_second_run_completes_it(step: str) -> None:
    system = System()
    system.dies_at = step
    with pytest.raises(Killed):
        system.roll("brain")
    system.dies_at = None
    system.done.clear()
    system.roll("brain")
    assert sorted(system.restarted()) == ["brain-0", "brain-1"]
    assert {"brain-0", "brain-1"} <= system.ready
    assert not system.drained


@pytest.mark.parametrize("step", STEPS)
def test_never_are_both_instances_away(step: str) -> None:
    """Whatever it dies at, somebody is ready and gets requests."""
    system = System()
    system.dies_at = step
    with pytest.raises(Killed):
        system.roll("brain")
    assert {"brain-0", "brain-1"} & system.ready - system.drained
