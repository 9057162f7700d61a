"""The webhook over HTTP: every door, every refusal, and nothing accepted that is not durable."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal

import httpx
import pytest
from prometheus_client import REGISTRY

from services.brain.doors import Keys
from services.brain.rate_limit import RateLimit
from services.brain.rate_windows import Ask
from services.brain.refusals import BODY_BYTES_MAX
from services.brain.refused_alerts import REFUSED_ACTIONS, REFUSED_REASONS, Refusal
from services.brain.webhook import PATH, Intake, add_webhook
from shared.clock import ManualClock
from shared.errors import BrokerUnavailable, RedisUnavailable
from shared.http_api import create_app
from shared.lifecycle import Runtime
from shared.settings import LOOPBACK
from shared.values import Signal
from tests.unit.brain.builders import API_KEY, NOON, SECRET

ALERT: dict[str, object] = {"symbol": "BTCUSDT.P", "action": "buy", "price": 50000}
WITH_SECRET = ALERT | {"secret": SECRET}


class Broker:
    """Confirms signals, or does not."""

    def __init__(self) -> None:
        self.confirmed: list[Signal] = []
        self.away = False

    async def accept(self, signal: Signal) -> None:
        if self.away:
            raise BrokerUnavailable("away")
        self.confirmed.append(signal)


class NobodyElse:
    """There is no other replica to count with."""

    async def judge(self, asks: Sequence[Ask]) -> list[float]:
        raise RedisUnavailable("away")


LIMIT = 5


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def refused() -> list[Refusal]:
    return []


@pytest.fixture
async def http(broker: Broker, refused: list[Refusal]) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Runtime(name="brain", instance=0), "BRAIN", "")
    intake = Intake(
        keys=Keys(webhook_secret=SECRET, api_key=API_KEY),
        instance="brain-0",
        known_symbols=frozenset({"BTCUSDT"}),
        confidence_default=Decimal("0.8"),
        dedupe_window_s=60,
        clock=ManualClock(NOON),
        publisher=broker,
        rate_limit=RateLimit(NobodyElse(), LIMIT),
        trusted_proxies=LOOPBACK,
        note_refused=refused.append,
    )
    add_webhook(app, intake)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://brain") as client:
        yield client


def signed(body: bytes, timestamp: str, secret: str = SECRET) -> dict[str, str]:
    signature = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"X-Signature": signature, "X-Timestamp": timestamp}


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_alert_with_the_secret_is_accepted_once_durable(
    http: httpx.AsyncClient, broker: Broker
) -> None:
    before = counted("phoenix_webhook_requests_total", status="200", reason="accepted")
    answer = await http.post(PATH, json=WITH_SECRET)
    assert answer.status_code == 200
    [signal] = broker.confirmed
    assert answer.json() == {
        "status": "accepted",
        "signal_id": signal.signal_id,
        "symbol": "BTCUSDT",
        "action": "long",
    }
    assert counted("phoenix_webhook_requests_total", status="200", reason="accepted") == before + 1


async def test_json_sent_as_plain_text_is_read_all_the_same(http: httpx.AsyncClient, broker: Broker) -> None:
    body = json.dumps(WITH_SECRET)
    answer = await http.post(PATH, content=body, headers={"Content-Type": "text/plain; charset=utf-8"})
    assert answer.status_code == 200
    assert len(broker.confirmed) == 1


NOW = str(int(NOON.timestamp()))
BODY = json.dumps(ALERT).encode()

OPEN_DOORS: dict[str, Callable[[], tuple[str, bytes, dict[str, str]]]] = {
    "body": lambda: (PATH, json.dumps(WITH_SECRET).encode(), {}),
    "path": lambda: (f"{PATH}/{SECRET}", BODY, {}),
    "operator key": lambda: (PATH, BODY, {"X-API-Key": API_KEY}),
    "signature": lambda: (PATH, BODY, signed(BODY, NOW)),
    "signature, a minute off": lambda: (PATH, BODY, signed(BODY, str(int(NOW) - 60))),
    "two at once": lambda: (f"{PATH}/{SECRET}", json.dumps(WITH_SECRET).encode(), {}),
}
CLOSED_DOORS: dict[str, Callable[[], tuple[str, bytes, dict[str, str]]]] = {
    "none": lambda: (PATH, BODY, {}),
    "body, wrong": lambda: (PATH, json.dumps(ALERT | {"secret": "guess"}).encode(), {}),
    "body, no text": lambda: (PATH, json.dumps(ALERT | {"secret": None}).encode(), {}),
    "path, wrong": lambda: (f"{PATH}/guess", BODY, {}),
    "path, wrong, beside a right body": lambda: (f"{PATH}/guess", json.dumps(WITH_SECRET).encode(), {}),
    "operator key, wrong": lambda: (PATH, BODY, {"X-API-Key": SECRET}),
    "signature by another key": lambda: (PATH, BODY, signed(BODY, NOW, "guess")),
    "signature of another body": lambda: (PATH, BODY, signed(b"{}", NOW)),
    "signature, too old": lambda: (PATH, BODY, signed(BODY, str(int(NOW) - 61))),
    "signature, from the future": lambda: (PATH, BODY, signed(BODY, str(int(NOW) + 61))),
    "signature without a time": lambda: (PATH, BODY, {"X-Signature": signed(BODY, "")["X-Signature"]}),
    "signature, time no number": lambda: (PATH, BODY, signed(BODY, "now")),
}


@pytest.mark.parametrize("door", OPEN_DOORS)
async def test_open_doors(door: str, http: httpx.AsyncClient, broker: Broker) -> None:
    path, body, headers = OPEN_DOORS[door]()
    answer = await http.post(path, content=body, headers=headers)
    assert answer.status_code == 200
    assert len(broker.confirmed) == 1


@pytest.mark.parametrize("door", CLOSED_DOORS)
async def test_closed_doors(
    door: str, http: httpx.AsyncClient, broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    path, body, headers = CLOSED_DOORS[door]()
    answer = await http.post(path, content=body, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert broker.confirmed == []
    told = capsys.readouterr().out + answer.text
    assert "alert_refused" in told
    for secret in (SECRET, API_KEY, "guess", headers.get("X-Signature", SECRET)):
        assert secret not in told


async def test_refused_proof_is_counted_by_door(http: httpx.AsyncClient) -> None:
    before = counted("phoenix_auth_failures_total", door="webhook_path")
    await http.post(f"{PATH}/guess", content=BODY)
    assert counted("phoenix_auth_failures_total", door="webhook_path") == before + 1


async def test_secret_is_gone_from_what_is_kept(http: httpx.AsyncClient, broker: Broker) -> None:
    await http.post(PATH, json=WITH_SECRET | {"comment": f"my key is {SECRET}"})
    assert SECRET not in str(broker.confirmed[0])


async def test_secret_in_a_wrong_field_does_not_come_back(
    http: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = await http.post(PATH, json=WITH_SECRET | {"price": SECRET})
    assert answer.status_code == 422
    assert SECRET not in answer.text + capsys.readouterr().out


async def test_malformed_body_is_400(http: httpx.AsyncClient) -> None:
    answer = await http.post(PATH, content=b'{"secret": ')
    assert answer.status_code == 400
    assert "JSON" in answer.json()["detail"]


async def test_unfit_field_is_422_with_field_value_and_advice(http: httpx.AsyncClient) -> None:
    answer = await http.post(PATH, json=WITH_SECRET | {"confidence": 7})
    problem = answer.json()
    assert (answer.status_code, problem["field"], problem["given"]) == (422, "confidence", "7")
    assert "between 0 and 1" in problem["advice"]


async def test_unfit_field_of_a_stranger_is_401_first(http: httpx.AsyncClient) -> None:
    assert (await http.post(PATH, json=ALERT | {"confidence": 7})).status_code == 401


async def test_body_over_the_limit_is_413_when_announced(http: httpx.AsyncClient) -> None:
    body = json.dumps(WITH_SECRET | {"comment": "x" * BODY_BYTES_MAX}).encode()
    assert (await http.post(PATH, content=body)).status_code == 413


async def test_body_over_the_limit_is_413_when_it_comes_in_chunks(http: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100 * BODY_BYTES_MAX:
            sent += 1024
            yield b"x" * 1024

    answer = await http.post(PATH, content=endless())
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"
    assert sent <= BODY_BYTES_MAX + 1024


async def test_body_at_the_limit_is_read(http: httpx.AsyncClient) -> None:
    body = json.dumps(WITH_SECRET).encode()
    assert (await http.post(PATH, content=body + b" " * (BODY_BYTES_MAX - len(body)))).status_code == 200


async def test_broker_away_is_503_so_that_the_alert_is_sent_again(
    http: httpx.AsyncClient, broker: Broker
) -> None:
    broker.away = True
    answer = await http.post(PATH, json=WITH_SECRET)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "Send it again" in answer.json()["detail"]


# --- rate limit ---

EXIT = WITH_SECRET | {"action": "close"}


async def statuses(
    http: httpx.AsyncClient, alert: dict[str, object], times: int, **headers: str
) -> list[int]:
    return [(await http.post(PATH, json=alert, headers=headers)).status_code for _ in range(times)]


async def test_alert_over_the_limit_is_429_and_says_what_to_do(
    http: httpx.AsyncClient, broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    before = counted("phoenix_webhook_requests_total", status="429", reason="rate_entries")
    assert await statuses(http, WITH_SECRET, LIMIT + 2) == [200] * LIMIT + [429] * 2
    answer = await http.post(PATH, json=WITH_SECRET)
    assert answer.headers["content-type"] == "application/problem+json"
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    for part in ("not taken", "does not send it again", "Exits are counted apart", "PHOENIX_RATE_LIMIT"):
        assert part in answer.json()["detail"]
    assert len(broker.confirmed) == LIMIT
    assert counted("phoenix_webhook_requests_total", status="429", reason="rate_entries") == before + 3
    assert capsys.readouterr().out.count("rate_limited") == 1


async def test_flood_of_strangers_does_not_use_up_the_alerts_behind_the_same_tunnel(
    http: httpx.AsyncClient,
) -> None:
    assert await statuses(http, ALERT, LIMIT + 20) == [401] * LIMIT + [429] * 20
    assert await statuses(http, WITH_SECRET, LIMIT) == [200] * LIMIT


async def test_every_wrong_secret_is_counted_even_when_it_is_not_answered_in_full(
    http: httpx.AsyncClient,
) -> None:
    before = counted("phoenix_auth_failures_total", door="webhook_none")
    await statuses(http, ALERT, LIMIT + 20)
    assert counted("phoenix_auth_failures_total", door="webhook_none") == before + LIMIT + 20


async def test_flood_of_refused_requests_does_not_flood_the_log(
    http: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    await statuses(http, ALERT, LIMIT + 50)
    told = capsys.readouterr().out
    assert (told.count("alert_refused"), told.count("rate_limited")) == (LIMIT, 1)


async def test_flood_of_unfit_alerts_does_not_shut_out_good_ones(http: httpx.AsyncClient) -> None:
    assert await statuses(http, WITH_SECRET | {"price": -1}, LIMIT + 1) == [422] * LIMIT + [429]
    assert await statuses(http, WITH_SECRET, 1) == [200]


async def test_closing_works_after_a_flood_of_entries(http: httpx.AsyncClient) -> None:
    await statuses(http, WITH_SECRET, LIMIT + 20)
    assert await statuses(http, EXIT, 1) == [200]


async def test_closing_works_after_a_flood_of_exits_of_another_symbol(http: httpx.AsyncClient) -> None:
    assert await statuses(http, EXIT, LIMIT + 1) == [200] * LIMIT + [429]
    assert await statuses(http, EXIT | {"symbol": "ETHUSDT"}, 1) == [200]
    detail = (await http.post(PATH, json=EXIT)).json()["detail"]
    assert "phoenix.py close BTCUSDT" in detail


async def test_each_true_address_has_its_own_budget(http: httpx.AsyncClient) -> None:
    first, second = {"X-Real-IP": "52.89.214.238"}, {"X-Real-IP": "34.212.75.30"}
    await statuses(http, WITH_SECRET, LIMIT, **first)
    assert await statuses(http, WITH_SECRET, 1, **first) == [429]
    assert await statuses(http, WITH_SECRET, 1, **second) == [200]


async def test_alert_that_became_not_durable_gives_its_place_back(
    http: httpx.AsyncClient, broker: Broker
) -> None:
    """TradingView sends it three times more, and other alerts wait behind it."""
    broker.away = True
    assert await statuses(http, WITH_SECRET, LIMIT * 4) == [503] * LIMIT * 4
    broker.away = False
    assert await statuses(http, WITH_SECRET, LIMIT) == [200] * LIMIT


async def test_documentation_has_examples_that_can_be_pasted(http: httpx.AsyncClient) -> None:
    described = (await http.get("/openapi.json")).json()["paths"]
    for path in (PATH, PATH + "/{token}"):
        content = described[path]["post"]["requestBody"]["content"]
        assert {"entry", "strategy", "exit"} <= set(content["application/json"]["examples"])
        assert set(described[path]["post"]["responses"]) >= {"200", "401", "413", "422", "429", "503"}


# --- refused although the secret was right ---

TOO_LONG = "x" * BODY_BYTES_MAX

PROVEN: dict[str, tuple[str, bytes, str, str]] = {
    "unfit entry": (PATH, json.dumps(WITH_SECRET | {"price": -1}).encode(), "price", "entry"),
    "unlisted symbol": (PATH, json.dumps(WITH_SECRET | {"symbol": "DOGEUSDT"}).encode(), "symbol", "entry"),
    "exit without a symbol": (
        PATH,
        json.dumps({"secret": SECRET, "action": "close"}).encode(),
        "symbol",
        "exit",
    ),
    "no JSON, secret in the path": (f"{PATH}/{SECRET}", b"close BTCUSDT", "malformed", "unknown"),
    "no JSON, secret in it": (
        PATH,
        b'{"secret": "%s", "action": "buy",}' % SECRET.encode(),
        "malformed",
        "entry",
    ),
    "too large, path": (f"{PATH}/{SECRET}", TOO_LONG.encode() + b"x", "too_large", "unknown"),
    "too large, body": (
        PATH,
        json.dumps(WITH_SECRET | {"comment": TOO_LONG}).encode(),
        "too_large",
        "entry",
    ),
    "mistyped address": (f"/webhook/TradingView/{SECRET}", BODY, "address", "entry"),
    "mistyped address, body": ("/webhook/TV", json.dumps(EXIT).encode(), "address", "exit"),
    "mistyped depth": (f"/webhook/{SECRET}", BODY, "address", "entry"),
}


@pytest.mark.parametrize("case", PROVEN)
async def test_refused_alert_with_the_right_secret_is_passed_on(
    case: str, http: httpx.AsyncClient, refused: list[Refusal]
) -> None:
    path, body, reason, wanted = PROVEN[case]
    answer = await http.post(path, content=body)
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"
    [refusal] = refused
    assert (refusal.status, refusal.reason, refusal.wanted) == (answer.status_code, reason, wanted)
    assert refusal.reason in REFUSED_REASONS
    assert refusal.wanted in REFUSED_ACTIONS


@pytest.mark.parametrize("door", [door for door in CLOSED_DOORS if "beside a right" not in door])
async def test_alert_of_a_stranger_is_no_news(
    door: str, http: httpx.AsyncClient, refused: list[Refusal]
) -> None:
    path, body, headers = CLOSED_DOORS[door]()
    await http.post(path, content=body, headers=headers)
    await http.post(path, content=b"{" + body, headers=headers)
    await http.post(f"/webhook/other/{SECRET[:-1]}", content=body)
    assert refused == []


async def test_right_secret_beside_a_wrong_one_opens_nothing_but_is_passed_on(
    http: httpx.AsyncClient, broker: Broker, refused: list[Refusal]
) -> None:
    exit_ = json.dumps(EXIT).encode()
    assert (await http.post(f"{PATH}/guess", content=exit_)).status_code == 401
    assert (await http.post(f"{PATH}/{SECRET}", content=exit_, headers={"X-API-Key": "x"})).status_code == 401
    assert (await http.post(f"{PATH}/{SECRET}", json=EXIT | {"secret": "guess"})).status_code == 401
    assert broker.confirmed == []
    assert [(each.reason, each.wanted) for each in refused] == [
        ("door_path", "exit"),
        ("door_api_key", "exit"),
        ("door_body", "exit"),
    ]
    assert {each.reason for each in refused} <= set(REFUSED_REASONS)


async def test_alert_over_the_limit_is_passed_on(http: httpx.AsyncClient, refused: list[Refusal]) -> None:
    await statuses(http, EXIT, LIMIT + 1)
    await statuses(http, WITH_SECRET, LIMIT + 1)
    assert [(each.reason, each.wanted, each.symbol) for each in refused] == [
        ("rate_exits", "exit", "BTCUSDT"),
        ("rate_entries", "entry", "BTCUSDT"),
    ]


async def test_what_tradingview_sends_again_is_no_news(
    http: httpx.AsyncClient, broker: Broker, refused: list[Refusal]
) -> None:
    broker.away = True
    await statuses(http, EXIT, 1)
    assert refused == []


async def test_exit_says_what_it_was_carried_out_without(http: httpx.AsyncClient, broker: Broker) -> None:
    body = json.dumps(EXIT)[:-1] + ', "rsi": NaN}'
    answer = await http.post(PATH, content=body)
    assert answer.status_code == 200
    assert answer.json()["dropped"] == list(broker.confirmed[0].dropped or ())
    assert "rsi came as 'NaN'" in answer.json()["dropped"][0]


# --- no answer but ours ---


@pytest.mark.parametrize("path", [f"{PATH}/", f"/{PATH}", f"{PATH}//", "//webhook//tradingview"])
async def test_slashes_more_or_less_are_the_same_address(
    path: str, http: httpx.AsyncClient, broker: Broker
) -> None:
    for whole in (path, f"{path}/{SECRET}", f"{path}/{SECRET}/"):
        answer = await http.post(f"http://brain{whole}", json=WITH_SECRET)
        assert (answer.status_code, answer.headers.get("location")) == (200, None)
    assert len(broker.confirmed) == 3


async def test_byte_order_mark_is_no_fault(http: httpx.AsyncClient) -> None:
    assert (
        await http.post(PATH, content=b"\xef\xbb\xbf" + json.dumps(WITH_SECRET).encode())
    ).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", [PATH, f"{PATH}/{SECRET}", f"{PATH}/{SECRET}/"])
async def test_every_other_method_is_405_and_counted(
    method: str, path: str, http: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    before = counted("phoenix_webhook_requests_total", status="405", reason="method")
    answer = await http.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.headers["content-type"] == "application/problem+json"
    assert SECRET not in f"{answer.headers} {answer.text} {capsys.readouterr().out}"
    assert counted("phoenix_webhook_requests_total", status="405", reason="method") == before + 1


@pytest.mark.parametrize(
    "path", ["/webhook", f"/webhook/{SECRET}", f"{PATH}/{SECRET}/more", f"/webhook/x/{SECRET}"]
)
async def test_every_other_address_below_the_webhook_is_404_and_counted(
    path: str, http: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    before = counted("phoenix_webhook_requests_total", status="404", reason="address")
    answer = await http.post(path, json=ALERT)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert SECRET not in f"{answer.headers} {answer.text} {capsys.readouterr().out}"
    assert counted("phoenix_webhook_requests_total", status="404", reason="address") == before + 1
