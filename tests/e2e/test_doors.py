"""What the public webhook refuses, and how: with a document that says what was wrong and what to do."""

import json
from typing import Any

import pytest

from tests.e2e.phoenix import Phoenix

GOOD: dict[str, Any] = {"symbol": "BTCUSDT", "action": "buy", "confidence": 0.9}


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"symbol": "NOSUCHUSDT"}, 422, "symbol"),
        ({"price": "NaN"}, 422, "price"),
        ({"price": -1}, 422, "price"),
        ({"confidence": 7}, 422, "confidence"),
        ({"action": "hodl"}, 422, "action"),
        ({"price": "{{close}}"}, 422, "{{close}}"),
    ],
)
async def test_bad_field_is_named(
    shared_phoenix: Phoenix, change: dict[str, Any], status: int, says: str
) -> None:
    body = GOOD | {"secret": shared_phoenix.system.webhook_secret} | change

    answer = await shared_phoenix.post(json.dumps(body))

    _expect_problem(answer, status)
    assert says in answer.text


async def test_alert_without_the_secret_is_refused(shared_phoenix: Phoenix) -> None:
    _expect_problem(await shared_phoenix.post(json.dumps(GOOD)), 401)
    _expect_problem(await shared_phoenix.post(json.dumps(GOOD | {"secret": "guess"})), 401)


async def test_malformed_json_is_refused(shared_phoenix: Phoenix) -> None:
    secret = shared_phoenix.system.webhook_secret
    body = f'{{"secret": "{secret}", "symbol": "BTCUSDT", "action": "buy'
    _expect_problem(await shared_phoenix.post(body), 400)


async def test_a_megabyte_is_refused(shared_phoenix: Phoenix) -> None:
    body = json.dumps(GOOD | {"secret": shared_phoenix.system.webhook_secret, "comment": "x" * 1_000_000})

    _expect_problem(await shared_phoenix.post(body), 413)


async def test_json_sent_as_text_and_secret_in_the_path_are_accepted(shared_phoenix: Phoenix) -> None:
    body = json.dumps(GOOD | {"action": "exit", "alert_id": "as-text"})

    answer = await shared_phoenix.post(
        body, f"/{shared_phoenix.system.webhook_secret}", **{"Content-Type": "text/plain"}
    )

    assert answer.status_code == 200
    assert (await shared_phoenix.outcome(answer.json()["signal_id"]))["outcome"] == "no_op"


def _expect_problem(answer: Any, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    document = answer.json()
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
