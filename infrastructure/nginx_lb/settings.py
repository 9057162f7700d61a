"""What the front door can be told, checked before nginx sees it. Pure.

A value that nginx would refuse, or would take and serve nobody by, is named here with what to write instead.
It must never let a character through that could end a directive: what is here is written into nginx's files.
"""

import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

ENV_PREFIX = "PHOENIX_"

TRADINGVIEW = ("52.89.214.238", "34.212.75.30", "54.218.53.128", "52.32.178.7")
"""Where TradingView sends alerts from, as its page on webhooks says."""

WORDS: Mapping[str, tuple[str, ...]] = {"tradingview": TRADINGVIEW, "loopback": ("127.0.0.0/8", "::1")}
"""Names that may stand for networks in a list."""

AUTO = "auto"
ANY = "any"

PROXY_PREFIX_MIN = 8
"""A trusted network wider than this is a slip: no proxy has so many addresses, and all in it are believed."""

FLOOD_WINDOWS = 50
"""BRAIN counts what one address sends in windows: refused, entries, and the exits of each symbol. nginx lets
through what fills this many of them: it refuses no exit that BRAIN would take (docs/decisions/0018)."""

FLOOD_BURST_S = 10
"""So many seconds of the permitted rate may come at once."""

Network = IPv4Network | IPv6Network


class FrontDoorError(ValueError):
    """A setting of the front door cannot be used; the message names it and says what to write."""


def _networks(value: object) -> object:
    """Read networks separated by commas, `tradingview` and `loopback` among them."""
    if not isinstance(value, str):
        return value
    found: list[Network] = []
    for part in filter(None, (each.strip() for each in value.split(","))):
        found += map(_network, WORDS.get(part.lower(), (part,)))
    return tuple(found)


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError:
        if (loose := _loose(text)) is not None:
            raise ValueError(f"{text!r} names an address inside a network; write {loose}") from None
        example = "203.0.113.7, 10.0.0.0/8 or 2001:db8::/32"
        raise ValueError(f"{text!r} is not an address or a network like {example}") from None


def _loose(text: str) -> Network | None:
    """Return the network that an address with a mask lies in."""
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _allowed(value: object) -> object:
    if isinstance(value, str) and value.strip().lower() in {AUTO, ANY, ""}:
        return value.strip().lower() or AUTO
    if isinstance(value, str) and {AUTO, ANY} & {part.strip().lower() for part in value.split(",")}:
        raise ValueError(f"{AUTO!r} and {ANY!r} stand alone: leave out the other networks, or the word")
    return _networks(value)


def _absent(value: object) -> object:
    """Take an empty text for no value: that is how a line in a settings file is switched off."""
    return None if value == "" else value


Networks = Annotated[tuple[Network, ...], BeforeValidator(_networks)]
Allowed = Annotated[str | tuple[Network, ...], BeforeValidator(_allowed)]
Path = Annotated[str, Field(pattern=r"^/[\w./@+=:~-]+$")]
Listen = Annotated[str, Field(pattern=r"^([\w.-]+:|\[[0-9a-fA-F:.]+\]:)?\d{1,5}$")]
"""`443`, `127.0.0.1:443` or `[::]:443`."""


class FrontDoorSettings(BaseModel):
    """The settings of nginx, each `PHOENIX_` and its name in capitals."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    webhook_allowed_networks: Allowed = Field(
        AUTO,
        description="Who may send alerts: networks separated by commas, `tradingview` and `loopback` for"
        " theirs; `any` asks for the secret only; `auto` is `tradingview` when nginx itself ends TLS, else"
        " `any`.",
    )
    nginx_trusted_proxies: Networks = Field(
        (),
        description="Proxies or tunnels in front of nginx that may say who the client is, as networks"
        " separated by commas; empty believes nobody.",
    )
    nginx_real_ip_header: str = Field(
        "X-Forwarded-For",
        pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$",
        description="Header in which a trusted proxy names the client (Cloudflare: CF-Connecting-IP).",
    )
    rate_limit_per_minute: int = Field(120, ge=1, le=1_000_000, description="BRAIN's limit; see there.")
    nginx_requests_per_s: Annotated[int | None, BeforeValidator(_absent)] = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Requests a second from one address (IPv6: one /64) to the public port; empty: 50 of"
        " BRAIN's windows a minute, the least that refuses no exit BRAIN would take.",
    )
    nginx_connections_per_address: int = Field(
        512,
        ge=16,
        le=4096,
        description="Requests of one address in work at the same time on the public port.",
    )
    dashboard_logins_per_minute: int = Field(
        10, ge=2, le=600, description="Attempts to log in to the dashboard from one address in a minute."
    )
    tls_certificate: Annotated[Path | None, BeforeValidator(_absent)] = Field(
        None, description="File with the certificate chain (PEM); with the key it opens the TLS port."
    )
    tls_key: Annotated[Path | None, BeforeValidator(_absent)] = Field(
        None, description="File with the certificate's private key (PEM)."
    )
    tls_listen: Annotated[Listen | None, BeforeValidator(_absent)] = Field(
        None,
        description="Where TLS is served: port or address:port; empty: 8084 on loopback, 443 in compose.",
    )
    tls_redirect_listen: Annotated[Listen | None, BeforeValidator(_absent)] = Field(
        None, description="Where plain HTTP is sent on to TLS; empty: 8083 on loopback, 80 in compose."
    )
    tls_server_name: str = Field(
        "_",
        pattern=r"^[A-Za-z0-9_.-]+$",
        max_length=253,
        description="Name in the certificate; `_` answers to every name.",
    )
    tls_dashboard: bool = Field(False, description="Serve the dashboard on the TLS port as well.")
    tls_hsts_s: int = Field(
        31_536_000,
        ge=0,
        le=63_072_000,
        description="How long a browser insists on TLS, seconds; 0 says nothing.",
    )
    tls_ocsp_stapling: bool = Field(
        False, description="Staple OCSP answers; only for authorities that still have them."
    )
    tls_acme_dir: Annotated[Path | None, BeforeValidator(_absent)] = Field(
        None,
        description="Directory whose .well-known/acme-challenge/ is served over plain HTTP (certbot's"
        " webroot).",
    )

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError(
                "PHOENIX_TLS_CERTIFICATE and PHOENIX_TLS_KEY belong together: set both or neither"
            )
        if any(network.prefixlen < PROXY_PREFIX_MIN for network in self.nginx_trusted_proxies):
            raise ValueError(
                f"PHOENIX_NGINX_TRUSTED_PROXIES names a network wider than /{PROXY_PREFIX_MIN}: everybody"
                " in it could claim to be TradingView. Name the addresses of your proxy"
            )
        if self.webhook_allowed_networks == ():
            raise ValueError("PHOENIX_WEBHOOK_ALLOWED_NETWORKS names nobody: nobody could send an alert")
        least = self.requests_per_s_least
        if self.nginx_requests_per_s is not None and self.nginx_requests_per_s < least:
            raise ValueError(
                f"PHOENIX_NGINX_REQUESTS_PER_S is {self.nginx_requests_per_s}, at least {least} is needed:"
                f" nginx would refuse exits that BRAIN takes (PHOENIX_RATE_LIMIT_PER_MINUTE is"
                f" {self.rate_limit_per_minute})"
            )
        return self

    @property
    def has_tls(self) -> bool:
        """Tell whether nginx itself ends TLS."""
        return self.tls_certificate is not None

    @property
    def allowed_networks(self) -> tuple[Network, ...] | None:
        """Who may send alerts; None is everybody."""
        match self.webhook_allowed_networks:
            case str(word):
                auto = word == AUTO and self.has_tls
                return tuple(map(ip_network, TRADINGVIEW)) if auto else None
            case networks:
                return networks

    @property
    def requests_per_s_least(self) -> int:
        """What one address must be let send a second so that BRAIN's own limits are the narrower ones."""
        return -(-self.rate_limit_per_minute * FLOOD_WINDOWS // 60)

    @property
    def requests_per_s(self) -> int:
        """What one address may send a second."""
        return self.nginx_requests_per_s or self.requests_per_s_least


OWN_KEYS = frozenset(
    f"{ENV_PREFIX}{name.upper()}"
    for name in FrontDoorSettings.model_fields
    if re.match(r"nginx_|tls_|webhook_allowed_|dashboard_logins_", name)
)
"""Settings that nginx alone reads: no service has to be restarted for them."""


def read(values: Mapping[str, str]) -> FrontDoorSettings:
    """Return the front door's settings among `values`, which are `PHOENIX_KEY` → text.

    Raises:
        FrontDoorError: one is out of range or at odds with another; the message names each.
    """
    fields = FrontDoorSettings.model_fields
    given = {name: values[key] for name in fields if (key := f"{ENV_PREFIX}{name.upper()}") in values}
    try:
        return FrontDoorSettings.model_validate(given)
    except ValidationError as error:
        raise FrontDoorError(
            "the front door's settings are not usable:\n" + "\n".join(sorted(set(map(_told, error.errors()))))
        ) from None


def _told(item: Mapping[str, object]) -> str:
    location, message = item["loc"], str(item["msg"]).removeprefix("Value error, ")
    assert isinstance(location, tuple)
    return f"  {ENV_PREFIX}{str(location[0]).upper()}: {message}" if location else f"  {message}"
