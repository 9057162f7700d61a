"""What every test has: an environment without PHOENIX_* of the developer's shell, and the server fixtures."""

import os

import hypothesis.internal.observability  # noqa: F401 - its plugin would at the end, deep in the stack (below)
import pytest
import structlog

from tests.servers import running_system, servers

__all__ = ["running_system", "servers"]

# About that import: Python 3.11's parser fails ("recursion depth mismatch") when garbage with a finaliser is
# collected while it works; at the end of a run with servers there is some, and the run fails after its tests.

STARTING = {*__all__, "shared_phoenix", "on_tape"}
START_TIMEOUT_S = 400
"""The first test that asks for servers waits for their start as well, on a busy machine for minutes."""

for _name in [name for name in os.environ if name.startswith("PHOENIX_")]:
    del os.environ[_name]

# The default renders a logged exception with its locals and keeps the event loop busy for a tenth of a
# second.
_plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[structlog.processors.add_log_level, _plain])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests that use servers time for the start, unless they say otherwise."""
    for item in items:
        wanted = set(getattr(item, "fixturenames", ())) & STARTING
        if wanted and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(START_TIMEOUT_S))
