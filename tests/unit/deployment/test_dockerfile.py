"""The Dockerfile: two stages, a user without rights, exec form, and nothing in the image that is secret."""

import re
from importlib import util
from types import ModuleType

import pytest

from infrastructure.containers.home import OUR_USER
from infrastructure.local.layout import REPOSITORY
from tests.compose_files import BASE, services
from tests.dockerfile import exec_form, is_in_context, stages


@pytest.fixture(scope="module")
def healthcheck() -> ModuleType:
    """The script as the image runs it: a file, not a module of a package."""
    spec = util.spec_from_file_location("healthcheck", REPOSITORY / "deployment" / "healthcheck.py")
    assert spec
    assert spec.loader
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_packages_are_installed_in_a_stage_of_their_own_from_one_pinned_slim_image() -> None:
    first, last = stages()
    assert first.base == last.base
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", last.base)
    assert "COPY --from=packages" in f"COPY {last.all('COPY')[0]}"
    assert not any("pip" in each for each in last.all("RUN"))


def test_the_image_runs_as_the_user_to_whom_the_home_is_handed() -> None:
    assert stages()[-1].all("USER") == [f"{OUR_USER}:{OUR_USER}"]


def test_every_command_is_in_exec_form() -> None:
    """A shell in between would swallow the signal to stop."""
    for stage in stages():
        for kind in ("RUN", "CMD", "ENTRYPOINT"):
            for arguments in stage.all(kind):
                assert exec_form(arguments)
    (health,) = stages()[-1].all("HEALTHCHECK")
    assert exec_form(health.partition("CMD ")[2])[-1] == "/app/deployment/healthcheck.py"


def test_what_is_copied_exists_and_passes_the_ignore_file() -> None:
    for stage in stages():
        for arguments in stage.all("COPY"):
            *sources, target = [part for part in arguments.split() if not part.startswith("--")]
            if "--from=" in arguments:
                continue
            for source in sources:
                assert (REPOSITORY / source).exists(), source
                assert is_in_context(source), source
                assert target.endswith((source, "/")), "what is in /app has the path it has in the repository"


@pytest.mark.parametrize(
    "path",
    [
        ".env", "exchange.env", "notify.env", ".phoenix/phoenix.env", "services/brain/.env",
        "infrastructure/phoenix.env", ".git/config", "tests/servers.py", "deployment/tls/key.pem",
        "services/__pycache__/flow.pyc",
    ],
)  # fmt: skip
def test_secrets_data_and_tests_stay_out_of_the_image(path: str) -> None:
    assert not is_in_context(path)


def test_every_module_that_a_container_starts_is_in_the_image() -> None:
    copied = {arguments.split()[-1] for arguments in stages()[-1].all("COPY")}
    for name, service in services(BASE).items():
        command = [*service.get("entrypoint", []), *service.get("command", [])]
        if not service["image"].startswith("phoenix95:"):
            continue
        if "-m" in command:
            path = command[command.index("-m") + 1].replace(".", "/")
            assert (REPOSITORY / path / "__main__.py").exists() or (REPOSITORY / f"{path}.py").exists(), name
            assert f"/app/{path.split('/')[0]}" in copied
        else:
            assert (REPOSITORY / command[1]).exists(), name
            assert f"/app/{command[1].split('/')[0]}" in copied


def test_the_health_check_finds_the_port_on_the_command_line(healthcheck: ModuleType) -> None:
    for name in ("brain", "risk", "execute", "notify", "market-feed", "paper-exchange"):
        command = services(BASE)[name]["command"]
        through_init = [
            "/sbin/docker-init",
            "--",
            *command,
            "",
        ]  # what `init: true` makes of it, as /proc shows it
        assert str(healthcheck.port_of(through_init)) == command[command.index("--port") + 1]


def test_a_health_check_without_a_port_says_so(healthcheck: ModuleType) -> None:
    with pytest.raises(ValueError, match="no --port on the command line: python -m x"):
        healthcheck.port_of(["python", "-m", "x"])
