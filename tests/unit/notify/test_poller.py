"""The loop that listens: what it confirms and when, and how it lives with a Telegram that does not answer."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from services.notify.chat import poller
from services.notify.chat.poller import Poller
from services.notify.chat.vocabulary import (
    Fetched,
    Place,
    Polled,
    PolledElsewhere,
    Trouble,
    Typed,
    Update,
)
from services.notify.telling.pacing import Busy, Refused, Unreachable
from tests.eventually import eventually, stays
from tests.unit.notify.facts import NOON


def typed(update_id: int, text: str = "/status") -> Fetched:
    return Fetched(update_id, Typed(update_id, 42, Place(42, is_private=True), text, NOON))


@dataclass
class Scene:
    """Everything around a poller: a scripted Telegram, a lease, a memory of updates, a handler."""

    script: list[Polled] = field(default_factory=list)
    introductions: list[str | Trouble] = field(default_factory=list)
    is_holder: bool = True
    is_away: bool = False
    offsets: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    counted: list[str] = field(default_factory=list)
    claimed: set[int] = field(default_factory=set)
    hold_up: asyncio.Event | None = None
    stopped: bool = False
    released: bool = False
    has_lapsed: bool = False
    now_s: float = 0.0

    async def introduce(self, menus: Mapping[str, Sequence[tuple[str, str]]]) -> str | Trouble:
        return self.introductions.pop(0) if self.introductions else "phoenix_bot"

    async def updates(self, offset: int) -> Polled:
        self.offsets.append(offset)
        if self.script:
            return self.script.pop(0)
        await asyncio.sleep(0.005)
        return []

    async def hold(self) -> bool:
        return self.is_holder

    async def release(self) -> None:
        self.released = True

    async def first_time(self, update_id: int) -> bool:
        if self.is_away:
            raise OSError("away")
        is_new = update_id not in self.claimed
        self.claimed.add(update_id)
        return is_new

    async def take(self, update: Update, bot_name: str) -> None:
        if self.hold_up is not None:
            await self.hold_up.wait()
        self.taken.append(update.update_id)

    async def tell_lapsed(self) -> None:
        self.has_lapsed = False

    def stop(self) -> None:
        self.stopped = True

    def asked(self, what: str) -> None:
        self.counted.append(what)

    def polled(self, answer: str) -> None:
        self.counted.append(answer)

    def poller(self) -> Poller:
        return Poller(self, self, self, self, self, self, {}, lambda: self.now_s)


@asynccontextmanager
async def running(scene: Scene) -> AsyncIterator[Poller]:
    made = scene.poller()
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_an_update_is_confirmed_by_the_poll_after_it_was_claimed_and_then_forgotten() -> None:
    scene = Scene(script=[[typed(7), typed(8)], []])
    async with running(scene):
        await eventually(lambda: len(scene.offsets) >= 3)

    assert scene.offsets[:3] == [0, 9, 0]
    assert scene.taken == [7, 8]


async def test_an_update_that_was_claimed_before_is_passed_over() -> None:
    scene = Scene(script=[[typed(7), typed(8)]], claimed={7})
    async with running(scene):
        await eventually(lambda: scene.taken == [8])


async def test_an_update_of_a_kind_we_did_not_ask_for_is_confirmed_and_passed_over() -> None:
    scene = Scene(script=[[Fetched(7, None), typed(8)]])
    async with running(scene):
        await eventually(lambda: scene.taken == [8])
    assert scene.claimed == {8}


async def test_what_could_not_be_claimed_is_not_confirmed() -> None:
    scene = Scene(script=[[typed(7)]], is_away=True)
    made = scene.poller()
    with pytest.raises(OSError, match="away"):  # the supervisor starts the loop again
        await made.run()
    scene.is_away, scene.script = False, [[typed(7)]]
    task = asyncio.create_task(made.run())
    await eventually(lambda: scene.taken == [7])
    task.cancel()
    assert scene.offsets[:2] == [0, 0]


async def test_who_does_not_hold_the_lease_asks_nobody() -> None:
    scene = Scene(is_holder=False)
    async with running(scene):
        await stays(lambda: not scene.offsets, 0.1)


@pytest.mark.parametrize(
    ("trouble", "name", "pause_s"),
    [
        (PolledElsewhere("409"), "polled_elsewhere", poller.ELSEWHERE_PAUSE_S),
        (Busy(33.0), "busy", 33.0),
        (Unreachable("no route"), "unreachable", 1.0),
        (Refused("401"), "refused", 1.0),
    ],
)
async def test_a_telegram_that_gives_nothing_is_left_alone_for_a_while(
    trouble: Trouble | PolledElsewhere, name: str, pause_s: float
) -> None:
    scene = Scene(script=[trouble])
    async with running(scene):
        await eventually(lambda: name in scene.counted)
        scene.now_s = pause_s - 0.01
        await stays(lambda: len(scene.offsets) == 1, 0.1)
        scene.now_s = pause_s
        await eventually(lambda: len(scene.offsets) > 1)


async def test_without_its_name_the_bot_does_not_listen_yet() -> None:
    scene = Scene(introductions=[Unreachable("no route")])
    async with running(scene):
        await eventually(lambda: "unreachable" in scene.counted)
        assert scene.offsets == []
        scene.now_s = 1.0
        await eventually(lambda: scene.offsets)


async def test_one_that_takes_long_does_not_hold_up_the_others() -> None:
    scene = Scene(script=[[typed(7)]], hold_up=asyncio.Event())
    async with running(scene):
        await eventually(lambda: len(scene.offsets) > 3)
        assert scene.taken == []


async def test_draining_ends_what_is_in_hand_takes_nothing_more_and_lets_go_of_the_lease() -> None:
    scene = Scene(script=[[typed(7)]], hold_up=asyncio.Event())
    async with running(scene) as made:
        await eventually(lambda: 7 in scene.claimed)
        draining = asyncio.create_task(made.drain())
        await eventually(lambda: scene.stopped)
        assert scene.hold_up is not None
        scene.hold_up.set()
        await draining
        polls = len(scene.offsets)
        scene.script = [[typed(9)]]
        await stays(lambda: len(scene.offsets) == polls, 0.05)

    assert scene.taken == [7]
    assert scene.released


async def test_a_proposal_that_ran_out_is_told_by_who_made_it_even_without_the_lease() -> None:
    scene = Scene(is_holder=False, has_lapsed=True)
    async with running(scene):
        await eventually(lambda: not scene.has_lapsed)
