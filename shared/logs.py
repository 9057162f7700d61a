"""JSON logs: one event, one line, one `action` name in the past tense, with the story's `correlation_id`.

Call `configure` once per process. A log line must never carry a secret or a whole message body.
"""

import logging
import sys

import orjson
import structlog
from structlog.typing import FilteringBoundLogger

Logger = FilteringBoundLogger

QUIET_LIBRARIES = ("aio_pika", "aiormq", "httpx", "httpcore", "telegram", "uvicorn", "ccxt", "asyncio")


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
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service, instance=instance)
    handler = logging.StreamHandler(sys.stdout)
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
    for name in QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


def speak_up_only_about_errors() -> None:
    """For a command line, whose output is its answer: errors to stderr, the AMQP client's words nowhere."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger("error"),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    for name in QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def get(name: str) -> Logger:
    """Return the logger of one module."""
    logger: Logger = structlog.get_logger(module=name)
    return logger


def _dumps(value: object, **_: object) -> str:
    return orjson.dumps(value, default=str).decode()
