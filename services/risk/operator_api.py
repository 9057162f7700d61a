"""RISK's HTTP side: what is used of each limit, what a trade would be told, and the operator's changes.

It translates between HTTP and the flow; it must never hold a rule.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import Depends, FastAPI, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, SecretStr

from services.risk.entry_blocks import blocks_of, market_of
from services.risk.flow import RiskFlow
from services.risk.operator_change import OperatorChange
from services.risk.profiles import LimitFault, Profile
from services.risk.proposal import Proposal
from services.risk.status import answer_of, status_of
from shared.clock import Clock
from shared.codec import encode_value
from shared.http_api import Actor, Problem, api_key_guard, json_response
from shared.http_input import Number, Reason, Remark, SymbolName
from shared.market import Tick
from shared.money import STORED_PLACES
from shared.storable import without_surrogates
from shared.values import Action, Origin, Side, Signal, TradingState

ACTOR = "operator"
ACT_DETAIL_BYTES_MAX = 8_000
PRICE_MIN, PRICE_MAX = STORED_PLACES, Decimal(10) ** 12
CHECK_ID = "check"
"""A check leaves no trace, so it needs no id of its own."""

_SIDES = {"buy": Side.LONG, "long": Side.LONG, "sell": Side.SHORT, "short": Side.SHORT}


def _aware(moment: datetime | None) -> datetime | None:
    if moment is not None and moment.tzinfo is None:
        raise ValueError("the time needs a zone, e.g. 2026-01-31T12:00:00Z")
    return moment


class CheckBody(BaseModel):
    """A trade to ask about, like an alert (its other fields are passed over); there is no score to gate."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"example": {"symbol": "BTCUSDT", "action": "buy", "price": "60000"}},
    )

    symbol: SymbolName
    action: Literal["buy", "long", "sell", "short"]
    confidence: Number = Field(Decimal("0.8"), ge=0, le=1)
    price: Number | None = Field(
        None, ge=PRICE_MIN, le=PRICE_MAX, description="Price the alert states; null skips the drift check."
    )
    strategy: Remark = Field("check")
    alert_time: Annotated[datetime | None, AfterValidator(_aware)] = Field(
        None, description="When the alert was made; null: now."
    )


class UpdateBody(BaseModel):
    """What to change; what is absent stays."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"state": "HALTED", "reason": "news at 14:00"}},
    )

    state: TradingState | None = Field(
        None, description="HALTED and REDUCING refuse entries; exits always pass."
    )
    limits: dict[str, str | int | float] = Field(
        default_factory=dict, description="Limits by their name in GET /status."
    )
    reset_baseline: bool = Field(
        False, description="Measure the day's loss and the drawdown from the equity of now on."
    )
    reason: Reason = Field(description="Why; kept in the audit log.")


class ActBody(BaseModel):
    """What an operator does elsewhere and wants on record."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "act": "dlq purge",
                "detail": {"queue": "trade_execution", "letters": 2},
                "reason": "test",
            }
        },
    )

    act: str = Field(pattern=r"^[a-z][a-z0-9_ ]{2,49}$", description="What is done, in two words.")
    detail: dict[str, JsonValue] = Field(
        description=f"To what; at most {ACT_DETAIL_BYTES_MAX} bytes of JSON."
    )
    reason: Reason = Field(description="Why.")


class OperatorApi:
    """The routes of RISK."""

    def __init__(
        self,
        flow: RiskFlow,
        profile: Profile,
        api_key: SecretStr,
        clock: Clock,
        measures: Callable[[], Mapping[str, Decimal | None]],
        ticks: Callable[[], Mapping[str, Tick]],
    ) -> None:
        self._flow = flow
        self._profile = profile
        self._api_key = api_key
        self._clock = clock
        self._measures = measures
        self._ticks = ticks

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        guarded = [Depends(api_key_guard(self._api_key))]
        app.get("/status", summary="Account, limits used, reservations, state", tags=["risk"])(self.status)
        app.post("/check", summary="What would you say to this trade? No effect", tags=["risk"])(self.check)
        app.post(
            "/update",
            summary="Change the trading state or limits; audited",
            dependencies=guarded,
            tags=["risk"],
        )(self.update)

        app.post(
            "/audit",
            summary="Record an operator's act that no service carries out; append-only",
            status_code=HTTPStatus.CREATED,
            dependencies=guarded,
            tags=["risk"],
        )(self.record_act)

    async def status(self) -> Response:
        """Return the account, every limit and its use, what is reserved and open, what a day may cost, and
        what refuses every entry now.
        """
        reading, ticks = await self._flow.status(), self._ticks()
        told = status_of(reading, self._profile)
        blocks = blocks_of(reading, ticks)
        market = market_of(ticks, reading.limits, reading.now)
        return json_response(
            told | {"measures": self._measures(), "entries_blocked_by": blocks, "market": market}
        )

    async def check(self, body: CheckBody) -> Response:
        """Decide as if it were a signal, and forget it."""
        side = _SIDES[body.action]
        now = self._clock()
        signal = Signal(
            signal_id=CHECK_ID,
            dedupe_key=CHECK_ID,
            origin=Origin.MANUAL,
            strategy=body.strategy,
            symbol=body.symbol,
            action=Action(side.value),
            confidence=body.confidence,
            price=body.price,
            alert_time=body.alert_time,
            received_at=now,
            alert_text="",
        )
        decision = await self._flow.check(Proposal(signal=signal, side=side, analysis=None, edge=None))
        return json_response(answer_of(decision))

    async def update(self, body: UpdateBody, actor: Actor = ACTOR) -> Response:
        """Change state or limits and return the new status."""
        if body.state is None and not body.limits and not body.reset_baseline:
            raise Problem(422, "nothing to change", "Give `state`, `limits` or `reset_baseline`.")
        change = OperatorChange(
            state=body.state,
            limits={name: str(value) for name, value in body.limits.items()},
            resets_baseline=body.reset_baseline,
            reason=body.reason,
        )
        try:
            await self._flow.change(change, actor)
        except LimitFault as fault:
            raise Problem(422, "limit not usable", f"{fault}. Nothing was changed.") from None
        return await self.status()

    async def record_act(self, body: ActBody, actor: Actor = ACTOR) -> Response:
        """Append the act to the audit log; answered when it is committed."""
        detail = {name: without_surrogates(value) for name, value in body.detail.items()}
        if len(encode_value(detail)) > ACT_DETAIL_BYTES_MAX:
            raise Problem(422, "detail too large", f"At most {ACT_DETAIL_BYTES_MAX} bytes of JSON are kept.")
        await self._flow.record_act(actor, body.act, {**detail, "reason": body.reason})
        return json_response({"recorded": body.act}, HTTPStatus.CREATED)
