"""The servers Phoenix stands on: the database (schema, clock, unsent messages), the broker, Redis.

Everything here only reads. What does not answer is told, and the rest is still looked at.
"""

import asyncio
import re
import time
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
import redis

from infrastructure.postgres.migrate import SERVICES, migrations
from scripts.phoenix_cli.api import Api
from scripts.phoenix_cli.checkup import Finding, green, grey, red, yellow
from scripts.phoenix_cli.failures import Failure
from scripts.phoenix_cli.installation import Installation
from shared.clock import utc_now
from shared.topology import QUEUES

ADMIN_ROLE = "phoenix_admin"
CONNECT_TIMEOUT_S = 3.0
COMMAND_TIMEOUT_S = 5.0
CLOCK_SKEW_S_MAX = 1.0
STATISTICS_LAG_S = 11.0
"""The broker counts every 5 s, on a busy machine one round late; before that, a new consumer is not seen and
a letter that was purged still is.
"""
ASK_AGAIN_S = 1.0
UNSENT_AGE_S = 10
SUPPORTED = {"postgresql": ((13,), (18,)), "rabbitmq": ((3, 10), (4, 99)), "redis": ((6, 2), (8, 99))}
"""From, to (the newest known major); older ones lack what is used, newer ones are untried."""

START = "./scripts/start.sh starts it; its log is in the home's logs/ (containers: docker compose logs)."

_UNSENT = (
    "SELECT count(*) FROM {0}.outbox WHERE sent_at IS NULL AND staged_at < now() - make_interval(secs => {1})"
)
_APPLIED = "SELECT number, name, checksum FROM public.schema_migrations ORDER BY number"


def database(installation: Installation) -> list[Finding]:
    """Return what the database says of its version, its clock, its schema and unsent messages."""
    url = installation.text("PHOENIX_POSTGRES_URL")
    password = installation.text("PHOENIX_ADMIN_DB_PASSWORD")
    if url is None or password is None:
        return [grey("database", "PHOENIX_POSTGRES_URL or PHOENIX_ADMIN_DB_PASSWORD is not known here")]
    try:
        return asyncio.run(_database(url, password))
    except asyncpg.InvalidPasswordError:
        return [
            red(
                "database",
                "refuses the password of phoenix_admin",
                "PHOENIX_ADMIN_DB_PASSWORD is not the one the database was made with: put the old one back.",
            )
        ]
    except asyncpg.UndefinedTableError:
        return [red("migrations", "the schema is not there", "Run: python3 scripts/phoenix.py migrate")]
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        return [red("database", f"does not answer: {error or type(error).__name__}", START)]


async def _database(url: str, password: str) -> list[Finding]:
    connection = await asyncpg.connect(
        url, user=ADMIN_ROLE, password=password, timeout=CONNECT_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S
    )
    try:
        version = str(await connection.fetchval("SHOW server_version"))
        before = utc_now()
        now: datetime = await connection.fetchval("SELECT clock_timestamp()")
        middle = before + (utc_now() - before) / 2
        applied = {row["number"]: row for row in await connection.fetch(_APPLIED)}
        unsent = {
            service: await connection.fetchval(_UNSENT.format(service, UNSENT_AGE_S)) for service in SERVICES
        }
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_S)
    return [
        _version("postgresql", version.partition(" ")[0]),
        clock("database clock", (middle - now.astimezone(UTC)).total_seconds(), "the database"),
        migrated({number: (row["name"], row["checksum"]) for number, row in applied.items()}),
        backlog(unsent),
    ]


def clock(subject: str, ahead_s: float, of: str) -> Finding:
    """Judge how far this machine's clock is ahead of another one, seconds."""
    said = f"{ahead_s:+.3f} s against {of}"
    if abs(ahead_s) <= CLOCK_SKEW_S_MAX:
        return green(subject, said)
    return red(subject, said, "Let both machines keep time: timedatectl set-ntp true, or chrony.")


def migrated(applied: dict[int, tuple[str, str]]) -> Finding:
    """Judge the applied migrations against the files."""
    files = migrations()
    edited = [
        each.name for each in files if each.number in applied and applied[each.number][1] != each.checksum
    ]
    missing = [each.name for each in files if each.number not in applied]
    newer = [name for number, (name, _) in applied.items() if number not in {each.number for each in files}]
    if edited:
        return red(
            "migrations",
            f"edited after they were applied: {', '.join(edited)}",
            "Put the files back as they were (git checkout), and write a new migration for the change.",
        )
    if newer:
        return red(
            "migrations",
            f"the database is newer than this code: {', '.join(newer)}",
            "Run the version of Phoenix that applied them.",
        )
    if missing:
        return red("migrations", f"missing: {', '.join(missing)}", "Run: python3 scripts/phoenix.py migrate")
    return green("migrations", f"all {len(files)} applied")


def backlog(unsent: dict[str, int]) -> Finding:
    """Judge the messages that are owed to the broker for longer than the sweeper needs."""
    owing = {service: count for service, count in unsent.items() if count}
    if not owing:
        return green("outbox", f"nothing unsent for more than {UNSENT_AGE_S} s")
    told = ", ".join(f"{service} {count}" for service, count in owing.items())
    return red(
        "outbox",
        f"unsent for more than {UNSENT_AGE_S} s: {told}",
        "They are sent as soon as that service runs and the broker takes messages; see both below.",
    )


def broker(api: Api, installation: Installation) -> Iterable[Finding]:
    """Yield what the broker says of its version, its alarms and its queues."""
    if installation.management_url is None:
        yield grey("broker", "PHOENIX_AMQP_MANAGEMENT_URL is not known here: queues were not looked at")
        return
    try:
        yield _version("rabbitmq", api.broker_version() or "?")
        alarms = api.broker_alarms()
        queues = _settled_queues(api)
    except Failure as failure:
        yield red("broker", f"{failure.title}: {failure.detail}", START)
        return
    yield alarm(alarms)
    yield from queue_findings(queues)


def alarm(alarms: list[str]) -> Finding:
    """Judge the broker's alarms: while one stands, it takes no message, and the webhook answers 503."""
    if not alarms:
        return green("broker alarms", "none")
    return red(
        "broker alarms",
        f"the broker takes no messages: {', '.join(alarms)}",
        "Make room on its disk (200 MB at least), or give it memory; it goes on by itself.",
    )


def _settled_queues(api: Api) -> list[dict[str, Any]]:
    """Return the queues; while something seems to be wrong, until the broker has counted anew."""
    deadline = time.monotonic() + STATISTICS_LAG_S
    while True:
        queues = api.queues() or []
        if is_in_order(queues) or time.monotonic() > deadline:
            return queues
        time.sleep(ASK_AGAIN_S)


def is_in_order(queues: list[dict[str, Any]]) -> bool:
    """Tell whether every queue has a consumer and no dead letter waits."""
    counted = {queue["name"]: queue for queue in queues}
    return all(
        queue.name in counted
        and counted[queue.name]["consumers"]
        and queue.dead in counted
        and not counted[queue.dead]["depth"]
        for queue in QUEUES
    )


def queue_findings(queues: list[dict[str, Any]]) -> Iterable[Finding]:
    """Yield queues that are missing, that nobody consumes, or that hold dead letters."""
    found = {queue["name"]: queue for queue in queues}
    dead = [name for name, queue in found.items() if queue.get("dead")]
    if dead:
        yield red(
            "dead queues",
            f"have a name and no leader: {', '.join(sorted(dead))}",
            "They take and give nothing, and may hold messages on disk: docs/RUNBOOK.md, QueueGone.",
        )
    missing = [queue.name for queue in QUEUES if queue.name not in found]
    if missing:
        yield red("queues", f"missing: {', '.join(missing)}", "Start the services: they declare them again.")
    idle = [queue.name for queue in QUEUES if queue.name in found and not found[queue.name]["consumers"]]
    if idle:
        yield red(
            "consumers",
            f"nobody takes from: {', '.join(idle)}",
            "Its service (docs/ARCHITECTURE.md, queues) is down or not ready; that one's log says why.",
        )
    if not missing and not idle and not dead:
        yield green("queues", f"all {len(QUEUES)} are there, each with a consumer")
    letters = {queue.dead: found[queue.dead]["depth"] for queue in QUEUES if queue.dead in found}
    full = {name: depth for name, depth in letters.items() if depth}
    if full:
        yield red(
            "dead letters",
            ", ".join(f"{name} {depth}" for name, depth in full.items()),
            "Look first: python3 scripts/phoenix.py dlq list, then dlq show QUEUE; then dlq replay or purge.",
        )
    elif not letters or None in letters.values():
        yield yellow("dead letters", "unknown: the broker has not counted them", "Ask again in some seconds.")
    else:
        yield green("dead letters", "none")


def redis_server(installation: Installation) -> Iterable[Finding]:
    """Yield whether Redis answers, and its version."""
    url = installation.text("PHOENIX_REDIS_URL")
    if url is None:
        yield grey("redis", "PHOENIX_REDIS_URL is not known here")
        return
    try:
        client = redis.Redis.from_url(
            url, socket_timeout=CONNECT_TIMEOUT_S, socket_connect_timeout=CONNECT_TIMEOUT_S
        )
        with closing(client):
            yield _version("redis", str(client.info("server")["redis_version"]))
    except (redis.RedisError, ValueError) as error:
        yield red("redis", f"does not answer: {type(error).__name__}", START)


def _version(server: str, version: str) -> Finding:
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    lowest, newest = SUPPORTED[server]
    if not numbers:
        return grey(server, "does not tell its version")
    if numbers < lowest:
        need = ".".join(map(str, lowest))
        return red(server, f"version {version}", f"At least {need} is needed; install a newer one.")
    if numbers[0] > newest[0]:
        return yellow(
            server, f"version {version}", f"Tried up to {newest[0]}; watch it, or install that one."
        )
    return green(server, f"version {version}")


def monitoring(installation: Installation) -> Iterable[Finding]:
    """Yield whether Prometheus, Alertmanager and Grafana answer, as far as they are set up."""
    for name, path in (("prometheus", "/-/ready"), ("alertmanager", "/-/ready"), ("grafana", "/api/health")):
        url = installation.text(f"PHOENIX_{name.upper()}_URL")
        if url is None:
            yield grey(name, f"PHOENIX_{name.upper()}_URL is not set: not looked at")
            continue
        try:
            answer = httpx.get(f"{url.rstrip('/')}{path}", timeout=CONNECT_TIMEOUT_S, trust_env=False)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            yield yellow(
                name,
                f"does not answer ({type(error).__name__}): nobody watches",
                "./scripts/start.sh starts it, unless it is told --no-monitoring.",
            )
            continue
        if answer.is_success:
            yield green(name, "ready")
        else:
            yield red(name, f"answers HTTP {answer.status_code}", START)
