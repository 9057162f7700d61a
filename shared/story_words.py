"""The sentences of a signal's story in English, and the form in which another language brings its own.

Pure. `shared.story` says which sentence is told when; a line of numbers only needs no sentence.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class StoryWords:
    """A language: its sentences, and its names of outcomes, reasons, sides and checks."""

    phrases: Mapping[str, str]
    name: Callable[[str], str]
    """Names what a service wrote as a code; an unknown one is returned as it is, or nearly."""

    def __call__(self, key: str, **values: object) -> str:
        """Return a sentence with its values filled in; an unknown key is a `KeyError`."""
        return self.phrases[key].format_map(values)


PHRASES: Mapping[str, str] = {
    "alert": "Alert: {action} {symbol}",
    "given_confidence": "confidence {value}",
    "given_price": "price {value}",
    "given_rsi": "RSI {value}",
    "given_macd": "MACD {value}",
    "origin": "{signal}, strategy {strategy}, from {origin}",
    "received": "received {at}",
    "dropped": "not usable, so left out: {what}",
    "repeat": "a repeat of {signal}, whose story this is",
    "no_outcome": "No outcome yet",
    "on_its_way": "still on its way",
    "outcome": "Outcome",
    "ended": "{outcome}: {reason}",
    "scored": "BRAIN scored it",
    "nothing_to_score": "Proposed by hand: nothing to score",
    "proposed_by_hand": "An operator proposed it by hand; there was nothing to score",
    "defaulted": "not known, so defaulted: {names}",
    "scores": "technical {technical}, phoenix {phoenix}, market {market} → score {score}, "
    "final confidence {final}; market risk {level}",
    "gate_passed": "gate {name}: {value}, at least {minimum} — passed",
    "gate_not_passed": "gate {name}: {value}, at least {minimum} — not passed",
    "odds": "odds from {trades} own trades: win rate {rate} ({low} to {high}), average win {win}, "
    "loss {loss}",
    "stage_1": "signal",
    "stage_2": "position",
    "stage_3": "portfolio",
    "check": "{stage} · {name}: {measured}, limit {limit} — {result}",
    "approved": "RISK approved {side}, valid until {until}",
    "rejected": "RISK said no: {outcome}, {reason}",
    "size": "size: Kelly {kelly} → margin {margin} of equity",
    "size_probe": "size: Kelly {kelly} → margin {margin} of equity (probe: no edge known)",
    "margin": "margin {margin} × {leverage} = {notional}, quantity {quantity} at {price}",
    "risk": "risk at stop {risk}; stop {stop} away, take profit {target}; liquidation at {liquidation}",
    "placed": "EXECUTE placed the entry",
    "placed_order": "{type} {quantity}, order {order}, client id {client}",
    "placed_limit": "{type} {quantity} at {limit} or better, order {order}, client id {client}",
    "filled": "The entry filled",
    "fill": "{filled} of {quantity} at {price}, slippage {slippage} ({judged})",
    "worse": "worse",
    "better": "better",
    "no_difference": "no difference",
    "protected": "Stop and take profit stand on the exchange",
    "levels": "stop {stop}, take profit {target}; unprotected for {ms} ms",
    "opened": "The position is open",
    "position": "{side} {quantity} {symbol} at {price}, {leverage}x, margin {margin}, risk {risk}",
    "closed": "The position closed: {reason}",
    "closes": "It closed {symbol} ({reason}), opened by {signal}",
    "exit": "{quantity} at {price}",
    "asked_by": "asked for by {actor}",
    "result": "profit {pnl}, fees {fees}, funding {funding} USDT",
    "net": "net {net} USDT",
    "books_incomplete": "the books are incomplete: {missing}",
    "books_completed": "The books of the position are complete: {reason}",
    "refused": "The exchange refused {order} ({code})",
    "order_stop_loss": "the stop loss",
    "order_take_profit": "the take profit",
    "order_close": "a closing order",
    "next_retried": "it is tried again",
    "next_form_changed": "it is tried again in another form",
    "next_whole_position": "a conditional order that closes the whole position takes its place",
    "next_target_later": "the stop is on the exchange; the target is tried again",
    "next_closing": "the position is closed at market",
    "close_requested": "Close of {what} requested: {reason}, by {actor}",
    "all_positions": "all positions",
    "nothing_to_close": "Nothing to close: {reason}",
    "entry_ended": "The entry ended without a position: {outcome}, {reason}",
    "brain_ended": "BRAIN ended it: {outcome}, {reason}",
}

ENGLISH = StoryWords(PHRASES, lambda name: name)
