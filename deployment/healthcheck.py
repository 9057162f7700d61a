"""Tells Docker whether the process in this container is ready: exit status 0 or 1, with what it answered.

It finds the port on the command line of the first process, so that no health check has to repeat it,
and asks `/ready`, or `/health` of what has no `/ready`. Standard library only: it runs every few seconds.
"""

import http.client
import sys
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

FIRST_PROCESS = Path("/proc/1/cmdline")
TIMEOUT_S = 3.0
PATHS = ("/ready", "/health")
ANSWER_BYTES_MAX = 2_000


def port_of(command: Sequence[str]) -> int:
    """Return the port after `--port`.

    Raises:
        ValueError: there is none.
    """
    if "--port" not in command[:-1]:
        raise ValueError(f"no --port on the command line: {' '.join(command)}")
    return int(command[command.index("--port") + 1])


def ask(port: int) -> tuple[int, str]:
    """Return status and text of the first path that exists.

    Raises:
        OSError, http.client.HTTPException: nothing answers.
    """
    status, text = 0, ""
    for path in PATHS:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            status, text = answer.status, answer.read(ANSWER_BYTES_MAX).decode(errors="replace")
        finally:
            connection.close()
        if status != HTTPStatus.NOT_FOUND:
            break
    return status, text


def main(arguments: Sequence[str]) -> int:
    """Check the port given, or the one of the container's first process."""
    try:
        command = FIRST_PROCESS.read_bytes().decode(errors="replace").split("\0")
        status, text = ask(int(arguments[0]) if arguments else port_of(command))
    except (OSError, ValueError, http.client.HTTPException) as error:
        sys.stdout.write(f"no answer: {error}\n")
        return 1
    sys.stdout.write(f"{status} {text}\n")
    return 0 if status == HTTPStatus.OK else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
