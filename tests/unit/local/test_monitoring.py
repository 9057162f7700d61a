"""The monitoring of the local stack: private, bounded, asking everybody, started last and stopped first."""

import json

import pytest
import yaml

from infrastructure.local.layout import REPOSITORY
from infrastructure.local.monitoring import FAMILY, monitoring_programs, targets
from infrastructure.local.plan import Program, select, stop_waves
from infrastructure.local.ports import REPLICAS_MAX, SERVICES, Ports
from infrastructure.monitoring.targets import JOBS, Named, alertmanager_values, prometheus_values
from infrastructure.templates import fill_template
from tests.unit.local.test_plan import BINARIES, LAYOUT, table

MONITORING = REPOSITORY / "infrastructure" / "monitoring"


def whole_table(replicas: int = 1) -> tuple[Program, ...]:
    return (*table(replicas), *monitoring_programs(LAYOUT, Ports(8000), BINARIES))


def scrape_configuration(replicas: int = 1) -> dict[str, list[dict[str, object]]]:
    values = prometheus_values(targets(Ports(8000), replicas), "/alerts.yml")
    text = fill_template((MONITORING / "prometheus.yml").read_text(), values)
    return {job["job_name"]: job["static_configs"] for job in yaml.safe_load(text)["scrape_configs"]}


def test_it_shares_no_port_and_listens_on_loopback_only() -> None:
    used = [port for program in whole_table(REPLICAS_MAX) for port in program.ports]
    assert len(used) == len(set(used))
    assert set(used) <= set(Ports(8000).all())
    for program in monitoring_programs(LAYOUT, Ports(8000), BINARIES):
        listening = [part for part in program.command if part.startswith("--web.listen-address=")]
        assert listening == [f"--web.listen-address=127.0.0.1:{program.ports[0]}"]


def test_it_starts_last_and_stops_first_so_that_neither_looks_like_a_trouble() -> None:
    watching = {program.name for program in whole_table() if program.family == FAMILY}
    assert watching == {"prometheus", "alertmanager", "node_exporter"}
    for program in whole_table():
        assert (program.follows == ("nginx", "market_feed")) == (program.name in watching)
        assert not (program.needs and program.name in watching), "what failed to start must be watched too"
    assert set(stop_waves(whole_table())[0]) == watching


def test_it_is_left_out_by_one_word() -> None:
    assert select(whole_table(), without=[FAMILY]) == table()


def test_no_page_of_a_stranger_may_ask_for_the_numbers() -> None:
    prometheus = next(program for program in whole_table() if program.name == "prometheus")
    assert "--web.cors.origin=none" in prometheus.command


def test_what_it_records_is_bounded_in_time_and_size() -> None:
    prometheus = next(program for program in whole_table() if program.name == "prometheus")
    assert "--storage.tsdb.retention.time=15d" in prometheus.command
    assert "--storage.tsdb.retention.size=1GB" in prometheus.command


@pytest.mark.parametrize("replicas", range(1, REPLICAS_MAX + 1))
def test_every_instance_of_every_service_is_asked_under_its_own_name(replicas: int) -> None:
    jobs = scrape_configuration(replicas)
    for service in SERVICES:
        assert [group["labels"] for group in jobs[service]] == [
            {"instance": f"{service}-{index}"} for index in range(replicas)
        ]
    asked = [target for groups in jobs.values() for group in groups for target in group["targets"]]  # type: ignore[attr-defined]
    assert len(asked) == len(set(asked)) + 1, "the broker is asked twice: as a node, and for its queues"


def test_the_same_template_holds_names_that_are_looked_up() -> None:
    named = {job: Named(job, 8100) for job in JOBS}
    values = prometheus_values(named, "/etc/prometheus/alerts.yml", interval_s=5)
    filled = yaml.safe_load(fill_template((MONITORING / "prometheus.yml").read_text(), values))
    assert filled["global"] == {
        "scrape_interval": "5000ms",
        "scrape_timeout": "4000ms",
        "evaluation_interval": "5000ms",
    }
    brain = next(job for job in filled["scrape_configs"] if job["job_name"] == "brain")
    assert brain["dns_sd_configs"] == [
        {"names": ["brain"], "type": "A", "port": 8100, "refresh_interval": "10s"}
    ]


def test_alertmanager_knows_where_the_key_is_and_not_the_key() -> None:
    values = alertmanager_values("http://127.0.0.1:8103", "/home/notify.key")
    filled = yaml.safe_load(fill_template((MONITORING / "alertmanager.yml").read_text(), values))
    notify, heartbeat = filled["receivers"]
    [webhook] = notify["webhook_configs"]
    assert webhook["url"] == "http://127.0.0.1:8103/alert"
    assert webhook["http_config"] == {"authorization": {"credentials_file": "/home/notify.key"}}
    assert heartbeat["webhook_configs"] == [], "nobody outside is called unless an address is set"


def test_a_watchdog_outside_is_called_when_its_address_is_set() -> None:
    values = alertmanager_values("http://notify:8103", "/key", heartbeat_url="https://example.org/ping")
    assert json.loads(values["PHOENIX_HEARTBEAT_WEBHOOK"].partition(": ")[2]) == [
        {"url": "https://example.org/ping", "send_resolved": False}
    ]
