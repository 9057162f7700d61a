"""The front door's settings: what they mean when nobody sets them, and what is said when one is wrong."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from infrastructure.nginx_lb.settings import OWN_KEYS, TRADINGVIEW, FrontDoorError, FrontDoorSettings, read

ROOT = Path(__file__).parents[3]
TLS = {"PHOENIX_TLS_CERTIFICATE": "/etc/ssl/phoenix.pem", "PHOENIX_TLS_KEY": "/etc/ssl/phoenix.key"}


def test_at_home_everybody_with_the_secret_may_send_and_no_proxy_is_believed() -> None:
    settings = read({})
    assert settings.allowed_networks is None
    assert settings.nginx_trusted_proxies == ()
    assert not settings.has_tls


def test_where_nginx_ends_tls_only_tradingview_may_send_until_somebody_says_otherwise() -> None:
    assert tuple(map(host, read(TLS).allowed_networks or ())) == TRADINGVIEW
    assert read(TLS | {"PHOENIX_WEBHOOK_ALLOWED_NETWORKS": "any"}).allowed_networks is None
    assert read(TLS | {"PHOENIX_WEBHOOK_ALLOWED_NETWORKS": "auto"}).allowed_networks is not None


def host(network: object) -> str:
    return str(network).removesuffix("/32")


def test_own_networks_are_added_to_tradingview_s() -> None:
    allowed = read({"PHOENIX_WEBHOOK_ALLOWED_NETWORKS": "TradingView, loopback,10.1.0.0/16 , 2001:db8::/48"})
    named = tuple(map(host, allowed.allowed_networks or ()))
    assert named == (*TRADINGVIEW, "127.0.0.0/8", "::1/128", "10.1.0.0/16", "2001:db8::/48")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"PHOENIX_WEBHOOK_ALLOWED_NETWORKS": "tradingview,10.0.0.300"}, "'10.0.0.300' is not an address"),
        ({"PHOENIX_WEBHOOK_ALLOWED_NETWORKS": "10.1.2.3/8"}, "write 10.0.0.0/8"),
        ({"PHOENIX_WEBHOOK_ALLOWED_NETWORKS": "any,10.0.0.0/8"}, "stand alone"),
        ({"PHOENIX_WEBHOOK_ALLOWED_NETWORKS": ","}, "names nobody"),
        ({"PHOENIX_NGINX_TRUSTED_PROXIES": "my.proxy"}, "'my.proxy' is not an address"),
        ({"PHOENIX_NGINX_TRUSTED_PROXIES": "0.0.0.0/0"}, "wider than /8"),
        ({"PHOENIX_NGINX_TRUSTED_PROXIES": "0.0.0.0/1,128.0.0.0/1"}, "wider than /8"),
        ({"PHOENIX_NGINX_REAL_IP_HEADER": "X-Real-IP; deny all"}, "PHOENIX_NGINX_REAL_IP_HEADER"),
        ({"PHOENIX_NGINX_REQUESTS_PER_S": "99"}, "at least 100 is needed"),
        ({"PHOENIX_NGINX_CONNECTIONS_PER_ADDRESS": "many"}, "PHOENIX_NGINX_CONNECTIONS_PER_ADDRESS"),
        ({"PHOENIX_TLS_CERTIFICATE": "/a.pem"}, "PHOENIX_TLS_CERTIFICATE and PHOENIX_TLS_KEY"),
        (TLS | {"PHOENIX_TLS_KEY": "key.pem"}, "PHOENIX_TLS_KEY"),
        (TLS | {"PHOENIX_TLS_KEY": '/k"; include /etc/passwd; "'}, "PHOENIX_TLS_KEY"),
        (TLS | {"PHOENIX_TLS_SERVER_NAME": "a b"}, "PHOENIX_TLS_SERVER_NAME"),
        (TLS | {"PHOENIX_TLS_LISTEN": "443; deny all"}, "PHOENIX_TLS_LISTEN"),
        (TLS | {"PHOENIX_TLS_DASHBOARD": "perhaps"}, "PHOENIX_TLS_DASHBOARD"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_what_to_write(
    values: Mapping[str, str], says: str
) -> None:
    with pytest.raises(FrontDoorError) as error:
        read(values)
    assert says in str(error.value)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(FrontDoorError) as error:
        read({"PHOENIX_NGINX_TRUSTED_PROXIES": "x", "PHOENIX_TLS_HSTS_S": "-1"})
    assert "PHOENIX_NGINX_TRUSTED_PROXIES" in str(error.value)
    assert "PHOENIX_TLS_HSTS_S" in str(error.value)


@pytest.mark.parametrize(("per_minute", "per_second"), [(1, 1), (120, 100), (121, 101), (100_000, 83_334)])
def test_nginx_never_refuses_what_fifty_of_brains_windows_would_take(
    per_minute: int, per_second: int
) -> None:
    settings = read({"PHOENIX_RATE_LIMIT_PER_MINUTE": str(per_minute)})
    assert settings.requests_per_s == per_second
    assert settings.requests_per_s * 60 >= per_minute * 50


def test_an_empty_line_in_a_settings_file_sets_nothing() -> None:
    optional = ("TLS_CERTIFICATE", "TLS_KEY", "TLS_LISTEN", "NGINX_REQUESTS_PER_S", "NGINX_TRUSTED_PROXIES")
    empty = {f"PHOENIX_{name}": "" for name in (*optional, "WEBHOOK_ALLOWED_NETWORKS")}
    assert read(empty) == read({})


def test_services_restart_for_no_setting_that_only_nginx_reads() -> None:
    assert "PHOENIX_RATE_LIMIT_PER_MINUTE" not in OWN_KEYS, "BRAIN reads it too"
    assert len(OWN_KEYS) == len(FrontDoorSettings.model_fields) - 1


def test_every_route_of_the_services_is_named_in_the_access_log() -> None:
    conf = (ROOT / "infrastructure/nginx_lb/nginx.conf").read_text()
    (table,) = re.findall(r"map \$uri \$internal_route \{(.*?)\}\n", conf, re.DOTALL)
    named = [re.compile(pattern) for pattern in re.findall(r'"~(.+?)" ', table)]
    routes = re.findall(r"^### \w+ (/\S+)", (ROOT / "docs/API.md").read_text(), re.MULTILINE)
    assert len(routes) > 15
    unnamed = [
        route
        for route in [*routes, "/docs", "/openapi.json", "/dashboard/login"]
        if f'"{route}"' not in table and not any(pattern.match(route) for pattern in named)
    ]
    assert not unnamed, "name them in nginx.conf's map, else the log calls them (unknown)"
