"""`doctor`: red and green are right, at their edges too, and it works when everything is down."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infrastructure.postgres.migrate import migrations
from scripts.phoenix_cli import api, doctor_machine, doctor_servers, installation
from scripts.phoenix_cli.app import app
from scripts.phoenix_cli.checkup import Colour, Finding
from scripts.phoenix_cli.doctor_servers import backlog, clock, is_in_order, migrated, queue_findings
from shared.topology import QUEUES
from tests.servers import free_port_base
from tests.unit.cli.conftest import Run
from tests.unit.cli.phoenix_stand_in import BROKER_PASSWORD, RISK_STATUS, PhoenixStandIn

APPLIED = {each.number: (each.name, each.checksum) for each in migrations()}
COUNTED = [{"name": queue.name, "depth": 0, "consumers": 1} for queue in QUEUES] + [
    {"name": queue.dead, "depth": 0, "consumers": 0} for queue in QUEUES
]


@pytest.fixture(autouse=True)
def _no_user_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "USER_FILE", tmp_path / ".env")
    monkeypatch.setattr(doctor_servers, "STATISTICS_LAG_S", 0.0)


def _found(output: str) -> dict[str, Finding]:
    return {each["subject"]: Finding(**each) for each in json.loads(output)["findings"]}


def test_a_system_that_is_down_is_said_to_be_down_and_nothing_crashes(tmp_path: Path) -> None:
    with free_port_base() as base:
        home = tmp_path / "home"
        home.mkdir()
        urls = [
            f"PHOENIX_{name}_URL=http://127.0.0.1:{base}" for name in ("BRAIN", "RISK", "EXECUTE", "NOTIFY")
        ]
        servers = [
            f"PHOENIX_POSTGRES_URL=postgresql://127.0.0.1:{base}/phoenix",
            "PHOENIX_ADMIN_DB_PASSWORD=not-for-your-eyes",
            f"PHOENIX_REDIS_URL=redis://:not-for-your-eyes@127.0.0.1:{base}/0",
            f"PHOENIX_AMQP_MANAGEMENT_URL=http://phoenix:not-for-your-eyes@127.0.0.1:{base}",
            f"PHOENIX_PUBLIC_URL=http://127.0.0.1:{base}",
            f"PHOENIX_PORT_BASE={base}",
        ]
        (home / "phoenix.env").write_text("\n".join(urls + servers), encoding="utf-8")
        result = CliRunner().invoke(app, ["--home", str(home), "doctor", "--json"])
    assert result.exit_code == 1
    assert "not-for-your-eyes" not in result.output
    found = _found(result.stdout)
    for subject in ("phoenix", "database", "redis", "broker", "brain", "webhook"):
        assert found[subject].colour == Colour.RED
        assert found[subject].do
    assert found["ports"].colour == Colour.GREEN


def test_without_settings_it_says_how_to_start(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--home", str(tmp_path / "none"), "doctor"])
    assert result.exit_code == 1
    assert "./scripts/start.sh" in result.output


def test_it_tells_what_the_services_say(run: Run, phoenix: PhoenixStandIn) -> None:
    phoenix.answers |= {
        "GET /preflight": (
            200,
            {
                "points": [
                    {"name": "one_way_mode", "result": "failed", "said": "hedge mode", "advice": "switch"},
                    {"name": "address_restriction", "result": "failed", "said": "any", "advice": "bind it"},
                    {"name": "key_rights", "result": "not_applicable", "said": "paper", "advice": ""},
                ]
            },
        ),
        "GET /webhook/tradingview": (405, {"title": "Method Not Allowed"}),
        "GET /api/overview": (200, {"rabbitmq_version": "3.10.8"}),
        "GET /api/health/checks/alarms": (503, {"alarms": [{"node": "n", "resource": "disk space"}]}),
        "GET /api/queues/%2Ftrading": (
            200,
            [{"name": each["name"], "messages": 0, "consumers": each["consumers"]} for each in COUNTED],
        ),
    }
    found = _found(run("doctor", "--json").stdout)
    assert found["exchange: one-way"].colour == Colour.RED
    assert found["exchange: addresses"].colour == Colour.YELLOW, "worth a thought, and it trades"
    assert found["exchange: key"].colour == Colour.GREY
    assert found["webhook"].colour == Colour.GREEN
    assert found["broker alarms"].said == "the broker takes no messages: disk space"
    assert found["rabbitmq"].colour == Colour.GREEN
    assert found["queues"].colour == Colour.GREEN
    assert BROKER_PASSWORD not in str(found)


@pytest.mark.parametrize(("status", "said"), [(401, "the token is refused"), (400, "does not see chat 42")])
def test_telegram_is_asked_and_the_token_is_never_shown(
    run: Run, phoenix: PhoenixStandIn, monkeypatch: pytest.MonkeyPatch, status: int, said: str
) -> None:
    monkeypatch.setenv("PHOENIX_TELEGRAM_BASE_URL", f"http://127.0.0.1:{phoenix.port}")
    monkeypatch.setenv("PHOENIX_TELEGRAM_BOT_TOKEN", "95:not-for-your-eyes")
    monkeypatch.setenv("PHOENIX_TELEGRAM_CHAT_ID", "42")
    phoenix.answers["GET /bot95:not-for-your-eyes/getChat"] = (status, {"ok": False})
    result = run("doctor", "--json")
    assert said in _found(result.stdout)["telegram"].said
    assert "not-for-your-eyes" not in result.output


def test_queues_without_consumers_and_with_dead_letters_are_red() -> None:
    queues = [dict(each) for each in COUNTED]
    queues[0]["consumers"] = 0
    queues[-1]["depth"] = 2
    found = {each.subject: each for each in queue_findings(queues)}
    assert QUEUES[0].name in found["consumers"].said
    assert found["dead letters"].said == f"{QUEUES[-1].dead} 2"
    assert next(queue_findings([])).colour is Colour.RED, "missing queues"  # type: ignore[call-overload]


def test_queues_are_in_order_with_consumers_and_without_dead_letters() -> None:
    assert is_in_order(COUNTED)
    assert not is_in_order(COUNTED[1:])
    for field, value, changed in (("consumers", 0, 0), ("depth", 1, -1)):
        queues = [dict(each) for each in COUNTED]
        queues[changed][field] = value
        assert not is_in_order(queues), "the broker is asked again: its count may be old"


def test_migrations_missing_edited_or_from_the_future_are_red() -> None:
    first = min(APPLIED)
    assert migrated(APPLIED).colour is Colour.GREEN
    assert "missing" in migrated({key: value for key, value in APPLIED.items() if key != first}).said
    assert "edited" in migrated(APPLIED | {first: (APPLIED[first][0], "another")}).said
    assert "newer" in migrated(APPLIED | {9999: ("9999_pre_future", "x")}).said


@pytest.mark.parametrize(("ahead_s", "colour"), [(0.9, Colour.GREEN), (-1.1, Colour.RED), (90.0, Colour.RED)])
def test_a_clock_that_is_off_by_more_than_a_second_is_red(ahead_s: float, colour: Colour) -> None:
    assert clock("clock", ahead_s, "the database").colour is colour


def test_unsent_messages_name_who_owes_them() -> None:
    assert backlog({"brain": 0, "risk": 0}).colour is Colour.GREEN
    assert "risk 3" in backlog({"brain": 0, "risk": 3}).said


def test_a_full_disk_is_red_and_an_almost_full_one_yellow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for free, colour in ((2**29, Colour.RED), (2 * 2**30, Colour.YELLOW), (9 * 2**30, Colour.GREEN)):
        usage = type("Usage", (), {"free": free})
        monkeypatch.setattr("shutil.disk_usage", lambda _, usage=usage: usage)
        (finding,) = doctor_machine.disk(tmp_path / "not" / "there" / "yet")
        assert finding.colour is colour


def test_a_queue_that_is_only_a_name_is_red_though_every_other_is_well() -> None:
    queues = [dict(each) for each in COUNTED]
    queues[3]["dead"] = True
    found = {each.subject: each for each in queue_findings(queues)}
    assert str(queues[3]["name"]) in found["dead queues"].said
    assert "queues" not in found, "nothing is green beside it"


@pytest.mark.parametrize(
    ("raw", "dead"),
    [
        ({"type": "quorum", "state": "running", "online": ["a"]}, False),
        ({"type": "quorum", "online": []}, True),
        ({"type": "quorum", "state": "down"}, True),
        ({"type": "classic", "state": "crashed"}, True),
        ({"type": "classic", "state": "idle"}, False),
    ],
)
def test_what_the_broker_says_of_a_dead_queue_is_understood(raw: dict[str, object], dead: bool) -> None:
    assert api._is_dead(raw) is dead


def test_nothing_is_green_because_there_was_nothing_to_look_at(run: Run, phoenix: PhoenixStandIn) -> None:
    phoenix.answers |= {
        "GET /preflight": (200, {"points": []}),
        "GET /api/queues/%2Ftrading": (200, []),
        "GET /api/overview": (200, {}),
        "GET /api/health/checks/alarms": (200, {}),
        "GET /status": (200, RISK_STATUS | {"snapshot_age_s": None}),
    }
    result = run("doctor", "--json")
    found = _found(result.stdout)
    assert found["exchange"].colour == Colour.YELLOW
    assert found["queues"].colour == Colour.RED
    assert found["dead letters"].colour == Colour.YELLOW
    assert found["account data"].colour == Colour.RED
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("degraded", "colour"), [({}, Colour.GREEN), ({"symbols": "left out: X"}, Colour.YELLOW)]
)
def test_the_feed_is_looked_at_and_says_what_it_goes_on_without(
    run: Run, phoenix: PhoenixStandIn, degraded: dict[str, str], colour: Colour
) -> None:
    told = {"ready": True, "mode": "paper", "dependencies": {}, "degraded": degraded}
    phoenix.answers["GET /ready"] = (200, told)
    assert _found(run("doctor", "--json").stdout)["market feed"].colour == colour
