"""The monitoring's files as Prometheus and Alertmanager themselves read them, and when the rules fire."""

import shutil
import subprocess
from pathlib import Path

import pytest

from infrastructure.local.layout import REPOSITORY, Layout
from infrastructure.local.monitoring import prepare_monitoring
from infrastructure.local.ports import Ports
from infrastructure.monitoring.targets import JOBS, Named, prometheus_values
from infrastructure.templates import fill_template

MONITORING = REPOSITORY / "infrastructure" / "monitoring"
CHECK_TIMEOUT_S = 60
SETTINGS = {
    "PHOENIX_NOTIFY_URL": "http://127.0.0.1:8103",
    "PHOENIX_API_KEY": "the-operators-key",
    "PHOENIX_HEARTBEAT_URL": "https://watchdog.example/ping",
}


def check(*command: str, folder: Path) -> None:
    """Run a check of a tool and show what it says when it fails."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=CHECK_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Directories as a start makes them, configured for two replicas."""
    made = Layout(tmp_path, tmp_path / "postgres")
    for folder in (made.prometheus, made.alertmanager):
        folder.mkdir()
    assert prepare_monitoring(made, Ports(8000), 2, SETTINGS) == {"prometheus", "alertmanager"}
    return made


def test_prometheus_accepts_what_the_local_stack_writes(layout: Layout) -> None:
    check("promtool", "check", "config", "prometheus.yml", folder=layout.prometheus)


def test_prometheus_accepts_names_that_are_looked_up(layout: Layout) -> None:
    values = prometheus_values({job: Named(job, 9000) for job in JOBS}, "alerts.yml")
    named = layout.prometheus / "named.yml"
    named.write_text(fill_template((MONITORING / "prometheus.yml").read_text(), values))
    check("promtool", "check", "config", named.name, folder=layout.prometheus)


def test_alertmanager_accepts_what_the_local_stack_writes(layout: Layout) -> None:
    check("amtool", "check-config", "alertmanager.yml", folder=layout.alertmanager)


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (("alertname=Heartbeat", "severity=none"), "heartbeat"),
        (("alertname=NakedPosition", "severity=critical"), "notify"),
        (("alertname=CpuBusy", "severity=warning"), "notify"),
    ],
)
def test_an_alert_goes_where_it_should(layout: Layout, labels: tuple[str, ...], receiver: str) -> None:
    check(
        "amtool", "config", "routes", "test", "--config.file=alertmanager.yml",
        f"--verify.receivers={receiver}", *labels, folder=layout.alertmanager,
    )  # fmt: skip


def test_the_key_is_private_and_in_no_configuration(layout: Layout) -> None:
    key = layout.alertmanager / "notify.key"
    assert key.read_text() == SETTINGS["PHOENIX_API_KEY"]
    assert key.stat().st_mode & 0o077 == 0
    for written in (layout.prometheus / "prometheus.yml", layout.alertmanager / "alertmanager.yml"):
        assert SETTINGS["PHOENIX_API_KEY"] not in written.read_text()


def test_what_did_not_change_is_not_written_again(layout: Layout) -> None:
    assert prepare_monitoring(layout, Ports(8000), 2, SETTINGS) == set()
    assert prepare_monitoring(layout, Ports(8000), 3, SETTINGS) == {"prometheus"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("PHOENIX_MONITORING_INTERVAL_S", "often"),
        ("PHOENIX_MONITORING_INTERVAL_S", "0"),
        ("PHOENIX_MONITORING_GROUP_WAIT_S", "nan"),
        ("PHOENIX_HEARTBEAT_URL", "watchdog.example"),
    ],
)
def test_a_setting_that_cannot_work_is_named(layout: Layout, key: str, value: str) -> None:
    with pytest.raises(ValueError, match=key):
        prepare_monitoring(layout, Ports(8000), 1, SETTINGS | {key: value})


def test_rules_fire_in_time_and_not_before(tmp_path: Path) -> None:
    shutil.copy(MONITORING / "alerts.yml", tmp_path)
    shutil.copy(Path(__file__).with_name("rule_timing.yml"), tmp_path)
    check("promtool", "test", "rules", "rule_timing.yml", folder=tmp_path)
