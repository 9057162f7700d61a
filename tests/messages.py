"""Messages to send in tests: small, valid, each with an id of its own."""

from datetime import UTC, datetime
from itertools import count

from shared import codec
from shared.models import AlertRaised, Envelope
from shared.values import Severity

_numbers = count()


def a_message(text: str = "") -> Envelope:
    """Return a message that nobody has seen before."""
    number = str(next(_numbers))
    return codec.envelop(
        AlertRaised(severity=Severity.INFO, kind="test", text=text or number),
        correlation_id=f"sig-test-{number}",
        causation_id=None,
        occurred_at=datetime.now(UTC),
        producer="test",
        discriminator=(number,),
    )
