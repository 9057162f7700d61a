"""What the documents promise of the running system: the API page, its examples, the alert templates."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scripts.reference import api_page
from services.brain.api_examples import ANSWERS as BRAIN
from services.execute.api_examples import ANSWERS as EXECUTE
from services.notify.api_examples import ANSWERS as NOTIFY
from services.risk.api_examples import ANSWERS as RISK
from tests.e2e.phoenix import Phoenix
from tests.eventually import eventually

DOCS = Path(__file__).parents[2] / "docs"
SERVICES = ("brain", "risk", "execute", "notify")
TEMPLATE = re.compile(r"<!-- template: (\w+) -->\n```json\n(.*?)```", re.DOTALL)
TEMPLATES = dict(TEMPLATE.findall((DOCS / "TRADINGVIEW.md").read_text(encoding="utf-8")))
ACTIONS = {"strategy": "long", "indicator": "long", "least": "short", "exit": "exit", "heartbeat": "exit"}
SYMBOL = "ADAUSDT"


def _rendered(template: str, price: str) -> str:
    """Fill in the placeholders as TradingView does: text for text, unknown ones left as they are."""
    values = {
        "ticker": f"{SYMBOL}.P",
        "exchange": "BINANCE",
        "close": price,
        "timenow": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "plot_0": "45.2",
        "plot_1": "0.0003",
        "strategy.order.action": "buy",
        "strategy.order.id": "Long",
        "strategy.order.contracts": "1",
        "strategy.order.price": price,
        "strategy.market_position": "long",
        "strategy.prev_market_position": "flat",
    }
    return re.sub(r"\{\{([\w.]+)\}\}", lambda found: values.get(found[1], found[0]), template)


def test_every_kind_of_alert_has_a_template() -> None:
    assert set(TEMPLATES) == set(ACTIONS)


@pytest.mark.parametrize("kind", ACTIONS)
async def test_a_template_is_understood_as_it_is_meant(phoenix: Phoenix, kind: str) -> None:
    """Sent with the secret in the address, as the guide says; TradingView says text/plain as well as JSON."""
    body = _rendered(TEMPLATES[kind], str(await phoenix.last_price(SYMBOL)))
    assert "{{" not in body
    answer = await phoenix.post(body, f"/{phoenix.system.webhook_secret}", **{"Content-Type": "text/plain"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["action"] == ACTIONS[kind]
    outcome = await phoenix.outcome(answer.json()["signal_id"])
    if kind == "heartbeat":
        assert (outcome["outcome"], outcome["reason"]) == ("no_op", "no_position"), "it touches nothing"


async def test_the_api_page_is_as_the_running_services_have_it(phoenix: Phoenix) -> None:
    urls = [f"{phoenix.system.url(service)}/openapi.json" for service in SERVICES]  # type: ignore[arg-type]
    documents = [(await phoenix.http.get(url)).json() for url in urls]
    page = (DOCS / "API.md").read_text(encoding="utf-8")
    assert api_page.page(documents) == page, (
        "start the system, then run: python -m scripts.reference --home .phoenix"
    )


async def test_every_route_says_what_it_does_and_shows_an_answer(phoenix: Phoenix) -> None:
    poor = []
    for service in SERVICES:
        document = (await phoenix.http.get(f"{phoenix.system.url(service)}/openapi.json")).json()  # type: ignore[arg-type]
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if not operation.get("summary") or '"example"' not in json.dumps(operation["responses"]):
                    poor.append(f"{method} {path}")
    assert poor == []


async def test_examples_of_answers_have_the_fields_of_real_ones(phoenix: Phoenix) -> None:
    price = str(await phoenix.last_price(SYMBOL))
    signal_id = await phoenix.alert(SYMBOL, "buy", price=price)
    await phoenix.told(signal_id, "position.opened.v1")
    await eventually(lambda: _has_notification(phoenix), what="a notification")
    real: dict[str, Any] = {}
    for service, path in (
        ("brain", "/signals"), ("brain", f"/signals/{signal_id}"), ("brain", "/stats"),
        ("risk", "/status"), ("execute", "/positions"), ("execute", "/orders"),
        ("execute", f"/prices/{SYMBOL}"), ("execute", "/preflight"), ("notify", "/notifications"),
    ):  # fmt: skip
        route = path.replace(signal_id, "{signal_id}").replace(SYMBOL, "{symbol}")
        real[f"GET {route}"] = (await phoenix.http.get(f"{phoenix.system.url(service)}{path}")).json()  # type: ignore[arg-type]
    shown = BRAIN | RISK | EXECUTE | NOTIFY
    # Nobody else trades on this account: what would be there is shown by the example alone.
    example: Any = shown["GET /positions"].example
    real["GET /positions"] |= {"foreign_positions": example["foreign_positions"]}
    assert {route: _shape(answer) for route, answer in real.items()} == {
        route: _shape(shown[route].example) for route in real
    }


async def _has_notification(phoenix: Phoenix) -> bool:
    answer = await phoenix.http.get(f"{phoenix.system.url('notify')}/notifications")
    return bool(answer.json()["notifications"])


def _shape(value: Any, depth: int = 2) -> Any:
    """Return the field names of an answer: of its objects, and of the first element of its lists."""
    if isinstance(value, list):
        return [_shape(value[0], depth)] if value and depth else []
    if isinstance(value, dict) and depth:
        return {key: _shape(each, depth - 1) for key, each in sorted(value.items())}
    return None


async def test_doctor_finds_nothing_red_on_a_system_that_runs(phoenix: Phoenix) -> None:
    found = json.loads(await phoenix.cli("doctor", "--json"))
    assert found["ok"] is True
    green = {each["subject"] for each in found["findings"] if each["colour"] == "green"}
    assert green >= {
        "database clock", "migrations", "outbox", "redis", "rabbitmq", "broker alarms", "queues",
        "dead letters", "brain", "risk", "execute", "notify", "webhook", "telegram", "exchange: clock",
    }  # fmt: skip


async def test_the_live_views_of_the_command_line_show_the_running_system(phoenix: Phoenix) -> None:
    told = json.loads(await phoenix.cli("metrics", "--json"))
    assert {row["service"] for row in told["metrics"]} == set(SERVICES)
    assert "running, mode paper" in await phoenix.cli("version")
