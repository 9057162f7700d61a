"""Every configuration that the templates can become, judged by nginx itself."""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from infrastructure.local import rendering
from infrastructure.local.front_door import HTTP2_DIRECTIVE_SINCE, SOURCE, nginx_version
from infrastructure.local.layout import Layout, find_binaries
from infrastructure.local.ports import REPLICAS_MAX, Ports
from infrastructure.nginx_lb.placeholders import TEMPLATES, Addresses, configuration
from infrastructure.nginx_lb.settings import read
from tests.integration.front_door_world import self_signed

Values = Mapping[str, str]

NO_TLS: Values = {}
GUARDS: tuple[Values, ...] = (
    {},
    {"PHOENIX_WEBHOOK_ALLOWED_NETWORKS": "tradingview,loopback,10.0.0.0/8,2001:db8::/32"},
    {"PHOENIX_NGINX_TRUSTED_PROXIES": "172.20.0.5,173.245.48.0/20,2400:cb00::/32,loopback"},
    {"PHOENIX_NGINX_TRUSTED_PROXIES": "127.0.0.1", "PHOENIX_NGINX_REAL_IP_HEADER": "CF-Connecting-IP"},
    {"PHOENIX_RATE_LIMIT_PER_MINUTE": "1000000", "PHOENIX_DASHBOARD_LOGINS_PER_MINUTE": "2"},
)
TLS: tuple[Values, ...] = (
    {},
    {"PHOENIX_TLS_DASHBOARD": "on", "PHOENIX_TLS_ACME_DIR": "/var/www/acme"},
    {"PHOENIX_TLS_LISTEN": "[::1]:8443", "PHOENIX_TLS_REDIRECT_LISTEN": "127.0.0.1:8081"},
    {"PHOENIX_TLS_SERVER_NAME": "alerts.example.org", "PHOENIX_TLS_HSTS_S": "0"},
)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Values:
    certificate, key = self_signed(tmp_path_factory.mktemp("tls"))
    return {"PHOENIX_TLS_CERTIFICATE": str(certificate), "PHOENIX_TLS_KEY": str(key)}


def local(directory: Path, replicas: int = 1, drained: tuple[str, ...] = ()) -> Addresses:
    """Return what the local start would use, on ports that nobody has."""
    layout = Layout(directory, directory / "postgres")
    where = replace(
        rendering.nginx_addresses(layout, Ports(61_000), replicas, None, drained),
        knows_http2_directive=nginx_version(find_binaries().nginx) >= HTTP2_DIRECTIVE_SINCE,
    )
    return where.in_directory(str(directory))


def container(directory: Path) -> Addresses:
    """Return what a container would use; its instances have names."""
    services = ("brain", "risk", "execute", "notify")
    return Addresses(
        directory=str(directory),
        public="0.0.0.0:61080",
        services={name: f"0.0.0.0:{61_100 + number}" for number, name in enumerate(services)},
        instances={name: (f"localhost:{8_100 + number}",) for number, name in enumerate(services)},
        tls="61443",
        redirect="61081",
    )


def verdict(values: Values, where: Addresses) -> str:
    """Write a configuration and return what nginx says of it; nothing means that all is well."""
    templates = {name: (SOURCE / name).read_text() for name in TEMPLATES}
    directory = Path(where.directory)
    files = configuration(templates, read(values), where)
    for name, text in files.items():
        code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
        assert not re.search(r"\$\{PHOENIX_", code), f"{name} is not filled completely"
        (directory / name).write_text(text)
    command = [
        str(find_binaries().nginx),
        "-t",
        "-q",
        "-p",
        where.directory,
        "-c",
        f"{where.directory}/nginx.conf",
    ]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return finished.stderr.replace('nginx: [alert] could not open error log file: open() "/var/log/', "")


@pytest.mark.parametrize("guards", GUARDS)
@pytest.mark.parametrize("place", [local, container])
def test_nginx_takes_it_without_tls(guards: Values, place: object, tmp_path: Path) -> None:
    where = local(tmp_path) if place is local else container(tmp_path)
    assert verdict(guards, where) == ""
    assert not (tmp_path / "tls.conf").exists()


@pytest.mark.parametrize(("guards", "tls"), list(product(GUARDS, TLS)))
def test_nginx_takes_it_with_tls(guards: Values, tls: Values, certificates: Values, tmp_path: Path) -> None:
    assert verdict({**certificates, **guards, **tls}, local(tmp_path)) == ""


@pytest.mark.parametrize("replicas", range(1, REPLICAS_MAX + 1))
def test_nginx_takes_any_number_of_instances_and_one_of_them_drained(replicas: int, tmp_path: Path) -> None:
    assert verdict(NO_TLS, local(tmp_path, replicas)) == ""
    assert verdict(NO_TLS, local(tmp_path, replicas, ("brain-0",))) == ""


def test_a_home_with_a_space_in_its_name_is_taken(tmp_path: Path) -> None:
    home = tmp_path / "my trading"
    home.mkdir()
    assert verdict(NO_TLS, local(home)) == ""


def test_a_wrong_configuration_would_be_noticed_here(certificates: Values, tmp_path: Path) -> None:
    broken = dict(certificates) | {"PHOENIX_TLS_KEY": certificates["PHOENIX_TLS_CERTIFICATE"]}
    assert "key" in verdict(broken, local(tmp_path))
