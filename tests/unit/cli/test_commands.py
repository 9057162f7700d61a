"""Every command against real HTTP: what it asks, what it prints, and the exit code that scripts rely on."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scripts.phoenix_cli.app import app
from tests.unit.cli.conftest import Run
from tests.unit.cli.phoenix_stand_in import (
    API_KEY,
    BROKER_PASSWORD,
    RISK_STATUS,
    SIGNAL_ROW,
    STORY,
    WEBHOOK_SECRET,
    PhoenixStandIn,
    story_of,
)
from tests.unit.notify.facts import SIGNAL_ID

REPOSITORY = Path(__file__).resolve().parents[3]
COMMANDS = (
    "status", "signal", "positions", "close", "why", "pause", "resume", "halt", "migrate",
    "doctor", "metrics", "version", "analyze", "trade",
)  # fmt: skip
STORY_ROUTE = f"GET /signals/{SIGNAL_ID}"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_documents_the_exit_codes(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "0 done · 1 refused" in result.output
    assert "--json" in result.output


def test_status_shows_what_matters(run: Run) -> None:
    result = run("status")
    assert result.exit_code == 0, result.output
    for words in (
        "ready",
        "Trading ACTIVE",
        "Equity 10,012.50 USDT",
        "day +12.50 USDT",
        "BTCUSDT",
        "trade_execution",
        SIGNAL_ID,
    ):
        assert words in result.output
    assert "risk_assessment.dead" in result.output, "a dead letter is shown"
    assert "trade_execution.dead" not in result.output, "an empty dead-letter queue is not"


def test_status_as_json_is_one_document(run: Run) -> None:
    document = json.loads(run("status", "--json").stdout)
    assert document["ready"] is True
    assert document["account"] == RISK_STATUS
    assert document["queues"][0] == {"name": "trade_execution", "depth": 3, "consumers": 1, "dead": False}


def test_status_of_a_service_that_is_not_ready_exits_1(run: Run, phoenix: PhoenixStandIn) -> None:
    phoenix.answers["GET /ready"] = (503, {"ready": False, "dependencies": {"rabbitmq": "away"}})
    result = run("status")
    assert result.exit_code == 1
    assert "rabbitmq: away" in result.output


def test_status_shows_the_rest_when_one_question_fails(run: Run, phoenix: PhoenixStandIn) -> None:
    phoenix.answers["GET /status"] = (503, {"title": "postgresql is away", "detail": "try again"})
    result = run("status")
    assert "account: postgresql is away" in result.output
    assert SIGNAL_ID in result.output


def test_positions_with_their_stops(run: Run, phoenix: PhoenixStandIn) -> None:
    assert "49000" in run("positions").output
    assert json.loads(run("positions", "--json").stdout)["positions"][0]["stop_price"] == "49000.00000000"
    phoenix.answers["GET /positions"] = (200, {"positions": []})
    assert "none" in run("positions").output


def test_signal_is_sent_as_a_webhook_with_the_secret(run: Run, phoenix: PhoenixStandIn) -> None:
    result = run("signal", "BTCUSDT", "buy", "--confidence", "0.9", "--macd", "-12.5", "--strategy", "t")
    assert result.exit_code == 0, result.output
    assert result.output.strip() == SIGNAL_ID
    (body,) = phoenix.bodies("POST /webhook/tradingview")
    assert body["secret"] == WEBHOOK_SECRET
    assert {key: body[key] for key in ("symbol", "action", "confidence", "macd", "strategy")} == {
        "symbol": "BTCUSDT",
        "action": "buy",
        "confidence": "0.9",
        "macd": "-12.5",
        "strategy": "t",
    }


def test_same_signal_twice_is_two_alerts(run: Run, phoenix: PhoenixStandIn) -> None:
    run("signal", "BTCUSDT", "buy")
    run("signal", "BTCUSDT", "buy")
    first, second = phoenix.bodies("POST /webhook/tradingview")
    assert first["alert_id"] != second["alert_id"]


@pytest.mark.parametrize(("outcome", "code"), [("opened", 0), ("no_op", 0), ("rejected", 1), ("failed", 1)])
def test_waiting_for_the_outcome_decides_the_exit_code(
    run: Run, phoenix: PhoenixStandIn, outcome: str, code: int
) -> None:
    phoenix.answers[STORY_ROUTE] = (200, story_of(*STORY, outcome=outcome))
    result = run("signal", "BTCUSDT", "buy", "--wait", "--json")
    assert result.exit_code == code
    assert json.loads(result.stdout)["outcome"]["outcome"] == outcome


def test_waiting_ends_when_no_outcome_comes(
    run: Run, phoenix: PhoenixStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.phoenix_cli.outcomes.WAIT_S", 0.3)
    del phoenix.answers[STORY_ROUTE]
    result = run("signal", "BTCUSDT", "buy", "--wait")
    assert result.exit_code == 1
    assert "no outcome yet" in result.output


def test_refused_signal_tells_each_field_and_exits_1(run: Run, phoenix: PhoenixStandIn) -> None:
    phoenix.answers["POST /webhook/tradingview"] = (
        422,
        {
            "title": "alert not usable",
            "detail": "see errors",
            "errors": [{"field": "symbol", "message": "bad"}],
        },
    )
    result = run("signal", "NONSENSE", "buy")
    assert result.exit_code == 1
    assert "alert not usable" in result.output
    assert "symbol: bad" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["signal", "BTCUSDT"],
        ["signal", "BTCUSDT", "hold"],
        ["signal", "BTCUSDT", "buy", "--price", "dear"],
        ["signal", "BTCUSDT", "buy", "--price", "NaN"],
        ["dance"],
        ["close", "BTCUSDT", "--json"],
    ],
)
def test_wrong_usage_exits_2(run: Run, arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize(
    ("command", "state"), [("pause", "REDUCING"), ("halt", "HALTED"), ("resume", "ACTIVE")]
)
def test_state_commands_name_state_and_reason_with_the_key(
    run: Run, phoenix: PhoenixStandIn, command: str, state: str
) -> None:
    phoenix.answers["POST /update"] = (200, RISK_STATUS | {"state": state})
    result = run(command, "--reason", "lunch")
    assert result.exit_code == 0
    assert f"trading is {state}" in result.output
    assert phoenix.bodies("POST /update") == [{"state": state, "reason": "lunch"}]
    assert phoenix.headers("POST /update")[0]["X-API-Key"] == API_KEY
    assert json.loads(run(command, "--json").stdout)["state"] == state


def test_close_asks_first_and_no_means_no(run: Run, phoenix: PhoenixStandIn) -> None:
    result = run("close", "btcusdt", answer="n\n")
    assert result.exit_code == 1
    assert not phoenix.bodies("POST /close")
    assert run("close", "btcusdt", answer="y\n").exit_code == 0
    assert phoenix.bodies("POST /close") == [{"symbol": "BTCUSDT"}]


def test_close_all_without_a_question(run: Run, phoenix: PhoenixStandIn) -> None:
    result = run("close", "all", "--yes", "--reason", "storm", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["outcome"]["state"] == "done"
    assert phoenix.bodies("POST /close") == [{"symbol": None, "reason": "storm"}]


@pytest.mark.parametrize("wanted", ["last", SIGNAL_ID, SIGNAL_ID[:9], SIGNAL_ID.removeprefix("sig-")[:5]])
def test_why_takes_last_an_id_and_the_front_of_one(run: Run, wanted: str) -> None:
    result = run("why", wanted)
    assert result.exit_code == 0, result.output
    assert "Alert: long BTCUSDT" in result.output


def test_why_as_json_is_the_whole_document(run: Run) -> None:
    assert json.loads(run("why", "last", "--json").stdout) == story_of(*STORY)


def test_why_of_an_unknown_or_ambiguous_front_exits_1(run: Run, phoenix: PhoenixStandIn) -> None:
    unknown = run("why", "sig-zzz", "--json")
    assert unknown.exit_code == 1
    assert json.loads(unknown.stdout)["error"]["title"] == "signal not known"
    twin = SIGNAL_ROW | {"signal_id": "sig-abczzz"}
    phoenix.answers["GET /signals"] = (200, {"signals": [SIGNAL_ROW, twin]})
    ambiguous = run("why", "sig-abc")
    assert ambiguous.exit_code == 1
    assert "sig-abczzz" in ambiguous.output


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["positions"], ["why", "last"], ["signal", "BTCUSDT", "buy"], ["halt"], ["migrate"]],
)
def test_phoenix_that_is_not_there_exits_3_and_says_so_in_json(tmp_path: Path, arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["--home", str(tmp_path), *arguments, "--json"])
    assert result.exit_code == 3
    assert json.loads(result.stdout)["error"]["detail"]


def test_closed_port_exits_3_without_showing_the_brokers_password(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: nobody can answer there
        stand_in = PhoenixStandIn()
        stand_in.port = unused.getsockname()[1]
        home = stand_in.write_home(tmp_path / "home")
        result = CliRunner().invoke(app, ["--home", str(home), "status"])
    assert result.exit_code == 3
    assert "start.sh" in result.output
    assert BROKER_PASSWORD not in result.output


def test_home_comes_from_the_environment_or_the_current_directory(
    phoenix: PhoenixStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phoenix.write_home(tmp_path / ".phoenix")
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["positions"]).exit_code == 0
    monkeypatch.chdir("/")
    monkeypatch.setenv("PHOENIX_HOME", str(tmp_path / ".phoenix"))
    assert CliRunner().invoke(app, ["positions"]).exit_code == 0


def test_settings_of_the_current_run_win_over_the_file(phoenix: PhoenixStandIn, tmp_path: Path) -> None:
    home = phoenix.write_home(tmp_path / "home")
    overrides = home / "run" / "overrides.env"
    overrides.parent.mkdir()
    overrides.write_text(f"PHOENIX_EXECUTE_URL=http://127.0.0.1:{phoenix.port}/elsewhere\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["--home", str(home), "positions"])
    assert result.exit_code == 1
    assert phoenix.bodies("GET /elsewhere/positions") == [None]


BARE_PYTHON = (getattr(sys, "_base_executable", sys.executable), "-E", "-S")
"""A Python that sees no installed package."""


@pytest.mark.skipif(not (REPOSITORY / ".venv/bin/python").exists(), reason="the repository has no .venv")
def test_python_without_the_packages_starts_again_in_the_virtual_environment(tmp_path: Path) -> None:
    finished = _run_script(REPOSITORY / "scripts" / "phoenix.py", "positions", "--help", directory=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "Show the open positions" in finished.stdout


def test_without_a_virtual_environment_it_says_what_to_do(tmp_path: Path) -> None:
    script = tmp_path / "scripts" / "phoenix.py"
    script.parent.mkdir()
    shutil.copy(REPOSITORY / "scripts" / "phoenix.py", script)
    finished = _run_script(script, "status", directory=tmp_path)
    assert finished.returncode == 1
    assert "./scripts/start.sh" in finished.stderr


def _run_script(script: Path, *arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*BARE_PYTHON, str(script), *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", ["list", "show", "replay", "purge"])
def test_help_of_the_dead_letter_commands_documents_the_exit_codes(run: Run, command: str) -> None:
    result = run("dlq", command, "--help")
    assert result.exit_code == 0
    assert "0 done · 1 refused" in result.output
    assert "--json" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("replay", "trade_execution"),
        ("replay", "trade_execution", "--all", "--event-id", "evt-1"),
        ("show", "no_such_queue"),
        ("purge", "no_such_queue", "--yes"),
        ("show", "trade_execution", "--limit", "0"),
    ],
)
def test_dead_letter_commands_say_when_they_are_used_wrongly(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PHOENIX_AMQP_URL", "amqp://nobody:nothing@127.0.0.1:1/")
    assert run("dlq", *arguments).exit_code == 2


def test_dead_letters_of_a_broker_nobody_knows_exit_3(run: Run) -> None:
    result = run("dlq", "list")
    assert result.exit_code == 3
    assert "PHOENIX_AMQP_URL" in result.output


def test_dead_letters_of_a_broker_that_is_away_exit_3(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: nobody can answer there
        port = unused.getsockname()[1]
        monkeypatch.setenv("PHOENIX_AMQP_URL", f"amqp://phoenix:{BROKER_PASSWORD}@127.0.0.1:{port}/")
        result = run("dlq", "list", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["error"]["title"] == "the broker does not answer"


def _analyzed(final: str) -> dict[str, object]:
    analysis = story_of(*STORY)["analysis"]
    gates = [{"name": "final_confidence", "value": final, "minimum": "0.85"}]
    return {"signal": {}, "analysis": analysis | {"gates": gates}, "edge": {}}


@pytest.mark.parametrize(("final", "code", "said"), [("0.85", 0, "passed"), ("0.849", 1, "not passed")])
def test_a_score_without_a_trade_exits_by_its_gates(
    run: Run, phoenix: PhoenixStandIn, final: str, code: int, said: str
) -> None:
    phoenix.answers["POST /analyze"] = (200, _analyzed(final))
    result = run("analyze", "BTCUSDT", "buy", "--confidence", "0.9")
    assert result.exit_code == code, result.output
    assert said in result.output
    assert phoenix.bodies("POST /analyze") == [{"symbol": "BTCUSDT", "action": "buy", "confidence": "0.9"}]


def test_a_trade_by_hand_is_proposed_after_a_question_with_the_key(run: Run, phoenix: PhoenixStandIn) -> None:
    phoenix.answers["POST /trade"] = (202, {"signal_id": SIGNAL_ID})
    assert run("trade", "btcusdt", "sell", answer="n\n").exit_code == 1
    assert run("trade", "btcusdt", "sell", "--json").exit_code == 2
    assert not phoenix.bodies("POST /trade")
    assert SIGNAL_ID in run("trade", "btcusdt", "sell", "--yes").output
    assert phoenix.bodies("POST /trade") == [{"symbol": "BTCUSDT", "side": "short", "confidence": "0.8"}]
    assert phoenix.headers("POST /trade")[0]["X-API-Key"] == API_KEY
