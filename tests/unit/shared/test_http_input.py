"""What people send to act or to be recorded: one reader of symbols, and words that hold up nothing."""

from decimal import Decimal
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from services.execute.routes import CloseBody, TradeBody
from services.risk.operator_api import CheckBody, UpdateBody
from services.risk.profiles import PROFILES, LimitFault, Profile, with_changes
from shared.http_api import AnyActor

SPELLINGS = {
    "BINANCE:BTCUSDT.P": "BTCUSDT",
    "wusdt": "WUSDT",
    "1000PEPEUSDT": "1000PEPEUSDT",
    "币安人生USDT": "币安人生USDT",
    "BTCUSDT_260327": "BTCUSDT_260327",
}


@pytest.mark.parametrize("sent", SPELLINGS)
def test_every_entry_point_reads_symbols_alike(sent: str) -> None:
    assert CloseBody.model_validate({"symbol": sent}).symbol == SPELLINGS[sent]
    assert TradeBody.model_validate({"symbol": sent, "side": "long"}).symbol == SPELLINGS[sent]
    assert CheckBody.model_validate({"symbol": sent, "action": "buy"}).symbol == SPELLINGS[sent]


@pytest.mark.parametrize("sent", ["", "*", "a b", "BTC\0USDT", "x" * 41])
def test_no_entry_point_takes_what_names_no_market(sent: str) -> None:
    with pytest.raises(ValidationError):
        CloseBody.model_validate({"symbol": sent})


@pytest.mark.parametrize(
    "extra",
    [{"reason": "x" * 9_000}, {"reason": "a\0b\ud800"}, {"reason": 5}, {"reason": None}, {"why": [1]}],
)
def test_a_close_is_held_up_by_nothing_but_its_symbol(extra: dict[str, Any]) -> None:
    body = CloseBody.model_validate({"symbol": "BTCUSDT"} | extra)
    assert body.symbol == "BTCUSDT"
    assert len(body.reason) <= 200
    assert "\0" not in body.reason
    body.reason.encode()


@pytest.mark.parametrize("sent", [{"simbol": "BTCUSDT"}, {"Symbol": "BTCUSDT"}, {"ticker": "BTCUSDT"}])
def test_a_mistyped_symbol_does_not_close_everything(sent: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="symbol: null"):
        CloseBody.model_validate(sent)


@pytest.mark.parametrize("sent", [{}, {"symbol": None}, {"symbol": None, "why": "news"}, {"reason": "news"}])
def test_everything_is_closed_when_that_is_said(sent: dict[str, Any]) -> None:
    assert CloseBody.model_validate(sent).symbol is None


@pytest.mark.parametrize("number", ["1e-100", "0E-300", "0." + "1" * 500])
def test_numbers_are_as_messages_carry_them(number: str) -> None:
    trade = TradeBody.model_validate({"symbol": "BTCUSDT", "side": "long", "confidence": number})
    check = CheckBody.model_validate({"symbol": "BTCUSDT", "action": "buy", "confidence": number})
    for read in (trade.confidence, check.confidence):
        assert len(read.as_tuple().digits) <= 28
        assert read in (0, Decimal("0." + "1" * 28))


@pytest.mark.parametrize("price", ["1e999999", "1e-100", "NaN", "Infinity", 0])
def test_absurd_prices_are_refused(price: object) -> None:
    with pytest.raises(ValidationError):
        CheckBody.model_validate({"symbol": "BTCUSDT", "action": "buy", "price": price})


def test_a_halt_is_not_held_up_by_its_reason() -> None:
    body = UpdateBody.model_validate({"state": "HALTED", "reason": "a\0b" * 500})
    assert len(body.reason) == 500
    with pytest.raises(ValidationError):
        UpdateBody.model_validate({"state": "HALTED", "reason": ""})


def test_the_list_of_allowed_symbols_is_read_like_any_other() -> None:
    limits = with_changes(
        PROFILES[Profile.MISSION], {"symbols_allowed": "binance:btcusdt.p, 币安人生usdt,WUSDT"}
    )
    assert limits.symbols_allowed == ("BTCUSDT", "WUSDT", "币安人生USDT")
    with pytest.raises(LimitFault):
        with_changes(PROFILES[Profile.MISSION], {"symbols_allowed": "BTCUSDT,*"})


@pytest.mark.parametrize(
    ("sent", "kept"), [("telegram:42", "telegram:42"), ("a b<c>", "a_b_c_"), ("x" * 99, "x" * 64)]
)
async def test_an_unfit_name_of_who_asks_holds_up_nothing(sent: str, kept: str) -> None:
    app = FastAPI()

    @app.get("/")
    def who(actor: AnyActor = "operator") -> str:
        return actor

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        assert (await client.get("/", headers={"X-Actor": sent})).json() == kept
