"""The guides beside the files: images, ports and the topology table are those of the code."""

import re

from infrastructure.local.layout import REPOSITORY
from infrastructure.local.ports import Ports
from shared import topology
from tests.compose_files import BASE, HA, services
from tests.dockerfile import stages

INFRASTRUCTURE = (REPOSITORY / "docs" / "INFRASTRUCTURE.md").read_text(encoding="utf-8")
DEPLOYMENT = (REPOSITORY / "docs" / "DEPLOYMENT.md").read_text(encoding="utf-8")
IMAGE = re.compile(r"\b((?:[a-z]+/)?[a-z-]+:v?\d+\.\d+[\w.-]*)")


def test_the_topology_table_is_that_of_the_code() -> None:
    kinds = {exchange.name: exchange.kind for exchange in topology.EXCHANGES}
    rows = []
    for queue in topology.QUEUES:
        keys = " ".join(f"`{key}`" for key in queue.routing_keys)
        cells = (f"`{queue.exchange}`", kinds[queue.exchange], keys, f"`{queue.name}`", str(queue.prefetch))
        rows.append(f"| {' | '.join(cells)} |")
    table = INFRASTRUCTURE.partition("-->")[2].partition("<!-- /topology")[0].strip().splitlines()
    assert table[2:] == rows


def test_the_images_of_the_guides_are_those_of_the_files() -> None:
    used = {each["image"] for each in services(BASE, HA).values()} | {stages()[0].base}
    named = set(IMAGE.findall(INFRASTRUCTURE + DEPLOYMENT))
    assert named <= used
    assert {image for image in used if not image.startswith(("phoenix95:", "python:"))} <= named


def test_the_ports_of_the_guide_are_those_of_the_code() -> None:
    rows = {line.split("|")[1].strip(): line for line in INFRASTRUCTURE.splitlines() if line.startswith("| ")}
    servers = {
        "PostgreSQL": "postgres", "Redis": "redis", "nginx": "nginx", "RabbitMQ": "amqp",
        "Prometheus": "prometheus", "Alertmanager": "alertmanager", "node exporter": "node_exporter",
    }  # fmt: skip
    for name, server in servers.items():
        assert str(Ports().of(server)) in rows[name], name
