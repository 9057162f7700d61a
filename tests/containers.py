"""Runs services of the compose files without an engine: the same commands, users, mounts and health checks.

A container here is a process in namespaces of its own (mounts, network, processes, host name) with the root
file system read-only, its volumes and nothing else of the home, the user the file names, and no capability
but those it adds. Programs are Debian's; what an image's entrypoint does for PostgreSQL is done here. It
needs root and Linux.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from infrastructure.local.layout import REPOSITORY, find_binaries
from tests.compose_files import Tree, mounts
from tests.dockerfile import exec_form, stages

TOOLS = ("unshare", "nsenter", "setpriv", "chroot", "mount", "ip", "curl", "wget")
NETWORK = "172.31.95"
SETUP_TIMEOUT_S = 20
PATIENCE_S = 180
CHECK_TIMEOUT_S = 30
POLL_S = 0.2
LOG_TAIL = 3_000
SYSTEM_DIRECTORIES = ("usr", "bin", "sbin", "lib", "lib64", "etc")
USERS = {"root": 0, "phoenix": 10_001, "server": 999, "nginx": 101, "nobody": 65_534, "grafana": 472}


def missing_tools() -> list[str]:
    """Return what this machine lacks; empty where containers can run."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return missing if os.getuid() == 0 else ["root", *missing]


def until(condition: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Wait for a server to come to it; `what` says what is wrong if it does not."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(POLL_S)


@dataclass
class Container:
    """One replica of a service."""

    name: str
    service: Tree
    outer: subprocess.Popen[bytes]
    log: Path

    @property
    def first(self) -> psutil.Process:
        """The container's process 1, as this machine sees it."""
        children = psutil.Process(self.outer.pid).children()
        assert children, f"{self.name} has ended: {self.log.read_text(errors='replace')[-LOG_TAIL:]}"
        return children[0]

    def is_healthy(self) -> bool:
        """Run the service's health check inside, as its user."""
        check = self.service.get("healthcheck", {}).get("test") or ["CMD", *_image_health_check()]
        command = check[1:] if check[0] == "CMD" else ["sh", "-c", check[1]]
        try:
            return self.run(*command).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command inside, as `docker compose exec` does."""
        self._await_root()
        inside = ["nsenter", "-t", str(self.first.pid), "-m", "-n", "-u", "-p", "-r", "-w"]
        return subprocess.run(
            [*inside, *_as_user(self.service), *_environment(self.service), *command],
            capture_output=True,
            text=True,
            timeout=CHECK_TIMEOUT_S,
            check=False,
        )

    def _await_root(self) -> None:
        """Wait until the container has its own file system: before, a command would run on this machine's."""
        deadline = time.monotonic() + SETUP_TIMEOUT_S
        while os.readlink(f"/proc/{self.first.pid}/root") == "/":
            assert time.monotonic() < deadline, f"{self.name} does not come up"
            time.sleep(POLL_S / 10)

    def stop(self) -> int:
        """Stop it as compose does; its exit status, -9 when the time it has to stop was not enough."""
        number = {"SIGINT": 2, "SIGQUIT": 3}.get(self.service.get("stop_signal", "SIGTERM"), 15)
        patience_s = float(self.service["stop_grace_period"].removesuffix("s"))
        self.first.send_signal(number)
        try:
            return self.outer.wait(timeout=patience_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return -9

    def kill(self) -> None:
        """End it and everything in it at once.

        Its process 1 first, with which all the others end: one that has become another user is not told any
        more that its parent died.
        """
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.outer.pid).children():
                child.kill()
        self.outer.kill()
        self.outer.wait()


@dataclass
class Engine:
    """Volumes, one network, and the containers on it."""

    services: Mapping[str, Tree]
    place: Path
    switch: subprocess.Popen[bytes]
    containers: dict[str, Container] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)

    def start(self, name: str, *, replica: int = 1, command: list[str] | None = None) -> Container:
        """Start a replica of a service, or another command in its place."""
        service = dict(self.services[name])
        if command is not None:
            service["command"] = command
        full_name = f"{name}-{replica}"
        root = Path(tempfile.mkdtemp(prefix="root-", dir=self.place))
        log = self.place / f"{full_name}.log"
        script = "\n".join([*_filesystem(root, self.place, service), _entry(root, service)])
        host = service.get("hostname", f"{full_name}.test")
        log.touch()
        log.chmod(0o666)  # as an engine does: a process may open its /dev/stdout
        with log.open("ab") as output:
            outer = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--uts", "--pid", "--fork",
                 "--kill-child", "sh", "-euc", f"hostname {host}\n{script}"],
                stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd="/",
            )  # fmt: skip
        if service.get("network_mode") != "none":
            self._plug_in(outer.pid, self.addresses[full_name])
        self.containers[full_name] = Container(full_name, service, outer, log)
        return self.containers[full_name]

    def run(self, name: str, command: list[str] | None = None) -> tuple[int, str]:
        """Run a service that ends by itself; its exit status and what it said."""
        container = self.start(name, command=command)
        status = container.outer.wait(timeout=CHECK_TIMEOUT_S * 4)
        return status, container.log.read_text(errors="replace")

    def http(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Ask with curl from the gateway's place on the network."""
        return subprocess.run(
            ["nsenter", "-t", str(self.switch.pid), "-n", "curl", "-sS", *arguments],
            capture_output=True, text=True, timeout=CHECK_TIMEOUT_S, check=False,
        )  # fmt: skip

    def name_hosts(self, replicas: Mapping[str, int]) -> None:
        """Give every replica an address, and the names under which others find it."""
        lines = ["127.0.0.1 localhost"]
        for number, (name, service) in enumerate(self.services.items()):
            inside = (service.get("networks") or {}).get("inside") or {}
            for replica in range(1, replicas.get(name, 1) + 1):
                address = inside.get("ipv4_address", f"{NETWORK}.{128 + 4 * number + replica}")
                self.addresses[f"{name}-{replica}"] = address
                lines.append(f"{address} {' '.join([name, *inside.get('aliases', [])])}")
        (self.place / "hosts").write_text("\n".join(lines) + "\n")

    def _plug_in(self, pid: int, address: str) -> None:
        """Lead a cable from the switch into the container."""
        _await_network(pid)
        port = f"v{address.rpartition('.')[2]}"
        outside, inside = (["nsenter", "-t", str(each), "-n", "ip"] for each in (self.switch.pid, pid))
        for command in (
            [*outside, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(pid)],
            [*outside, "link", "set", port, "master", "br0", "up"],
            [*inside, "link", "set", "lo", "up"],
            [*inside, "addr", "add", f"{address}/24", "dev", "eth0"],
            [*inside, "link", "set", "eth0", "up"],
        ):
            subprocess.run(command, check=True, timeout=SETUP_TIMEOUT_S)

    def stop(self) -> None:
        """End everything."""
        for container in self.containers.values():
            if container.outer.poll() is None:
                container.kill()


@contextmanager
def engine(services: Mapping[str, Tree], replicas: Mapping[str, int] | None = None) -> Iterator[Engine]:
    """Give an engine with empty volumes and delete everything afterwards."""
    place = Path(tempfile.mkdtemp(prefix="phoenix95-containers-"))
    place.chmod(0o711)
    users = "".join(f"{name}:x:{number}:{number}::/tmp:/bin/sh\n" for name, number in USERS.items())
    (place / "passwd").write_text(users)
    (place / "group").write_text("".join(f"{name}:x:{number}:\n" for name, number in USERS.items()))
    bridge = (
        f"ip link set lo up; ip link add br0 type bridge; ip addr add {NETWORK}.1/24 dev br0;"
        " ip link set br0 up; exec sleep infinity"
    )
    with subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sh", "-euc", bridge]
    ) as switch:
        running = Engine(services, place, switch)
        running.name_hosts(replicas or {})
        try:
            _await_network(switch.pid)
            yield running
        finally:
            running.stop()
            switch.kill()
            shutil.rmtree(place, ignore_errors=True)


def _await_network(pid: int) -> None:
    """Wait until a process has a network of its own."""
    host = os.readlink("/proc/self/ns/net")
    deadline = time.monotonic() + SETUP_TIMEOUT_S
    while os.readlink(f"/proc/{pid}/ns/net") == host:
        assert time.monotonic() < deadline, "no network namespace"
        time.sleep(POLL_S / 10)


def _filesystem(root: Path, place: Path, service: Tree) -> list[str]:
    """Return the commands that build the container's file system out of this machine's."""
    lines = ["mount --make-rprivate /", f"mount -t tmpfs tmpfs {root}"]
    for name in SYSTEM_DIRECTORIES:
        source = Path("/", name)
        if source.is_symlink():
            lines.append(f"ln -s {os.readlink(source)} {root}/{name}")
        elif source.is_dir():
            lines += _bound(source, root / name, writable=False)
    for source in dict.fromkeys((Path(sys.base_prefix), Path(sys.prefix).resolve())):
        if not source.is_relative_to("/usr"):
            lines += _bound(source, Path(f"{root}{source}"), writable=False)
    lines += _bound(Path(sys.prefix).resolve(), root / "opt" / "venv", writable=False)
    for part in (
        "shared",
        "services",
        "infrastructure",
        "scripts",
        "deployment",
    ):  # as the Dockerfile copies them
        lines += _bound(REPOSITORY / part, root / "app" / part, writable=False)
    lines += [f"mkdir -p {root}/dev {root}/proc {root}/var/lib/phoenix {root}/tmp"]
    lines += [f"mount --rbind /dev {root}/dev", f"mount -t proc proc {root}/proc"]
    for target in sorted(mounts(service)):
        origin, writable = mounts(service)[target]
        outer = REPOSITORY / origin if origin.startswith(".") else place / "volumes" / origin
        if not origin.startswith("."):
            outer.mkdir(parents=True, exist_ok=True)
        lines += _bound(outer, Path(f"{root}{target}"), writable=writable)
    for entry in service["tmpfs"]:
        target, _, options = entry.partition(":")
        lines += [f"mkdir -p {root}{target}", f"mount -t tmpfs -o {options} tmpfs {root}{target}"]
    for own in ("hosts", "passwd", "group"):
        lines.append(f"mount --bind {place / own} {root}/etc/{own}")
    if service["read_only"]:
        lines.append(f"mount -o remount,ro {root}")
    return lines


def _bound(source: Path, target: Path, *, writable: bool) -> list[str]:
    made = f"mkdir -p {target.parent}; touch {target}" if source.is_file() else f"mkdir -p {target}"
    lines = [made, f"mount --bind {source} {target}"]
    return lines if writable else [*lines, f"mount -o remount,bind,ro {target}"]


def _entry(root: Path, service: Tree) -> str:
    """Return the command that becomes the container's process, with the image's user and variables."""
    command = [*service.get("entrypoint", []), *service["command"]]
    plugged = (
        ""
        if service.get("network_mode") == "none"
        else "until ip -4 addr show dev eth0 | grep -q inet; do sleep 0.05; done\n"
    )
    prefix = shlex.join([*_as_user(service), *_environment(service)])
    if command[0] == "postgres":
        command = ["sh", "-euc", _postgres_entrypoint(service, command)]
    return f"{plugged}exec chroot {root} sh -c {shlex.quote(f'cd /app; exec {prefix} {shlex.join(command)}')}"


def _postgres_entrypoint(service: Tree, command: list[str]) -> str:
    """Do what the image's entrypoint does: create the cluster and the database, then serve."""
    variables = service["environment"]
    own = shlex.join(command)
    single = f"postgres --single -D {variables['PGDATA']} postgres"
    return (
        f"if [ ! -s {variables['PGDATA']}/PG_VERSION ]; then"
        f" initdb --username={variables['POSTGRES_USER']} --pwfile={variables['POSTGRES_PASSWORD_FILE']}"
        f" {variables['POSTGRES_INITDB_ARGS']};"
        f" echo 'CREATE DATABASE {variables['POSTGRES_DB']}' | {single}; fi; exec {own}"
    )


def _as_user(service: Tree) -> list[str]:
    user = service.get("user", stages()[-1].all("USER")[0]).split(":")[0]
    capabilities = ",".join(f"+{each.lower()}" for each in service.get("cap_add", []))
    bounding = f"-all,{capabilities}" if capabilities else "-all"
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs",
            f"--bounding-set={bounding}", "--inh-caps=-all"]  # fmt: skip


def _environment(service: Tree) -> list[str]:
    ours = service["image"].startswith("phoenix95:")
    postgres = find_binaries().postgres_bin
    variables = stages()[-1].environment() if ours else {}
    path = f"/opt/venv/bin:{postgres}:/usr/lib/rabbitmq/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    variables = variables | {"PATH": path, "LANG": "C.UTF-8"} | service.get("environment", {})
    return ["env", "-i", *(f"{key}={value}" for key, value in variables.items())]


def _image_health_check() -> list[str]:
    (health,) = stages()[-1].all("HEALTHCHECK")
    return exec_form(health.partition("CMD ")[2])
