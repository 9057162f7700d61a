"""Asks a program whether it does its work. One short question each; it must never change anything."""

import http.client
import socket
import subprocess
from base64 import b64encode
from collections.abc import Callable, Mapping
from http import HTTPStatus

import redis

from infrastructure.local.layout import Binaries
from infrastructure.local.plan import Probe, ProbeKind

PROBE_TIMEOUT_S = 2.0
PG_ISREADY_TIMEOUT_S = 5.0


class Prober:
    """Answers probes with the credentials of one installation."""

    def __init__(self, settings: Mapping[str, str], binaries: Binaries) -> None:
        self._settings = settings
        self._binaries = binaries
        self._ask: Mapping[ProbeKind, Callable[[Probe], bool]] = {
            ProbeKind.TCP: self._tcp,
            ProbeKind.HTTP: self._http,
            ProbeKind.REDIS: self._redis,
            ProbeKind.POSTGRES: self._postgres,
            ProbeKind.BROKER: self._broker,
        }

    def answers(self, probe: Probe) -> bool:
        """Tell whether the program is ready; no answer within 2 s (5 s for PostgreSQL) means no."""
        return self._ask[probe.kind](probe)

    def _tcp(self, probe: Probe) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", probe.port), timeout=PROBE_TIMEOUT_S):
                return True
        except OSError:
            return False

    def _http(self, probe: Probe) -> bool:
        return _get(probe.port, probe.path, {}) == HTTPStatus.OK

    def _broker(self, probe: Probe) -> bool:
        """The virtual host answers with our credentials: the definitions are imported."""
        credentials = f"phoenix:{self._settings['PHOENIX_AMQP_PASSWORD']}"
        headers = {"Authorization": f"Basic {b64encode(credentials.encode()).decode()}"}
        return _get(probe.port, "/api/exchanges/%2Ftrading", headers) == HTTPStatus.OK

    def _redis(self, probe: Probe) -> bool:
        password = self._settings["PHOENIX_REDIS_PASSWORD"]
        try:
            with redis.Redis(
                host="127.0.0.1", port=probe.port, password=password, socket_timeout=PROBE_TIMEOUT_S
            ) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _postgres(self, probe: Probe) -> bool:
        command = [
            str(self._binaries.postgres_bin / "pg_isready"),
            "-q",
            "-h",
            "127.0.0.1",
            "-p",
            str(probe.port),
        ]
        return subprocess.run(command, timeout=PG_ISREADY_TIMEOUT_S, check=False).returncode == 0


def _get(port: int, path: str, headers: Mapping[str, str]) -> int | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", path, headers=dict(headers))
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def http_status(probe: Probe) -> int | None:
    """Return the status that a program answers with, None without an answer within 2 s."""
    return _get(probe.port, probe.path, {})


def is_port_free(port: int) -> bool:
    """Tell whether nothing listens on a loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
