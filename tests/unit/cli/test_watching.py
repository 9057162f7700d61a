"""`metrics`, `monitor`, `status --watch`, `version`: what is shown, and that it goes on as it should."""

import json
from pathlib import Path

import pytest
from pydantic import SecretStr
from rich.text import Text
from typer.testing import CliRunner

from scripts.phoenix_cli import care, watching
from scripts.phoenix_cli.api import Api
from scripts.phoenix_cli.app import app
from scripts.phoenix_cli.failures import Unreachable
from scripts.phoenix_cli.installation import Installation, find_installation
from scripts.phoenix_cli.measured import INFINITE, is_known, percentile, read
from tests.unit.cli.conftest import Run
from tests.unit.cli.phoenix_stand_in import PhoenixStandIn

METRICS = """\
# HELP phoenix_equity_usdt Account equity at the last snapshot, USDT.
# TYPE phoenix_equity_usdt gauge
phoenix_equity_usdt 9995.5
# HELP phoenix_decision_duration_seconds d
# TYPE phoenix_decision_duration_seconds histogram
phoenix_decision_duration_seconds_bucket{le="0.005"} 5.0
phoenix_decision_duration_seconds_bucket{le="0.01"} 10.0
phoenix_decision_duration_seconds_bucket{le="+Inf"} 10.0
phoenix_decision_duration_seconds_count 10.0
phoenix_decision_duration_seconds_sum 0.05
"""
FACT = {"event_id": "evt-1", "severity": "info", "title": "LONG BTCUSDT opened", "body": "Stop 49010.2"}


@pytest.fixture
def installed(phoenix: PhoenixStandIn, tmp_path: Path) -> Installation:
    """Give the installation that is the stand-in."""
    return find_installation(phoenix.write_home(tmp_path / "home"))


def test_gauges_are_shown_of_who_measures_them_and_histograms_as_percentiles() -> None:
    equity, decision = read("risk", METRICS)
    assert (equity.name, equity.value) == ("equity, USDT", 9995.5)
    assert (decision.value, decision.p50_ms) == (10.0, 5.0)
    assert decision.p99_ms == pytest.approx(9.9)
    assert read("brain", METRICS) == [], "every process exports every gauge, at zero"


@pytest.mark.parametrize(
    ("share", "buckets", "expected"),
    [
        (0.5, {1.0: 0.0, INFINITE: 0.0}, None),
        (0.5, {1.0: 10.0, INFINITE: 10.0}, 0.5),
        (0.99, {1.0: 5.0, INFINITE: 10.0}, 1.0),  # beyond the last bound nothing more is known
    ],
)
def test_percentiles_at_the_edges(share: float, buckets: dict[float, float], expected: float | None) -> None:
    assert percentile(share, buckets) == expected


def test_the_live_status_shows_an_absence_and_goes_on(
    installed: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    with Api(installed) as api:
        watching.live_status(api, 0.0, rounds=2)
    assert "Trading ACTIVE" in capsys.readouterr().out
    gone = Installation(installed.home, dict.fromkeys(installed.settings, SecretStr("http://127.0.0.1:9")))
    with Api(gone) as api:
        watching.live_status(api, 0.0, rounds=1)
    assert "Phoenix cannot be reached" in capsys.readouterr().out


def test_watch_and_json_do_not_go_together(run: Run) -> None:
    assert run("status", "--watch", "--json").exit_code == 2


def test_every_message_is_told_once_in_its_order(installed: Installation, phoenix: PhoenixStandIn) -> None:
    told: list[str] = []
    newest = [FACT | {"event_id": "evt-2"}, FACT]
    phoenix.answers["GET /notifications"] = (200, {"notifications": newest})
    with Api(installed) as api:
        watching.follow_facts(api, lambda fact: told.append(fact["event_id"]), rounds=2)
    assert told == ["evt-1", "evt-2"]
    assert "LONG BTCUSDT opened · Stop 49010.2" in Text.from_markup(care._fact_line(FACT)).plain


def test_new_log_lines_are_told_and_old_ones_are_not(installed: Installation) -> None:
    logs = installed.home / "logs"
    logs.mkdir()
    log = logs / "risk-0.log"
    log.write_text("old\n", encoding="utf-8")
    told: list[tuple[str, str]] = []

    def tell(program: str, line: str) -> None:
        told.append((program, line))

    tail = watching._tail(log)
    assert next(tail) is None
    with log.open("a", encoding="utf-8") as file:
        file.write("new\n")
    assert next(tail) == "new"
    log.write_text("", encoding="utf-8")  # rotated
    assert next(tail) is None
    log.write_text("again\n", encoding="utf-8")
    assert next(tail) == "again"
    watching.follow_logs(installed, ["risk-0"], tell, rounds=1)
    assert told == []
    with pytest.raises(Unreachable, match="docker compose logs"):
        watching.follow_logs(installed, ["nobody"], tell, rounds=1)


def test_a_log_line_is_made_readable_and_anything_else_is_left() -> None:
    line = json.dumps({"action": "fill", "level": "error", "price": "[1]", "correlation_id": "sig-1"})
    shown = Text.from_markup(watching.log_line("execute-0", line)).plain
    assert "fill price=[1] sig-1" in shown
    assert "plain [text]" in Text.from_markup(watching.log_line("nginx", "plain [text]")).plain


def test_metrics_of_a_system_that_gives_none_are_an_error(run: Run) -> None:
    result = run("metrics")
    assert result.exit_code == 3
    assert "No service gives metrics" in result.output


def test_version_works_when_nothing_runs(tmp_path: Path) -> None:
    (tmp_path / "phoenix.env").write_text("PHOENIX_BRAIN_URL=http://127.0.0.1:9\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["--home", str(tmp_path), "version", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) | {"commit": None, "python": ""} == {
        "phoenix95": care.project_version(), "commit": None, "python": "", "running": False, "mode": None,
    }  # fmt: skip


KEPT = (
    METRICS
    + """\
# HELP phoenix_unrealised_pnl_usdt u
# TYPE phoenix_unrealised_pnl_usdt gauge
"""
)
PNL = "unrealised P&L, USDT"


def test_a_number_that_nobody_has_is_unknown_and_not_zero() -> None:
    rows = {row.name: row for row in read("execute", KEPT)}
    assert rows[PNL].value is None
    assert not is_known(KEPT)


def test_the_replica_that_keeps_the_account_is_asked(installed: Installation) -> None:
    """Behind the balancer any of them may answer; the others know nothing of the account."""
    answers = [KEPT, KEPT, KEPT + "phoenix_unrealised_pnl_usdt -81.0\n"]

    class Balanced(Api):
        def text(self, service: str, path: str) -> str:
            assert path == "/metrics"
            return answers.pop(0) if service == "execute" else METRICS

    with Balanced(installed) as api:
        rows = watching.metrics_of(api)["metrics"]
    assert [row["value"] for row in rows if row["name"] == PNL] == [-81.0]
