"""scripts/lib.sh: the virtual environment is rebuilt when it was made for another Python or place."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from infrastructure.local.layout import REPOSITORY

LIB = REPOSITORY / "scripts" / "lib.sh"
LIST, WANTED = "requirements.txt", "lists-of-today  -"


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """Give a virtual environment without packages, stamped as installed for this Python, here."""
    environment = tmp_path / ".venv"
    venv.create(environment, with_pip=False, symlinks=True)
    stamp(environment, in_lib(environment, "venv_identity").stdout.strip())
    return environment


def in_lib(environment: Path, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a function of lib.sh on an environment of this test."""
    script = f". '{LIB}'; VENV='{environment}'; {command}"
    return subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", script],
        env={"PATH": "/usr/bin:/bin", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def stamp(environment: Path, identity: str | None) -> None:
    lines = [WANTED] if identity is None else [WANTED, identity]
    (environment / f".{LIST}").write_text("\n".join(lines) + "\n")


def fits(environment: Path, wanted: str = WANTED) -> bool:
    return in_lib(environment, f"venv_fits {LIST} '{wanted}'").returncode == 0


def test_an_environment_of_this_python_with_todays_lists_is_kept(environment: Path) -> None:
    assert fits(environment)
    assert not fits(environment, "lists of tomorrow")


def test_another_python_under_the_environment_is_noticed(environment: Path) -> None:
    identity = (environment / f".{LIST}").read_text().splitlines()[1]
    assert sys.implementation.cache_tag in identity
    stamp(environment, identity.replace(sys.implementation.cache_tag, "cpython-39"))
    assert not fits(environment)


def test_a_moved_environment_is_noticed_and_a_link_to_it_is_not_one(environment: Path) -> None:
    link = environment.with_name("link")
    link.symlink_to(environment)
    assert fits(link)
    moved = environment.rename(environment.with_name("moved"))
    assert not fits(moved)


def test_an_environment_whose_python_is_gone_is_noticed(environment: Path) -> None:
    for name in ("python", "python3"):
        (environment / "bin" / name).unlink()
    assert not fits(environment)


def test_a_stamp_of_an_earlier_version_counts_while_the_packages_are_seen(environment: Path) -> None:
    stamp(environment, None)
    assert not fits(environment), "this one has none"
    packages = next((environment / "lib").glob("python3*/site-packages"))
    for name in ("pip", "supervisor"):
        (packages / f"{name}.py").touch()
    assert fits(environment)


def test_an_interrupted_installation_leaves_no_stamp_that_fits(environment: Path) -> None:
    (environment / f".{LIST}").write_text("")
    assert not fits(environment)


@pytest.mark.parametrize("path", ["/usr/bin:/bin", "", "/nonexistent"])
def test_programs_are_found_whatever_the_path_and_without_a_home(environment: Path, path: str) -> None:
    result = in_lib(environment, "command -v sha256sum && find_python", PATH=path)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("place", ["/srv/a:b", '/srv/a"b', "/srv/a #b", "/srv/a\nb"])
def test_a_checkout_whose_path_cannot_be_written_down_is_refused_by_name(
    environment: Path, place: str
) -> None:
    written = place.encode("unicode_escape").decode()
    result = in_lib(environment, f"ROOT=$'{written}'; require_usable_checkout")
    assert result.returncode == 1
    assert "move or rename the directory" in result.stderr


@pytest.mark.parametrize("place", ["/srv/내 문서", "/srv/it's", "/srv/100%", "/srv/$x", "/srv/a*"])
def test_a_checkout_may_have_every_other_name(environment: Path, place: str) -> None:
    quoted = place.replace("'", "\\'")
    assert in_lib(environment, f"ROOT=$'{quoted}'; require_usable_checkout").returncode == 0


@pytest.mark.parametrize("name", ["start.sh", "stop.sh", "test.sh", "lib.sh", "install_packages.sh"])
def test_the_scripts_are_valid_shell(name: str) -> None:
    assert subprocess.run(["bash", "-n", REPOSITORY / "scripts" / name], check=False).returncode == 0


def test_what_the_tests_need_of_a_minimal_machine_is_installed(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = in_lib(environment, f"PATH={tmp_path / 'empty'}; missing_test_packages")
    assert {"git", "openssl", "chromium"} <= set(result.stdout.split())
