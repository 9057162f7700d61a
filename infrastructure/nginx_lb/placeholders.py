"""The values of the templates' placeholders, and the templates filled with them. Pure.

The local start and the containers both come here: they differ in addresses only. It must never read or write
a file.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace

from infrastructure.nginx_lb.settings import FLOOD_BURST_S, FrontDoorSettings
from infrastructure.templates import fill_template

TEMPLATES = (
    "nginx.conf",
    "upstream.conf",
    "problems.conf",
    "alert.conf",
    "public.conf",
    "dashboard.conf",
    "tls.conf",
)
TLS_TEMPLATE = "tls.conf"
"""Only written when there are certificates."""

HTTPS_PORT = "443"
RESOLVED_S = 5
"""How long nginx may go on asking an instance that is gone; it also marks those that fail."""


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where nginx listens, and the instances behind it.

    Args:
        directory: where the filled templates and nginx's temporary files are.
        public: `address:port` of the webhook.
        services: `address:port` of each service's balanced port, by name.
        instances: `host:port` of every instance of each service, by name.
        tls, redirect: where TLS and plain HTTP are served unless a setting says otherwise.
        worker_user: whom the workers run as, when nginx starts as root.
        drained: instances that get no new request.
        resolver: DNS server to ask for the instances' names again and again, where they come and go without a
            word to nginx (1.27.3 or newer); without one, instances are addresses.
        knows_http2_directive: this nginx is 1.25.1 or newer, where `http2` is no word of `listen` any more.
    """

    directory: str
    public: str
    services: Mapping[str, str]
    instances: Mapping[str, tuple[str, ...]]
    tls: str = "443"
    redirect: str = "80"
    worker_user: str | None = None
    drained: Set[str] = field(default_factory=frozenset)
    resolver: str | None = None
    knows_http2_directive: bool = True

    def in_directory(self, directory: str) -> "Addresses":
        """Return the same addresses with the files elsewhere."""
        return replace(self, directory=directory)


def placeholder_values(settings: FrontDoorSettings, where: Addresses) -> dict[str, str]:
    """Return the value of every placeholder in the templates."""
    values = {
        "PHOENIX_NGINX_USER": f"user {where.worker_user};" if where.worker_user else "",
        "PHOENIX_NGINX_DIR": where.directory,
        "PHOENIX_PUBLIC_LISTEN": where.public,
        "PHOENIX_REAL_IP": _lines(_real_ip(settings), 4),
        "PHOENIX_TRUSTED_PROXIES_GEO": _lines([f"{each} 1;" for each in settings.nginx_trusted_proxies], 8),
        "PHOENIX_WEBHOOK_ACCESS": _lines(_access(settings), 4),
        "PHOENIX_NGINX_REQUESTS_PER_S": str(settings.requests_per_s),
        "PHOENIX_NGINX_BURST": str(settings.requests_per_s * FLOOD_BURST_S),
        "PHOENIX_NGINX_CONNECTIONS_PER_ADDRESS": str(settings.nginx_connections_per_address),
        "PHOENIX_DASHBOARD_LOGINS_PER_MINUTE": str(settings.dashboard_logins_per_minute),
        "PHOENIX_DASHBOARD_LOGINS_BURST": str(settings.dashboard_logins_per_minute - 1),
        "PHOENIX_TLS_INCLUDE": f'include "{where.directory}/{TLS_TEMPLATE}";' if settings.has_tls else "",
    } | _tls_values(settings, where)
    for service, listen in where.services.items():
        values[f"PHOENIX_{service.upper()}_LISTEN"] = listen
        servers = _upstream_servers(where.instances[service], where)
        values[f"PHOENIX_{service.upper()}_SERVERS"] = _lines(servers, 4)
    return values


def configuration(
    templates: Mapping[str, str], settings: FrontDoorSettings, where: Addresses
) -> dict[str, str]:
    """Return the files nginx reads, by name, from the templates' texts; no tls.conf without certificates."""
    values = placeholder_values(settings, where)
    return {
        name: fill_template(templates[name], values)
        for name in TEMPLATES
        if name != TLS_TEMPLATE or settings.has_tls
    }


def _lines(lines: list[str], indent: int) -> str:
    return ("\n" + " " * indent).join(lines)


def _real_ip(settings: FrontDoorSettings) -> list[str]:
    if not settings.nginx_trusted_proxies:
        return []
    return [
        *(f"set_real_ip_from {network};" for network in settings.nginx_trusted_proxies),
        f"real_ip_header {settings.nginx_real_ip_header};",
        "real_ip_recursive on;",
    ]


def _access(settings: FrontDoorSettings) -> list[str]:
    networks = settings.allowed_networks
    return [] if networks is None else [*(f"allow {network};" for network in networks), "deny all;"]


def _tls_values(settings: FrontDoorSettings, where: Addresses) -> dict[str, str]:
    listen = settings.tls_listen or where.tls
    port = listen.rpartition(":")[2]
    acme = settings.tls_acme_dir
    return {
        "PHOENIX_TLS_LISTEN": listen,
        "PHOENIX_TLS_PROTOCOLS": "ssl" if where.knows_http2_directive else "ssl http2",
        "PHOENIX_TLS_HTTP_TWO": "http2 on;" if where.knows_http2_directive else "",
        "PHOENIX_TLS_REDIRECT_LISTEN": settings.tls_redirect_listen or where.redirect,
        "PHOENIX_TLS_REDIRECT_PORT": "" if port == HTTPS_PORT else f":{port}",
        "PHOENIX_TLS_CERTIFICATE": settings.tls_certificate or "",
        "PHOENIX_TLS_KEY": settings.tls_key or "",
        "PHOENIX_TLS_SERVER_NAME": settings.tls_server_name,
        "PHOENIX_TLS_STAPLING": "on" if settings.tls_ocsp_stapling else "off",
        "PHOENIX_TLS_HSTS": f"max-age={settings.tls_hsts_s}" if settings.tls_hsts_s else "",
        "PHOENIX_TLS_DASHBOARD": f'include "{where.directory}/dashboard.conf";'
        if settings.tls_dashboard
        else "",
        "PHOENIX_TLS_ACME": f'root "{acme}"; default_type text/plain;' if acme else "return 404;",
    }


def _upstream_servers(instances: tuple[str, ...], where: Addresses) -> list[str]:
    """List each instance, and where there may be several each again as last resort; a drained one is down."""
    resolve = " resolve" if where.resolver else ""
    named = [(f"server {each}{resolve}", " down" if each in where.drained else "") for each in instances]
    return [
        *([f"resolver {where.resolver} valid={RESOLVED_S}s ipv6=off;"] if where.resolver else []),
        *(f"{server} max_fails=3 fail_timeout=30s{down};" for server, down in named),
        *(
            f"{server} max_fails=0 backup{down};"
            for server, down in named
            if len(instances) > 1 or where.resolver  # one name may stand for many
        ),
    ]
