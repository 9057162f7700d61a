"""Rendered configurations: private, complete, and with no secret where others can read it."""

import configparser
import json
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from infrastructure.local import rendering
from infrastructure.local.front_door import nginx_version
from infrastructure.local.layout import REPOSITORY
from infrastructure.local.plan import programs
from infrastructure.local.ports import REPLICAS_MAX, Ports
from infrastructure.nginx_lb.placeholders import configuration
from infrastructure.nginx_lb.settings import read
from tests.unit.local.test_plan import BINARIES, LAYOUT, table

NGINX = REPOSITORY / "infrastructure" / "nginx_lb"


def nginx(name: str, replicas: int = 1, drained: tuple[str, ...] = ()) -> str:
    where = rendering.nginx_addresses(LAYOUT, Ports(8000), replicas, "www-data", drained)
    templates = {path.name: path.read_text() for path in NGINX.glob("*.conf")}
    return configuration(templates, read({}), where)[name]


def test_nginx_listens_on_loopback_only() -> None:
    addresses = re.findall(r"listen (\S+);", nginx("nginx.conf"))
    assert addresses == [f"127.0.0.1:{port}" for port in (8080, 8100, 8101, 8102, 8103)]


@pytest.mark.parametrize("replicas", range(1, REPLICAS_MAX + 1))
def test_every_instance_is_checked_and_several_have_a_last_resort(replicas: int) -> None:
    upstreams = nginx("upstream.conf", replicas)
    assert upstreams.count("127.0.0.1:8120 max_fails=3 fail_timeout=30s;") == 1
    assert upstreams.count("max_fails=3 fail_timeout=30s;") == 4 * replicas
    assert upstreams.count("max_fails=0 backup;") == (4 * replicas if replicas > 1 else 0)


def test_a_drained_instance_gets_no_request_not_even_as_the_last_resort() -> None:
    upstreams = nginx("upstream.conf", replicas=2, drained=("risk-1",))
    assert re.findall(r"server (\S+) .*\bdown;", upstreams) == ["127.0.0.1:8131", "127.0.0.1:8131"]


def test_nobody_can_ask_an_instance_for_another_protocol() -> None:
    configuration = nginx("nginx.conf")
    assert 'proxy_set_header Upgrade "";' in configuration
    assert 'proxy_set_header Connection "";' in configuration
    assert "http_upgrade" not in configuration


def test_broker_definitions_keep_the_topology_and_add_our_user() -> None:
    topology = (REPOSITORY / "infrastructure/rabbitmq/definitions.json").read_text()
    definitions = json.loads(rendering.broker_definitions(topology, "s3cret", b"salt"))
    assert definitions["queues"] == json.loads(topology)["queues"]
    assert [user["name"] for user in definitions["users"]] == ["phoenix"]
    assert definitions["permissions"][0]["vhost"] == "/trading"
    assert "s3cret" not in json.dumps(definitions)


def test_the_topology_in_git_holds_no_user() -> None:
    topology = json.loads((REPOSITORY / "infrastructure/rabbitmq/definitions.json").read_text())
    assert "users" not in topology


def test_password_hash_is_the_one_of_the_brokers_documentation() -> None:
    salt = bytes.fromhex("908DC60A")
    assert (
        rendering.rabbit_password_hash("test12", salt) == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
    )


def supervisor_sections(replicas: int = 1) -> configparser.RawConfigParser:
    text = rendering.supervisor_conf(table(replicas), LAYOUT, {"PHOENIX_ENV_FILE": "/home/50%/phoenix.env"})
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=True)
    parser.read_string(text)
    return parser


def test_every_program_is_restarted_and_writes_its_log_itself() -> None:
    sections = supervisor_sections(replicas=2)
    for program in table(2):
        section = sections[f"program:{program.name}"]
        assert section["autorestart"] == "true"
        assert section["stdout_logfile"] == "NONE", "a pipe could fail who writes into it, or hold him up"
        command = shlex.split(section["command"])
        assert command[command.index("--log") + 1] == str(LAYOUT.logs / f"{program.name}.log")


def test_a_program_is_started_through_the_launcher_that_notes_its_pid() -> None:
    command = shlex.split(supervisor_sections()["program:redis"]["command"])
    assert command[:3] == [sys.executable, "-I", "-S"]
    assert command[3:10] == [
        *(str(rendering.LAUNCHER), "--log", str(LAYOUT.logs / "redis.log")),
        *("--pid-file", str(LAYOUT.run / "redis.pid"), "--starts", str(LAYOUT.run / "redis.starts")),
    ]
    assert command[10:] == ["/usr/bin/redis-server", str(LAYOUT.redis / "redis.conf")]


def test_the_launcher_leaves_postgres_its_own_pid_file_and_becomes_its_user() -> None:
    written = programs(LAYOUT, Ports(8000), BINARIES, postgres_user="postgres")
    sections = configparser.RawConfigParser()
    sections.read_string(rendering.supervisor_conf(written, LAYOUT, {}))
    command = shlex.split(sections["program:postgres"]["command"])
    assert "--pid-file" not in command
    assert command[command.index("--user") + 1 :][:2] == ["postgres", "/usr/lib/postgresql/15/bin/postgres"]
    assert "user" not in sections["program:postgres"], "its log is opened before, as who we are"


def test_the_guardian_starts_with_supervisord_and_is_started_again() -> None:
    command = ("/venv/bin/python", "-m", "infrastructure.local.guardian")
    text = rendering.supervisor_conf(table(), LAYOUT, {}, guardian=command)
    sections = configparser.RawConfigParser()
    sections.read_string(text)
    assert sections["program:guardian"]["autostart"] == "true"
    assert sections["program:guardian"]["autorestart"] == "true"
    assert sections["program:guardian"]["command"].endswith(shlex.join(command))
    assert sections["supervisord"]["logfile_maxbytes"] == "0"


def test_only_programs_of_ours_learn_where_the_settings_are() -> None:
    sections = supervisor_sections()
    with_settings = {
        name.removeprefix("program:")
        for name in sections.sections()
        if "PHOENIX_ENV_FILE" in sections[name].get("environment", "")
    }
    assert with_settings == {"paper_exchange", "brain-0", "risk-0", "execute-0", "notify-0", "market_feed"}


def test_percent_signs_are_escaped_for_supervisord() -> None:
    assert (
        'PHOENIX_ENV_FILE="/home/50%%/phoenix.env"' in supervisor_sections()["program:brain-0"]["environment"]
    )


def test_server_configurations_bind_loopback_and_use_their_own_directories() -> None:
    redis = rendering.redis_conf("appendonly yes", LAYOUT, 8174, "pw")
    assert redis.splitlines() == [
        "appendonly yes", "bind 127.0.0.1", "port 8174", f'dir "{LAYOUT.redis}"', "requirepass pw",
    ]  # fmt: skip
    rabbitmq = rendering.rabbitmq_conf("heartbeat = 10", LAYOUT, Ports(8000))
    assert "management.tcp.ip = 127.0.0.1" in rabbitmq
    assert f"load_definitions = {Path(LAYOUT.rabbitmq)}/definitions.json" in rabbitmq


@pytest.mark.parametrize(
    ("knows_directive", "said"),
    [(False, ("listen 127.0.0.1:8084 ssl http2;",)), (True, ("listen 127.0.0.1:8084 ssl;", "http2 on;"))],
)
def test_http2_is_asked_for_as_this_nginx_has_it(knows_directive: bool, said: tuple[str, ...]) -> None:
    """1.22 knows no directive `http2`, 1.26 warns of the word in `listen`: Debian 12 and 13."""
    where = rendering.nginx_addresses(LAYOUT, Ports(8000), 1, None)
    templates = {path.name: path.read_text() for path in NGINX.glob("*.conf")}
    tls = {"PHOENIX_TLS_CERTIFICATE": "/c.pem", "PHOENIX_TLS_KEY": "/k.pem"}
    text = configuration(templates, read(tls), replace(where, knows_http2_directive=knows_directive))
    assert all(each in text["tls.conf"] for each in said)
    assert text["tls.conf"].count("http2") == 1


def test_the_version_of_nginx_is_what_it_says_of_itself(tmp_path: Path) -> None:
    program = tmp_path / "nginx"
    program.write_text("#!/bin/sh\necho 'nginx version: nginx/1.26.3 (Debian)' >&2\n")
    program.chmod(0o755)
    assert nginx_version(program) == (1, 26, 3)
