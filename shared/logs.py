"""JSON logs: one event, one line, one `action` name in the past tense, with the story's `correlation_id`.

Call `configure` once per process. A log call cannot raise and cannot wait, whatever its arguments are and
wherever lines go (`shared.log_sink`); what is lost is counted. A line must never carry a secret or a whole
message body.
"""

import functools
import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import orjson
import structlog
from structlog.typing import FilteringBoundLogger

from shared.log_sink import STDERR, STDOUT, LogSink, SinkHandler, SinkLogger, SinkStream

Logger = FilteringBoundLogger

CALLS = ("debug", "info", "warning", "warn", "error", "critical", "fatal", "exception", "msg", "log")
QUIET_LIBRARIES = ("aio_pika", "aiormq", "httpx", "httpcore", "telegram", "uvicorn", "ccxt", "asyncio")

_sink, _errors = LogSink(STDOUT), LogSink(STDERR)


def configure(service: str, instance: int, level: str) -> None:
    """Send structlog's and the libraries' logs to stdout as JSON lines."""
    shared_processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("action"),
    ]
    structlog.configure(
        processors=[*shared_processors, structlog.processors.JSONRenderer(serializer=_dumps)],
        wrapper_class=_unfailing(level),
        logger_factory=lambda *_: SinkLogger(_sink),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service, instance=instance)
    handler = SinkHandler(_sink)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared_processors[:-1],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.EventRenamer("action"),
                structlog.processors.JSONRenderer(serializer=_dumps),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.raiseExceptions = False
    for name in QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


def own_the_streams() -> None:
    """Let what others print go the same way: `print`, warnings, the traceback that ends a process."""
    sys.stdout = SinkStream(_sink)
    sys.stderr = SinkStream(_errors)


def newly_lost() -> int:
    """Return how many lines were lost since this was last asked."""
    return _sink.newly_lost() + _errors.newly_lost()


def flush() -> None:
    """Wait until what was logged is written, for a second at most."""
    _sink.flush()


def speak_up_only_about_errors() -> None:
    """For a command line, whose output is its answer: errors to stderr, the AMQP client's words nowhere."""
    structlog.configure(
        wrapper_class=_unfailing("error"),
        logger_factory=lambda *_: SinkLogger(_errors),
    )
    for name in QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def get(name: str) -> Logger:
    """Return the logger of one module."""
    logger: Logger = structlog.get_logger(module=name)
    return logger


def _unfailing(level: str) -> type[Logger]:
    """Return a logger class whose calls cannot raise: what cannot be formed is a lost line."""
    base: Any = structlog.make_filtering_bound_logger(level)
    calls = {name: _guarded(getattr(base, name)) for name in CALLS}
    logger: type[Logger] = type("UnfailingLogger", (base,), calls)
    return logger


def _guarded(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def log(*arguments: Any, **values: Any) -> Any:
        try:
            return call(*arguments, **values)
        except Exception:  # noqa: BLE001 - P13: an observer's failure is not the worker's
            _sink.lose()
            return None

    return log


def _dumps(value: object, **_: object) -> str:
    """Return JSON; of what JSON cannot hold, its representation."""
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, ValueError, RecursionError):  # lone surrogates, huge numbers, a circle, a broken str()
        return json.dumps(value, default=_represented, skipkeys=True)


def _represented(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - the rest of the line is worth keeping
        return f"<{type(value).__name__}>"
