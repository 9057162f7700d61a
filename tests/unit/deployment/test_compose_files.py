"""The compose files by themselves: valid, complete, pinned, without rights, published on loopback only."""

import json
import re
import tomllib
from importlib import resources
from typing import Any

import jsonschema
import pytest
import yaml

from infrastructure.containers.home import HOSTS, OWNERS
from infrastructure.local.layout import REPOSITORY
from infrastructure.local.log_files import BYTES_MAX as LOG_BYTES_MAX
from shared.lifecycle import STOP_TIMEOUT_S
from tests.compose_files import (
    BASE,
    ENV_EXAMPLE,
    FILES,
    HA,
    PROD,
    STACKS,
    MissingVariableError,
    Tree,
    mounts,
    needs,
    path_in_repository,
    project,
    read,
    services,
    variables,
    waves,
)

GIVEN = {"PHOENIX_TLS_DIR": "/etc/tls"}
ONE_SHOTS = {"secrets", "migrate", "postgres-replication", "cli"}
MONITORING = REPOSITORY / "infrastructure" / "monitoring"

every_stack = pytest.mark.parametrize("stack", STACKS)


def of(stack: str) -> dict[str, Tree]:
    return services(*STACKS[stack], environment=GIVEN)


def seconds(text: str) -> int:
    assert text.endswith("s"), text
    return int(text[:-1])


@pytest.fixture(scope="module")
def validator() -> Any:
    """The schema of the compose specification."""
    schema = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    return jsonschema.Draft202012Validator(json.loads(schema.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", FILES)
def test_every_file_follows_the_compose_specification(validator: Any, path: str) -> None:
    tree = yaml.safe_load((REPOSITORY / path).read_text(encoding="utf-8"))
    assert [f"{list(e.path)}: {e.message}" for e in validator.iter_errors(tree)] == []


@every_stack
def test_every_stack_of_files_merges_to_a_valid_whole(validator: Any, stack: str) -> None:
    merged = project(*STACKS[stack], environment=GIVEN)
    assert [f"{list(e.path)}: {e.message}" for e in validator.iter_errors(merged)] == []


def test_the_schema_refuses_a_misspelt_key(validator: Any) -> None:
    """Or the two tests above prove nothing."""
    assert list(validator.iter_errors({"services": {"brain": {"comand": []}}}))


NOT_WAITED_FOR = {("nginx", "execute")}
"""The exchange is not ours: while it is away EXECUTE does not come up, and everything else must."""


@every_stack
def test_what_is_waited_for_exists_can_fulfil_the_condition_and_forms_no_circle(stack: str) -> None:
    found = of(stack)
    assert sum(map(len, waves(found))) == len(found)
    for waiting, service in found.items():
        for name, condition in needs(service).items():
            if (waiting, name) in NOT_WAITED_FOR:
                assert condition == "service_started"
                continue
            ends = found[name]["restart"] == "no"
            expected = "service_completed_successfully" if ends else "service_healthy"
            assert condition == expected, name
            checked = not found[name].get("healthcheck", {}).get("disable") and (
                "healthcheck" in found[name] or found[name]["image"].startswith("phoenix95:")
            )
            assert ends or checked, name


@every_stack
def test_every_volume_is_declared_and_every_mounted_path_exists(stack: str) -> None:
    merged = project(*STACKS[stack], environment=GIVEN)
    used = set()
    for service in merged["services"].values():
        for source, _ in mounts(service).values():
            if source.startswith("."):
                path = path_in_repository(source)
                assert path.exists() or (path.is_relative_to(MONITORING) and not MONITORING.exists()), source
            elif source != GIVEN["PHOENIX_TLS_DIR"]:
                used.add(source)
    assert used == set(merged["volumes"])


@every_stack
def test_a_volume_belongs_to_one_container_and_to_the_one_that_prepares_it(stack: str) -> None:
    """What a container could read of another one is what an intruder in it has."""
    owners: dict[str, set[str]] = {}
    for name, service in of(stack).items():
        for source, _ in mounts(service).values():
            if not source.startswith((".", "/")):
                owners.setdefault(source, set()).add(name)
    assert owners.pop("home") == {"secrets"}
    assert owners.pop("migrate") - {"postgres-replication"} == {"secrets", "migrate"}
    assert {volume: len(names) for volume, names in owners.items()} == dict.fromkeys(owners, 2)
    assert all("secrets" in names for names in owners.values())


@every_stack
def test_secrets_prepares_every_directory_that_is_mounted_and_nothing_else(stack: str) -> None:
    mounted = mounts(of(stack)["secrets"])
    prepared = {f"/var/lib/phoenix/{volume}": (volume, True) for volume in mounted_volumes(stack)}
    sources = {target: source for target, source in mounted.items() if target.startswith("/app/")}
    assert mounted == prepared | {"/var/lib/phoenix": ("home", True)} | sources


def mounted_volumes(stack: str) -> set[str]:
    companions = {"rabbitmq-2", "rabbitmq-3", "redis-replica", "postgres-standby"}
    return {name for name in OWNERS if "ha" in stack or name not in companions}


@every_stack
def test_only_nginx_and_grafana_are_published_and_on_loopback(stack: str) -> None:
    published = {name: service["ports"] for name, service in of(stack).items() if "ports" in service}
    assert set(published) == {"nginx", "grafana"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_prod_publishes_tls_where_it_is_told_to() -> None:
    told = services(BASE, PROD, environment=GIVEN | {"PHOENIX_PUBLIC_ADDRESS": "0.0.0.0"})
    everywhere = [port for port in told["nginx"]["ports"] if not port.startswith("127.0.0.1:")]
    assert everywhere == ["0.0.0.0:443:443", "0.0.0.0:80:80"]


def test_prod_without_certificates_says_what_is_missing() -> None:
    with pytest.raises(MissingVariableError, match=r"PHOENIX_TLS_DIR: name the directory with fullchain"):
        services(BASE, PROD)


@every_stack
def test_no_container_has_rights_that_it_does_not_need(stack: str) -> None:
    for name, service in of(stack).items():
        assert service["read_only"] is True, name
        assert service["tmpfs"][0].startswith("/tmp:size="), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "pid", "ipc", "devices", "userns_mode"} & set(service), name
        assert ("cap_add" in service) == (name == "secrets"), name
        ours = service["image"].startswith("phoenix95:")  # the image names a user
        assert service.get("user", "10001" if ours else "0:0") != "0:0" or name == "secrets", name
    assert of(stack)["secrets"]["network_mode"] == "none"


@every_stack
def test_what_runs_comes_back_after_a_crash_and_its_log_is_bounded(stack: str) -> None:
    for name, service in of(stack).items():
        assert service["restart"] in ({"no"} if name in ONE_SHOTS else {"unless-stopped", "always"}), name
        options = service["logging"]["options"]
        assert LOG_BYTES_MAX <= int(options["max-size"].removesuffix("m")) * 1_000_000 <= 5 * LOG_BYTES_MAX
        assert 3 <= int(options["max-file"]) <= 10


@every_stack
def test_a_service_has_more_time_to_stop_than_it_takes(stack: str) -> None:
    for name, service in of(stack).items():
        if name not in ONE_SHOTS and service["image"].startswith("phoenix95:"):
            assert seconds(service["stop_grace_period"]) > STOP_TIMEOUT_S, name


@every_stack
def test_every_image_is_pinned_and_the_same_in_all_files(stack: str) -> None:
    base = {image.split(":")[0]: image for image in (each["image"] for each in of("base").values())}
    for service in of(stack).values():
        repository, _, tag = service["image"].partition(":")
        assert re.match(r"v?\d+\.\d+", tag), service["image"]
        assert base[repository] == service["image"]


def test_our_image_has_the_version_of_the_project() -> None:
    pyproject = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    assert of("base")["brain"]["image"] == f"phoenix95:{pyproject['project']['version']}"


def test_nginx_is_new_enough_to_look_addresses_up_while_it_runs() -> None:
    version = of("base")["nginx"]["image"].partition(":")[2]
    assert tuple(map(int, version.split("."))) >= (1, 27, 3)


@pytest.mark.parametrize("replicas", ["1", "2", "4"])
def test_one_setting_multiplies_every_service(replicas: str) -> None:
    found = services(BASE, environment={"PHOENIX_REPLICAS": replicas})
    counts = {name: each["deploy"]["replicas"] for name, each in found.items() if "deploy" in each}
    assert counts == dict.fromkeys(("brain", "risk", "execute", "notify"), replicas)


def test_ha_has_two_of_each_service_three_brokers_and_companions() -> None:
    found = services(BASE, HA)
    doubled = {name for name, each in found.items() if each.get("deploy", {}).get("replicas") == "2"}
    assert doubled == {"brain", "risk", "execute", "notify", "market-feed"}
    brokers = [name for name, each in found.items() if each["image"].startswith("rabbitmq:")]
    assert brokers == ["rabbitmq", "rabbitmq-2", "rabbitmq-3"]
    assert len({found[name]["environment"]["RABBITMQ_NODENAME"] for name in brokers}) == 3
    assert {"redis-replica", "postgres-standby"} <= set(found)


def test_every_broker_is_reached_by_one_name_and_finds_the_others_by_theirs() -> None:
    found = services(BASE, HA)
    cluster = (REPOSITORY / "infrastructure/rabbitmq/cluster.conf").read_text(encoding="utf-8")
    for name in ("rabbitmq", "rabbitmq-2", "rabbitmq-3"):
        service = found[name]
        host, aliases = service["hostname"], {name, *service["networks"]["inside"]["aliases"]}
        assert service["environment"]["RABBITMQ_NODENAME"] == f"rabbit@{host}"
        assert {host, "rabbitmq"} <= aliases
        assert f"= rabbit@{host}\n" in cluster


def test_companions_run_as_the_first_of_their_kind_does() -> None:
    found = services(BASE, HA)
    differs = {"RABBITMQ_NODENAME"}
    for name in ("rabbitmq-2", "rabbitmq-3"):
        for key in ("image", "command", "user", "ulimits", "stop_grace_period"):
            assert found[name][key] == found["rabbitmq"][key]
        environments = [found[each]["environment"].items() for each in ("rabbitmq", name)]
        assert {key for key, _ in environments[0] ^ environments[1]} == differs
    assert found["redis-replica"]["command"] == found["redis"]["command"]
    standby, primary = (found[name]["command"] for name in ("postgres-standby", "postgres"))
    assert standby[:12] == primary[1:13]


def test_every_server_of_the_settings_is_a_service_on_the_inner_network() -> None:
    found = of("base")
    for host in HOSTS.values():
        assert "inside" in found[host]["networks"]


def test_servers_and_those_that_decide_have_no_way_out() -> None:
    assert project(BASE)["networks"]["inside"]["internal"] is True
    outside = {name for name, each in of("base").items() if "outside" in each.get("networks", {})}
    assert outside == {"execute", "market-feed", "notify", "nginx", "alertmanager", "grafana"}


def test_the_example_names_every_variable_of_the_files() -> None:
    text = (REPOSITORY / ENV_EXAMPLE).read_text(encoding="utf-8")
    named = set(re.findall(r"^#?(PHOENIX_\w+)=", text, re.MULTILINE))
    assert {name for path in FILES for name in variables(path)} <= named


def test_the_example_and_the_files_hold_no_secret() -> None:
    text = (REPOSITORY / ENV_EXAMPLE).read_text(encoding="utf-8")
    assert not re.search(r"^#?PHOENIX_\w*(SECRET|PASSWORD|TOKEN|API_KEY)=\S", text, re.MULTILINE)
    for path in FILES:
        for name, service in read(path)["services"].items():
            for key in service.get("environment", {}):
                secret = re.search(r"PASSWORD|SECRET|TOKEN|API_KEY", key)
                assert not secret or key.endswith("_FILE"), f"{path}: {name}: {key}"
