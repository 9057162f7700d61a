"""`python -m infrastructure.paper_exchange`: read the settings, serve, exit."""

import sys

import uvloop
from pydantic_settings import CliApp

from infrastructure.paper_exchange.config import PaperSettings
from infrastructure.paper_exchange.server import serve
from shared import logs


def main() -> int:
    """Run the exchange with the settings of the command line, the environment and its env files."""
    logs.configure("paper_exchange", 0, "INFO")
    settings = CliApp.run(PaperSettings)
    logs.own_the_streams()
    return uvloop.run(serve(settings))


if __name__ == "__main__":
    sys.exit(main())
