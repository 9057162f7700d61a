"""The compose files beside the code: commands, ports, settings, users and needs are the local start's."""

import itertools
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic_settings import CliApp

from infrastructure.containers.home import (
    HOME,
    HOSTS,
    OWNERS,
    SETTINGS_OF,
    ContainerPorts,
    container_layout,
    keys_of,
)
from infrastructure.containers.preparation import prepare
from infrastructure.local import preparation
from infrastructure.local.layout import REPOSITORY
from infrastructure.local.plan import Program, programs, rabbitmq_environment
from infrastructure.local.ports import SERVICES, Ports
from infrastructure.local.settings_file import read_env_file
from infrastructure.nginx_lb.settings import OWN_KEYS
from infrastructure.paper_exchange.config import PaperSettings
from shared.settings import ENV_FILES_VARIABLE, Settings, load
from tests.compose_files import (
    BASE,
    ENV_EXAMPLE,
    FILES,
    HA,
    PROD,
    STACKS,
    Tree,
    needs,
    services,
    variables,
)
from tests.dockerfile import stages
from tests.unit.local.test_plan import BINARIES

LAYOUT = container_layout(HOME)
PORTS = ContainerPorts()
CONTAINERS = services(BASE)
PLAN = {program.family: program for program in programs(LAYOUT, PORTS, BINARIES)}


def container(family: str) -> Tree:
    return CONTAINERS[family.replace("_", "-")]


def options(command: list[str]) -> dict[str, str]:
    """Return `--name value` pairs of a command of ours, what it runs under `-m`."""
    return dict(zip(command[1::2], command[2::2], strict=True))


def flags(command: tuple[str, ...] | list[str]) -> dict[str, str]:
    """Return the settings after each `-c` of PostgreSQL's command line."""
    given = [value for name, value in itertools.pairwise(command) if name == "-c"]
    return dict(each.split("=", 1) for each in given)


@pytest.mark.parametrize("family", [*SERVICES, "market_feed", "paper_exchange"])
def test_a_process_of_ours_has_the_command_line_of_the_local_start(family: str) -> None:
    local = options(list(PLAN[family].command))
    local.pop("--instance", None)  # a replica is known by its host
    if family in SERVICES:
        local["--port"] = str(PORTS.instance(family, 0))
    there = options(container(family)["command"])
    assert there.pop("--host") == "0.0.0.0"
    assert there == local


def test_redis_and_nginx_have_the_command_lines_of_the_local_start() -> None:
    assert container("redis")["command"][1:] == list(PLAN["redis"].command[1:])
    assert container("nginx")["command"] == list(PLAN["nginx"].command[1:])


def test_postgres_has_the_settings_of_the_local_start_and_a_door_for_its_network() -> None:
    local, there = flags(PLAN["postgres"].command), flags(container("postgres")["command"])
    assert local.pop("unix_socket_directories") == ""  # the image creates the database through its socket
    assert there.pop("hba_file") == str(HOME / "postgres" / "pg_hba.conf")
    assert there.pop("max_slot_wal_keep_size")
    assert (local.pop("listen_addresses"), there.pop("listen_addresses")) == ("127.0.0.1", "*")
    assert there == local
    environment = container("postgres")["environment"]
    assert environment["PGDATA"] == str(LAYOUT.postgres)
    assert environment["PGPORT"] == there["port"]


def test_the_database_cluster_is_made_with_the_options_of_the_local_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(preparation, "postgres_user", lambda: None)
    (tmp_path / "postgres").mkdir()
    preparation.prepare_postgres(container_layout(tmp_path), BINARIES, "password")
    (command,) = asked
    environment = container("postgres")["environment"]
    there = environment["POSTGRES_INITDB_ARGS"].split()
    assert command[-len(there) :] == there
    assert command[command.index("--username") + 1] == environment["POSTGRES_USER"]
    assert environment["POSTGRES_DB"] == preparation.DATABASE
    assert environment["POSTGRES_PASSWORD_FILE"] == str(HOME / "postgres" / "admin.password")


def test_the_broker_has_the_environment_of_the_local_start_but_for_loopback() -> None:
    local, there = dict(rabbitmq_environment(LAYOUT, PORTS)), dict(container("rabbitmq")["environment"])
    for key in ("ERL_EPMD_ADDRESS", "RABBITMQ_NODE_IP_ADDRESS", "RUNNING_UNDER_SYSTEMD", "RABBITMQ_NODENAME"):
        local.pop(key)
    assert there.pop("RABBITMQ_NODENAME") == "rabbit@rabbitmq-1"
    arguments = local.pop("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS")
    assert arguments.endswith(there.pop("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"))
    assert there == local


@pytest.mark.parametrize("family", [*SERVICES, "market_feed", "paper_exchange"])
def test_a_container_waits_for_what_its_program_needs(family: str) -> None:
    wanted = {"migrate" if need == "database" else need.replace("_", "-") for need in PLAN[family].needs}
    assert set(needs(container(family))) - {"secrets"} == wanted


def test_nginx_opens_without_execute_and_stops_before_every_service() -> None:
    waits = needs(container("nginx"))
    assert {name for name, condition in waits.items() if condition == "service_healthy"} == set(
        PLAN["nginx"].needs
    )
    assert set(waits) == {*PLAN["nginx"].needs, *PLAN["nginx"].follows}


@pytest.mark.parametrize("family", sorted(set(PLAN) - {"epmd"}))
def test_a_container_is_stopped_as_its_program_is_and_given_the_time(family: str) -> None:
    program: Program = PLAN[family]
    service = container(family)
    assert service.get("stop_signal", "SIGTERM") == f"SIG{program.stop_signal}"
    assert int(service["stop_grace_period"].removesuffix("s")) >= program.stop_timeout_s


def test_health_checks_ask_the_ports_that_the_servers_listen_on() -> None:
    asked = {
        name: " ".join(service["healthcheck"]["test"])
        for name, service in CONTAINERS.items()
        if "test" in service.get("healthcheck", {})
    }
    ports = {name: name.replace("-", "_") for name in asked if name not in {"rabbitmq", "grafana"}}
    ports["rabbitmq"] = "amqp"
    assert len(asked) == 8
    for name, server in ports.items():
        assert str(PORTS.of(server)) in asked[name], name


def test_nginx_publishes_the_ports_of_the_local_start() -> None:
    wanted = [Ports().of(name) for name in ("nginx", *SERVICES)]
    assert container("nginx")["ports"] == [f"127.0.0.1:{port}:{port}" for port in wanted]


def test_brain_believes_nginx_and_nobody_else() -> None:
    for network in ("172.31.95", "10.9.8"):
        found = services(BASE, environment={"PHOENIX_NETWORK": network})
        (address,) = (found["nginx"]["networks"]["inside"]["ipv4_address"],)
        for service in ("brain", "notify"):
            assert found[service]["environment"]["PHOENIX_TRUSTED_PROXIES"] == address


def test_every_host_of_the_settings_is_a_container() -> None:
    assert set(HOSTS.values()) <= set(CONTAINERS)


def test_a_container_runs_as_the_user_to_whom_its_directory_is_handed() -> None:
    found = services(*STACKS["ha"])
    default = stages()[-1].all("USER")[0]
    for directory, user in OWNERS.items():
        name = directory.replace("_", "-")
        assert found[name].get("user", default) == f"{user}:{user}", directory


def test_every_variable_of_ours_is_one_that_the_process_reads() -> None:
    for stack in ((BASE, HA), (BASE, PROD)):
        for name, service in services(*stack, environment={"PHOENIX_TLS_DIR": "/tls"}).items():
            given = {key for key in service.get("environment", {}) if key.startswith("PHOENIX_")}
            given -= {ENV_FILES_VARIABLE}
            if name == "secrets":
                assert given <= OWN_KEYS
            elif name == "cli":
                assert given == {"PHOENIX_HOME"}
            elif name == "grafana":
                provisioned = (REPOSITORY / "infrastructure/monitoring/grafana/provisioning").rglob("*.y*ml")
                wanted = {
                    key for file in provisioned for key in re.findall(r"\$(PHOENIX_\w+)", file.read_text())
                }
                assert given == wanted
            elif given:
                assert given <= keys_of(SETTINGS_OF[name.replace("-", "_")]), name


def test_the_example_names_settings_that_exist() -> None:
    text = (REPOSITORY / ENV_EXAMPLE).read_text(encoding="utf-8")
    named = set(re.findall(r"\b(PHOENIX_\w+)", text))
    of_compose = {name for path in FILES for name in variables(path)}
    known = {key for kind in SETTINGS_OF.values() for key in keys_of(kind)}
    assert named - of_compose <= known


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home as the container `secrets` prepares it, all of it ours."""
    path = tmp_path_factory.mktemp("home")
    prepare(path, {}, highly_available=True, hand_over=False)
    return path


@pytest.mark.parametrize("reader", sorted(set(SETTINGS_OF) - {"paper_exchange"}))
def test_a_process_finds_all_its_settings_where_its_container_looks(
    home: Path, monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    environment: Mapping[str, str] = container(reader)["environment"]
    for key, value in environment.items():
        monkeypatch.setenv(key, value.replace(str(HOME), str(home)))
    kind = SETTINGS_OF[reader]
    if issubclass(kind, Settings):
        assert load(kind).mode == "paper"
    else:
        assert kind().model_fields_set


def test_the_paper_exchange_and_its_clients_hold_the_same_keys(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENV_FILES_VARIABLE, str(home / "paper_exchange" / "phoenix.env"))
    paper = CliApp.run(PaperSettings, cli_args=[])
    client = read_env_file(home / "execute" / "phoenix.env")
    assert paper.api_key.get_secret_value() == client["PHOENIX_EXCHANGE_API_KEY"]
    assert paper.api_secret.get_secret_value() == client["PHOENIX_EXCHANGE_API_SECRET"]
    assert client["PHOENIX_EXCHANGE_BASE_URL"] == f"http://paper-exchange:{paper.port}"


@pytest.mark.parametrize(
    ("name", "readers"), [("exchange.env", {"execute", "market-feed"}), ("notify.env", {"notify"})]
)
def test_a_settings_file_of_its_own_is_read_by_whom_it_is_for(name: str, readers: set[str]) -> None:
    found = {
        service
        for service, tree in CONTAINERS.items()
        if any(each["path"] == name for each in tree.get("env_file", []))
    }
    assert found == readers


def test_a_process_holds_no_secret_that_it_does_not_need(home: Path) -> None:
    files = {reader: read_env_file(home / reader / "phoenix.env") for reader in SETTINGS_OF}
    readers = {
        key: {name for name, values in files.items() if key in values}
        for values in files.values()
        for key in values
    }
    assert readers["PHOENIX_EXCHANGE_API_SECRET"] == {"execute", "market_feed", "paper_exchange"}
    assert readers["PHOENIX_WEBHOOK_SECRET"] == {"brain"}
    assert readers["PHOENIX_ADMIN_DB_PASSWORD"] == {"migrate"}
    for service in (*SERVICES, "feed"):
        reader = "market_feed" if service == "feed" else service
        assert readers[f"PHOENIX_{service.upper()}_DB_PASSWORD"] == {reader, "migrate"}
