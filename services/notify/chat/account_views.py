"""What is on the account and not ours, what became of a signal and of a close, as lines of the chat. Pure."""

from collections.abc import Mapping, Sequence
from decimal import Context, Decimal
from typing import Any

from services.notify.chat.texts import Phrases
from services.notify.chat.vocabulary import Reply
from services.notify.report_rows import SignalLine
from shared.wording import DASH, money, number, signed

Document = Mapping[str, Any]

ORDERS_SHOWN = 10
PRICE_DIGITS = 7
"""A mark comes with eight places; these many digits are read, and cents where the price is larger."""
PRICE_PLACES = 2
SIDES = {"long": "▲", "short": "▼"}
_SIGNS = {"good": "✓", "bad": "✗", "open": "●", "none": "○"}
_RESULTS = {
    "open": "result_open",
    "unprotected": "result_unprotected",
    "closing": "result_closing",
    "liquidation": "result_liquidation",
    "adl": "result_adl",
    "opened": "result_opened",
    "closed": "result_closed",
    "no_op": "result_no_op",
    "rejected": "result_rejected",
    "expired": "result_expired",
    "failed": "result_failed",
    "on_its_way": "result_on_its_way",
}


def result_line(one: SignalLine, say: Phrases) -> str:
    """Return what became of a signal, in money where it brought or cost some."""
    result = one.result
    net = "" if result.net_usdt is None else f" {signed(result.net_usdt)} USDT"
    reason = "" if result.reason is None else f": {in_words(result.reason)}"
    return f"{_SIGNS[result.tone]} {say(_RESULTS[result.name])}{net}{reason}"


def short_foreign(one: Document, say: Phrases) -> str:
    """Return a position that is not ours in one line."""
    pnl, warning = money(one["unrealised_pnl_usdt"], sign=True), say("no_stop")
    whose = say("not_ours") if one["has_stop"] else f"{say('not_ours')} ⚠ {warning}"
    return f"{SIDES[one['side']]} {one['symbol']} {number(one['quantity'])}  {pnl} · {whose}"


def foreign_lines(one: Document, say: Phrases) -> list[str]:
    """Return its prices, and what it means that it is not ours."""
    stop, target = (
        say("none") if one[name] is None else price_text(one[name])
        for name in ("stop_price", "take_profit_price")
    )
    return [
        say("at", entry=price_text(one["entry_price"]), mark=price_text(one["mark_price"])),
        say("stop_target", stop=stop, target=target),
        say("not_ours_hint"),
    ]


def foreign_position(one: Document, say: Phrases) -> Reply:
    """Return a position that is not ours."""
    return Reply(short_foreign(one, say), foreign_lines(one, say))


def order_lines(orders: Sequence[Document], say: Phrases) -> list[str]:
    """Return the open orders that are not ours, nothing when there are none."""
    if not orders:
        return []
    return [say("foreign_orders", count=len(orders)), *map(_order, orders[:ORDERS_SHOWN]), ""]


def close_request(found: Document, say: Phrases) -> Reply:
    """Return what became of a close that was asked for."""
    what = found["symbol"] or say("all_positions")
    title = say("request_done", what=what) if found["state"] == "done" else say("under_way_close", what=what)
    closed = [_closed(one, say) for one in found["positions"] if one["state"] == "closed"]
    lines = [say("request_by", actor=found["requested_by"], at=found["requested_at"][:19]), *closed]
    if found["still_open"]:
        lines.append(say("open_are", symbols=", ".join(found["still_open"])))
    elif not found["positions"]:
        lines.append(say("nothing_was_open"))
    return Reply(title, lines)


def price_text(text: str | None) -> str:
    """Return a price with as many digits as are read."""
    if text is None:
        return DASH
    price = Decimal(text)
    digits = max(PRICE_DIGITS, price.adjusted() + 1 + PRICE_PLACES)
    whole, _, places = number(str(Context(prec=digits).plus(price))).partition(".")
    return f"{int(whole):,}" + (f".{places}" if places else "")


def in_words(name: str | None) -> str:
    """Return a code name as words."""
    return (name or DASH).replace("_", " ")


def _closed(one: Document, say: Phrases) -> str:
    price = one["exit_price"]
    return say(
        "done_closed",
        symbol=one["symbol"],
        side=one["side"],
        price="?" if price is None else number(price),
        net=money(one["net_pnl_usdt"], sign=True),
    )


def _order(one: Document) -> str:
    price = one["trigger_price"] or one["price"]
    at = "" if price is None else f" @ {price_text(price)}"
    return f"   {one['symbol']} {one['side']} {one['order_type']}{at}"
