"""The monitoring of the local stack: Prometheus, Alertmanager and node exporter, private like the servers.

It knows their command lines and writes their configurations. They are started last and stopped first, so that
neither a start nor a stop looks like a trouble. Nothing needs them: the system trades without.
"""

from collections.abc import Mapping
from pathlib import Path

from infrastructure.local.layout import REPOSITORY, Binaries, Layout, MissingServerError
from infrastructure.local.plan import Probe, ProbeKind, Program
from infrastructure.local.ports import SERVICES, Ports
from infrastructure.local.settings_file import write_private
from infrastructure.monitoring.targets import (
    GROUP_WAIT_S,
    INTERVAL_S,
    Fixed,
    Targets,
    alertmanager_values,
    prometheus_values,
)
from infrastructure.templates import fill_template

FAMILY = "monitoring"

RETENTION_TIME = "15d"
RETENTION_SIZE = "1GB"
ALERTS_KEPT = "120h"
MEMORY_SOFT_LIMIT = "192MiB"
"""Go collects garbage harder from here on; twenty targets need about 60 MB."""

# Settings of the start alone: no service reads them.
INTERVAL_KEY = "PHOENIX_MONITORING_INTERVAL_S"
GROUP_WAIT_KEY = "PHOENIX_MONITORING_GROUP_WAIT_S"
HEARTBEAT_KEY = "PHOENIX_HEARTBEAT_URL"

SECONDS_MIN, SECONDS_MAX = 0.5, 300.0

COLLECTORS = (
    "cpu", "diskstats", "filefd", "filesystem", "loadavg", "meminfo", "netdev", "stat", "time", "vmstat",
)  # fmt: skip
PSEUDO_FILE_SYSTEMS = (
    "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|fuse.*|hugetlbfs|iso9660|"
    "mqueue|nsfs|proc|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tmpfs|tracefs)$"
)
"""The exporter's own list would leave out `overlay` too, which is all the disk a container has."""
PSEUDO_MOUNTS = "^/(dev|etc|proc|run|sys|var/lib/docker/.+|var/lib/containers/.+)($|/)"


def monitoring_programs(layout: Layout, ports: Ports, binaries: Binaries) -> tuple[Program, ...]:
    """Return the three programs, all of the family `monitoring`."""
    return (
        _program(
            layout.prometheus,
            "prometheus",
            ports,
            (
                str(binaries.prometheus),
                f"--config.file={layout.prometheus / 'prometheus.yml'}",
                f"--storage.tsdb.path={layout.prometheus / 'data'}",
                f"--storage.tsdb.retention.time={RETENTION_TIME}",
                f"--storage.tsdb.retention.size={RETENTION_SIZE}",
                f"--web.listen-address={_address(ports, 'prometheus')}",
                "--web.cors.origin=none",  # as it comes, every web page in the operator's browser may ask
                "--log.level=warn",
            ),
            "/-/ready",
        ),
        _program(
            layout.alertmanager,
            "alertmanager",
            ports,
            (
                str(binaries.alertmanager),
                f"--config.file={layout.alertmanager / 'alertmanager.yml'}",
                f"--storage.path={layout.alertmanager / 'data'}",
                f"--data.retention={ALERTS_KEPT}",
                f"--web.listen-address={_address(ports, 'alertmanager')}",
                "--cluster.listen-address=",  # alone: it would listen for companions on a port of its own
                "--log.level=warn",
            ),
            "/-/ready",
        ),
        _program(
            layout.prometheus,
            "node_exporter",
            ports,
            (
                str(binaries.node_exporter),
                f"--web.listen-address={_address(ports, 'node_exporter')}",
                "--web.disable-exporter-metrics",
                "--collector.disable-defaults",
                *(f"--collector.{name}" for name in COLLECTORS),
                f"--collector.filesystem.fs-types-exclude={PSEUDO_FILE_SYSTEMS}",
                f"--collector.filesystem.mount-points-exclude={PSEUDO_MOUNTS}",
                "--log.level=warn",
            ),
            "/metrics",
        ),
    )


def _program(directory: Path, name: str, ports: Ports, command: tuple[str, ...], ready_path: str) -> Program:
    port = ports.of(name)
    return Program(
        name=name,
        family=FAMILY,
        command=command,
        follows=("nginx", "market_feed"),
        ports=(port,),
        ready=(Probe(ProbeKind.HTTP, port, ready_path),),
        environment={"GOMEMLIMIT": MEMORY_SOFT_LIMIT, "GOMAXPROCS": "1"},  # a guest on the traders' cores
        directory=directory,
    )


def prepare_monitoring(layout: Layout, ports: Ports, replicas: int, settings: Mapping[str, str]) -> set[str]:
    """Write the configurations of Prometheus and Alertmanager; return the programs with a changed one.

    Raises:
        ValueError: a setting of the monitoring is not usable; nothing was written.
    """
    rendered = monitoring_files(layout, targets(ports, replicas), settings)
    changed = {path for path, text in rendered.items() if not path.exists() or _text(path) != text}
    for path in changed:
        write_private(path, rendered[path])
    return {path.parent.name for path in changed}


def monitoring_files(
    layout: Layout, asked: Mapping[str, Targets], settings: Mapping[str, str]
) -> dict[Path, str]:
    """Return what Prometheus and Alertmanager read, by path; NOTIFY's key stands in a file of its own.

    Raises:
        ValueError: a setting of the monitoring is not usable.
    """
    source = REPOSITORY / "infrastructure" / "monitoring"
    rules, key_file = layout.prometheus / "alerts.yml", layout.alertmanager / "notify.key"
    scraping = prometheus_values(asked, str(rules), _seconds(settings, INTERVAL_KEY, INTERVAL_S))
    alerting = alertmanager_values(
        settings["PHOENIX_NOTIFY_URL"],
        str(key_file),
        _heartbeat(settings),
        _seconds(settings, GROUP_WAIT_KEY, GROUP_WAIT_S),
    )
    return {
        layout.prometheus / "prometheus.yml": fill_template(_text(source / "prometheus.yml"), scraping),
        rules: _text(source / "alerts.yml"),
        layout.alertmanager / "alertmanager.yml": fill_template(_text(source / "alertmanager.yml"), alerting),
        key_file: settings["PHOENIX_API_KEY"],
    }


def targets(ports: Ports, replicas: int) -> Mapping[str, Targets]:
    """Return what Prometheus asks: every instance of ours, the broker, the host, itself."""
    return {
        service: Fixed({f"{service}-{i}": f"127.0.0.1:{ports.instance(service, i)}" for i in range(replicas)})
        for service in SERVICES
    } | {
        "market_feed": Fixed({"market_feed": _address(ports, "market_feed")}),
        "rabbitmq": Fixed({"rabbitmq": _address(ports, "amqp_metrics")}),
        "host": Fixed({"host": _address(ports, "node_exporter")}),
        "prometheus": Fixed({"prometheus": _address(ports, "prometheus")}),
        "alertmanager": Fixed({"alertmanager": _address(ports, "alertmanager")}),
    }


def _seconds(settings: Mapping[str, str], key: str, usual: float) -> float:
    given = settings.get(key, str(usual))
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not SECONDS_MIN <= seconds <= SECONDS_MAX:
        raise ValueError(f"{key} is {given!r}; write seconds from {SECONDS_MIN} to {SECONDS_MAX}, such as 10")
    return seconds


def _heartbeat(settings: Mapping[str, str]) -> str:
    given = settings.get(HEARTBEAT_KEY, "")
    if given and not given.startswith(("http://", "https://")):
        raise ValueError(
            f"{HEARTBEAT_KEY} is no address; write one that begins with https://, or leave it empty"
        )
    return given


def _address(ports: Ports, name: str) -> str:
    return f"127.0.0.1:{ports.of(name)}"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def require_monitoring(binaries: Binaries) -> None:
    """Refuse to start without the programs of the monitoring.

    Raises:
        MissingServerError: something is not installed; the message names it.
    """
    wanted = (binaries.prometheus, binaries.alertmanager, binaries.node_exporter)
    missing = [path.name for path in wanted if not path.exists()]
    if missing:
        raise MissingServerError(
            f"not installed: {', '.join(missing)} (run ./scripts/start.sh without --no-install, or leave the"
            " monitoring out with --no-monitoring)"
        )
