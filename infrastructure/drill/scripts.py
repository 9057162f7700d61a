"""The drill scripts: what goes wrong in each, in the order of the story. `run` carries one out and judges.

A script only makes trouble and waits for what must come of it; whether the promises held is judged from the
truth, the same way for all of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import httpx

from infrastructure.drill.hands import HTTP_TIMEOUT_S, Doors, Hands, Tell
from infrastructure.drill.promises import Verdict
from infrastructure.local.stack import LocalStack

UNPROTECTED_MAX = timedelta(seconds=30)
"""P4's budget of 10 s, and the time that a killed program takes to come back."""


REFUSALS_MANY = 100_000
FOREIGN_USDT = 100


@dataclass(frozen=True, kw_only=True)
class Script:
    """One drill."""

    name: str
    shows: str
    story: Callable[[Hands], Awaitable[None]]


async def _same_alert_four_times(hands: Hands) -> None:
    body = hands.alert_body("buy")
    first, *_ = await asyncio.gather(*(hands.send(body) for _ in range(4)))
    await hands.until("protected", first)
    await hands.send(body)


async def _lost_answer(hands: Hands) -> None:
    await hands.arm(
        "the exchange carries the entry out and answers 503 'Unknown error'",
        kind="unknown_503",
        operation="place_order",
        role="-e",
        symbol=hands.symbol,
    )
    await hands.until("protected", await hands.send(hands.alert_body("buy")))


async def _refused_stop(hands: Hands) -> None:
    await hands.arm(
        "the exchange refuses the stop-loss three times",
        kind="refused",
        operation="place_algo",
        role="-s",
        code=-4045,
        times=3,
        symbol=hands.symbol,
    )
    await hands.until("protected", await hands.send(hands.alert_body("buy")))


async def _price_past_the_stop(hands: Hands) -> None:
    await hands.arm(
        "the exchange refuses the stop-loss: it would trigger at once",
        kind="refused",
        operation="place_algo",
        role="-s",
        code=-2021,
        symbol=hands.symbol,
    )
    await hands.until("closed", await hands.send(hands.alert_body("buy")))


async def _stop_cancelled_by_hand(hands: Hands) -> None:
    entry = await hands.until("protected", await hands.send(hands.alert_body("buy")))
    stop = f"{entry.client_id.removesuffix('-e')}-s"
    await hands.by_hand("cancel", "somebody cancels the stop-loss on the exchange", client_id=stop)
    await hands.until_restored(stop)


async def _closed_by_hand(hands: Hands) -> None:
    entry = await hands.until("protected", await hands.send(hands.alert_body("buy")))
    await hands.by_hand("close", "somebody closes the position on the exchange", symbol=hands.symbol)
    await hands.until("closed", entry.signal_id)


async def _liquidated(hands: Hands) -> None:
    entry = await hands.until("protected", await hands.send(hands.alert_body("buy")))
    await hands.by_hand("liquidate", "the exchange liquidates the position", symbol=hands.symbol)
    await hands.until("closed", entry.signal_id)


async def _silent_stream(hands: Hands) -> None:
    entry = await hands.until("protected", await hands.send(hands.alert_body("buy")))
    await hands.arm("the user-data stream falls silent for 30 s", kind="stream_silent", for_ms=30_000)
    await hands.move_price(-0.025)
    await hands.until("closed", entry.signal_id)


async def _books_unreadable(hands: Hands) -> None:
    entry = await hands.until("protected", await hands.send(hands.alert_body("buy")))
    await hands.arm(
        "the exchange refuses to show fills",
        kind="refused",
        operation="user_trades",
        code=-1102,
        msg="refused by the drill",
        times=REFUSALS_MANY,
        symbol=hands.symbol,
    )
    await hands.send(hands.alert_body("close"))
    await hands.until("closed", entry.signal_id)
    await hands.take_back()  # the books must become complete by themselves: money is conserved


async def _delisted(hands: Hands) -> None:
    entry = await hands.until("protected", await hands.send(hands.alert_body("buy")))
    await hands.arm(
        "the exchange takes no new positions in this symbol",
        kind="rules_changed",
        symbol=hands.symbol,
        listing="SETTLING",
    )
    await hands.send(hands.alert_body("close"))
    await hands.until("closed", entry.signal_id)
    await hands.until_ended(await hands.send(hands.alert_body("buy")))


async def _leverage_by_hand(hands: Hands) -> None:
    first = await hands.until("protected", await hands.send(hands.alert_body("buy")))
    await hands.send(hands.alert_body("close"))
    await hands.until("closed", first.signal_id)
    await hands.by_hand("leverage", "somebody sets the leverage to 50", symbol=hands.symbol, leverage=50)
    await hands.until("protected", await hands.send(hands.alert_body("buy")))


async def _foreign_position(hands: Hands) -> None:
    quantity = await hands.quantity(FOREIGN_USDT)
    await hands.by_hand(
        "order", "somebody buys on the account", symbol=hands.symbol, side="BUY", quantity=quantity
    )
    try:
        await hands.until_foreign_is_known()
        await hands.until_ended(await hands.send(hands.alert_body("close")))
        await hands.until_ended(await hands.send(hands.alert_body("buy")))
    finally:
        await hands.by_hand("close", "somebody closes what is left of it", symbol=hands.symbol)


async def _full_disk(hands: Hands) -> None:
    async with hands.no_file_grows():
        entry = await hands.until("protected", await hands.send(hands.alert_body("buy")))
        await hands.send(hands.alert_body("close"))
        await hands.until("closed", entry.signal_id)


async def _execute_killed(hands: Hands) -> None:
    signal_id = await hands.send(hands.alert_body("buy"))
    await hands.kill("execute-0")
    await hands.until("protected", signal_id)


async def _brain_killed(hands: Hands) -> None:
    body = hands.alert_body("buy")
    signal_id = await hands.send(body)
    await hands.kill("brain-0")
    await hands.send(body)
    await hands.until("protected", signal_id)


async def _broker_restarted(hands: Hands) -> None:
    entry = await hands.until("protected", await hands.send(hands.alert_body("buy")))
    await hands.restart("rabbitmq")
    await hands.send(hands.alert_body("close"))
    await hands.until("closed", entry.signal_id)


async def _database_restarted(hands: Hands) -> None:
    entry = await hands.until("protected", await hands.send(hands.alert_body("buy")))
    await hands.restart("postgres")
    await hands.send(hands.alert_body("close"))
    await hands.until("closed", entry.signal_id)


SCRIPTS: Mapping[str, Script] = {
    script.name: script
    for script in (
        Script(
            name="same-alert",
            shows="an alert sent four times at once, and once more, is one position",
            story=_same_alert_four_times,
        ),
        Script(
            name="lost-answer",
            shows="an order whose answer was lost is looked up, never sent again",
            story=_lost_answer,
        ),
        Script(
            name="refused-stop", shows="a refused stop is placed again within the budget", story=_refused_stop
        ),
        Script(
            name="past-stop",
            shows="a position whose stop cannot stand any more is closed",
            story=_price_past_the_stop,
        ),
        Script(
            name="stop-cancelled",
            shows="a stop that somebody cancelled is put back",
            story=_stop_cancelled_by_hand,
        ),
        Script(
            name="closed-by-hand",
            shows="a position closed elsewhere is noticed, booked, and its orders are cancelled",
            story=_closed_by_hand,
        ),
        Script(name="liquidation", shows="a liquidation is recognised and booked", story=_liquidated),
        Script(
            name="silent-stream",
            shows="a stop that fires while the exchange tells us nothing is noticed all the same",
            story=_silent_stream,
        ),
        Script(
            name="books-unreadable",
            shows="a position whose fills cannot be read is closed, and its books are completed later",
            story=_books_unreadable,
        ),
        Script(
            name="delisted",
            shows="a symbol that trades no more is closed, not entered, and disturbs no other",
            story=_delisted,
        ),
        Script(
            name="leverage-by-hand",
            shows="leverage that somebody else changed is put right before the next entry",
            story=_leverage_by_hand,
        ),
        Script(
            name="foreign-position",
            shows="a position of somebody else is neither closed by our exits nor added to",
            story=_foreign_position,
        ),
        Script(
            name="full-disk",
            shows="services that can write no log open, protect and close all the same",
            story=_full_disk,
        ),
        Script(
            name="kill-execute",
            shows="EXECUTE killed right after the alert: one order, protected",
            story=_execute_killed,
        ),
        Script(
            name="kill-brain",
            shows="BRAIN killed, the alert sent again: one position",
            story=_brain_killed,
        ),
        Script(
            name="restart-broker",
            shows="a position survives a restart of RabbitMQ, and closes after it",
            story=_broker_restarted,
        ),
        Script(
            name="restart-database",
            shows="a position survives a restart of PostgreSQL, and closes after it",
            story=_database_restarted,
        ),
    )
}
"""Every drill by its name."""


async def run(script: Script, doors: Doors, stack: LocalStack, symbol: str, tell: Tell) -> list[Verdict]:
    """Carry out one drill on a flat symbol and return the verdict on every promise.

    Raises:
        DrillFailed: it could not be carried out to its end; what it armed and opened was taken back, as far
            as the system answers.
    """
    async with httpx.AsyncClient(timeout=HTTP_TIMEOUT_S, trust_env=False) as http:
        hands = Hands(doors, stack, http, symbol, tell)
        await hands.meet_the_exchange()
        try:
            await script.story(hands)
        finally:
            await hands.disarm()
            await hands.flatten()
        return await hands.judge(UNPROTECTED_MAX)
