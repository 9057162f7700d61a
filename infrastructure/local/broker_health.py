"""Whether the broker's queues live: it may run, and answer, with queues that do not.

Its quorum queues share one write-ahead log; when that met a full disk too often they are down, room or not,
until the broker is restarted. This only looks; restarting is the guardian's.
"""

import http.client
import json
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from infrastructure.local.rendering import BROKER_USER

TIMEOUT_S = 3.0
QUEUES = "/api/queues/%2Ftrading?columns=name,state"
NODES = "/api/nodes?columns=mem_alarm,disk_free_alarm"
DOWN_STATES = frozenset({"down", "crashed", "stopped"})


class BrokerHealth:
    """Asks the management API of one broker."""

    def __init__(self, port: int, password: str) -> None:
        self._port = port
        self._credentials = b64encode(f"{BROKER_USER}:{password}".encode()).decode()

    def dead_queues(self) -> Sequence[str]:
        """Return the queues that are down though the broker has the room to run them."""
        queues = self._ask(QUEUES)
        dead = sorted(str(each["name"]) for each in queues if each.get("state") in DOWN_STATES)
        if not dead or any(each["mem_alarm"] or each["disk_free_alarm"] for each in self._ask(NODES)):
            return ()
        return dead

    def _ask(self, path: str) -> Sequence[dict[str, Any]]:
        """Return an answer; nothing when there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", path, headers={"Authorization": f"Basic {self._credentials}"})
            answer = connection.getresponse()
            body = answer.read()
            return json.loads(body) if answer.status == http.HTTPStatus.OK else ()
        except (OSError, http.client.HTTPException, ValueError):
            return ()
        finally:
            connection.close()
