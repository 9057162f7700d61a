"""A BRAIN that is killed at the worst moment: after the broker has confirmed an alert, before the 200.

`python -m tests.e2e.brain_that_dies --port P`; every alert kills it, the moment it is durable.
"""

import os
import signal

from services.brain import brain_service
from services.brain.message_publisher import SignalPublisher
from shared.values import Signal


class DyingPublisher(SignalPublisher):
    """Makes an alert durable and does not live to tell."""

    async def accept(self, signal_: Signal) -> None:
        """Never return."""
        await super().accept(signal_)
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Run one instance, to its first alert."""
    brain_service.SignalPublisher = DyingPublisher  # type: ignore[attr-defined]
    brain_service.main()


if __name__ == "__main__":
    main()
