"""`python -m infrastructure.paper_exchange`: read the settings, serve, exit."""

import logging
import sys

import orjson
import structlog
import uvloop
from pydantic_settings import CliApp

from infrastructure.paper_exchange.config import PaperSettings
from infrastructure.paper_exchange.server import serve


def main() -> int:
    """Run the exchange with the settings of the command line, the environment and its env files."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.EventRenamer("action"),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    return uvloop.run(serve(CliApp.run(PaperSettings)))


if __name__ == "__main__":
    sys.exit(main())
