"""The PowerShell scripts: parsed by a real grammar, complete in their help, and naming only what exists."""

import re
from pathlib import Path

import pytest
import yaml

from infrastructure.local.ports import PORT_BASE_DEFAULT, Ports
from tests.architecture.powershell import Script, scripts
from tests.architecture.source import REPOSITORY

ALL = scripts()
COMMANDS = [script for script in ALL if script.path.endswith(".ps1")]
EXPECTED = {
    "start_dev", "start_prod", "start_ha", "stop", "setup_infrastructure", "health_check", "performance_test",
}  # fmt: skip
COMPOSE = REPOSITORY / "docker-compose.yml"
COMPOSE_SERVICES = {
    "brain", "risk", "execute", "notify", "market-feed", "paper-exchange",
    "rabbitmq", "redis", "postgres", "nginx",
}  # fmt: skip
NOT_IN_5_1 = {
    r"\?\?": "the null-coalescing operator",
    r"&&|\|\|": "pipeline chains",
    r"\?\.": "the null-conditional operator",
    r"-Parallel\b": "parallel loops",
    r"\$PSStyle": "PSStyle",
    r"-SkipHttpErrorCheck|-SkipCertificateCheck": "switches of Invoke-WebRequest",
    r"\bclean\s*\{": "clean blocks",
}
SECRET = re.compile(r"\$(\w*secret\w*|\w*password\w*|\w*token\w*|env:PHOENIX_\w+)", re.IGNORECASE)


def _named(script: Script) -> str:
    return Path(script.path).name


def test_every_promised_script_is_there() -> None:
    assert {Path(script.path).stem for script in COMMANDS} >= EXPECTED


@pytest.mark.parametrize("script", ALL, ids=_named)
def test_powershell_has_no_syntax_error(script: Script) -> None:
    wrong = [
        f"{script.path}:{node.start_point.row + 1}: {(node.text or b'')[:60]!r}"
        for node in script.nodes()
        if node.type == "ERROR" or node.is_missing
    ]
    assert wrong == []


@pytest.mark.parametrize("script", ALL, ids=_named)
def test_windows_powershell_5_1_can_read_it(script: Script) -> None:
    """5.1 reads a file without a mark as ANSI, and stops at operators that came with 7."""
    assert script.text.isascii()
    code = re.sub(r"<#.*?#>|#[^\n]*|'(?:[^']|'')*'", "", script.text, flags=re.DOTALL)
    assert [why for pattern, why in NOT_IN_5_1.items() if re.search(pattern, code)] == []
    assert not list(script.nodes("ternary_expression"))


@pytest.mark.parametrize("script", COMMANDS, ids=_named)
def test_every_parameter_has_help_and_nothing_else_has(script: Script) -> None:
    told = re.findall(r"^\.PARAMETER (\w+)\n\S", script.help, re.MULTILINE)
    assert sorted(told) == sorted(script.parameters)
    for section in (".SYNOPSIS", ".DESCRIPTION", ".EXAMPLE", "Exit codes:"):
        assert section in script.help


@pytest.mark.parametrize("script", COMMANDS, ids=_named)
def test_a_script_is_strict_and_ends_with_an_exit_code(script: Script) -> None:
    assert "[CmdletBinding()]" in script.text
    assert "Set-StrictMode -Version Latest" in script.text
    assert "$ErrorActionPreference = 'Stop'" in script.text
    assert re.search(r"^exit ", script.text.strip().splitlines()[-1])


@pytest.mark.parametrize("script", ALL, ids=_named)
def test_no_secret_is_written_to_the_screen(script: Script) -> None:
    written = [text for text in script.texts("command") if re.match(r"(Write-|Out-|echo)", text)]
    assert [text for text in written if SECRET.search(re.sub(r"'[^']*'", "", text))] == []


@pytest.mark.parametrize("script", COMMANDS, ids=_named)
def test_every_function_that_is_called_exists(script: Script) -> None:
    """Our own verbs are looked up in the script and the module; what PowerShell brings is listed."""
    module = next(each for each in ALL if each.path.endswith(".psm1"))
    own = {name for each in (script, module) for name in each.texts("function_name")}
    called = set(script.texts("command_name")) | set(module.texts("command_name"))
    brought = {
        "docker", "Get-Command", "Get-Item", "Invoke-WebRequest", "Invoke-RestMethod", "ConvertFrom-Json",
        "ConvertTo-Json", "Write-Host", "Write-Progress", "Start-Sleep", "New-Object", "Join-Path",
        "Out-Host", "Split-Path", "Test-Path", "Where-Object", "ForEach-Object", "Sort-Object",
        "Group-Object", "Read-Host", "Set-StrictMode", "Import-Module", "Export-ModuleMember",
    }  # fmt: skip
    unknown = {name for name in called - own - brought if re.fullmatch(r"[A-Za-z][\w-]+", name)}
    assert unknown == set()


def test_ports_are_those_of_the_system() -> None:
    ports = Ports(PORT_BASE_DEFAULT)
    known = {ports.of(name) for name in ("nginx", "brain", "risk", "execute", "notify")}
    named = {int(port) for script in ALL for port in re.findall(r"127\.0\.0\.1:(\d+)", script.text)}
    module = next(each for each in ALL if each.path.endswith(".psm1"))
    listed = re.search(r"\$PublishedPorts = @\(([\d, ]+)\)", module.text)
    assert listed is not None
    assert named <= known
    assert {int(port) for port in listed[1].split(",")} == known


def test_paths_named_are_routes_of_a_service() -> None:
    page = (REPOSITORY / "docs" / "API.md").read_text(encoding="utf-8")
    routes = set(re.findall(r"^### \w+ (\S+)", page, re.MULTILINE)) | {"/dashboard"}
    named = {
        path for script in ALL for path in re.findall(r"\$\(\$ServiceUrls\[[^\]]+\]\)(/[a-z/]+)", script.text)
    }
    assert named
    assert {
        path for path in named if path.rstrip("/") not in {route.split("/{")[0] for route in routes}
    } == set()


def test_scripts_and_documents_they_name_exist() -> None:
    named = {
        path
        for script in ALL
        for path in re.findall(
            r"(?:\./)?((?:scripts|docs|deployment)/[\w./-]+\.(?:ps1|sh|py|md))", script.text
        )
    }
    assert {path for path in named if not (REPOSITORY / path).is_file()} == set()


@pytest.mark.skipif(not COMPOSE.is_file(), reason="there is no docker-compose.yml in this tree")
def test_compose_files_and_services_they_name_exist() -> None:
    overlays = {
        path for script in ALL for path in re.findall(r"deployment/docker-compose\.\w+\.yml", script.text)
    }
    assert {path for path in overlays if not (REPOSITORY / path).is_file()} == set()
    services = set(yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"])
    assert services >= COMPOSE_SERVICES
