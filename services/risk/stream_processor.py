"""RISK's inbound binding: which message of which queue goes to which method of the flow.

It opens the consumers of `risk_assessment` and `risk_facts`. The market's tail is followed by the shared
`LatestTicks`, which keeps only the newest tick per symbol. It must never decide.
"""

from services.risk.flow import RiskFlow
from shared.errors import MessageFault
from shared.models import (
    AccountSnapshot,
    AnalysisCompleted,
    BooksCompleted,
    CloseIgnored,
    CloseRequested,
    Envelope,
    OrderEnded,
    OrderFilled,
    OrderPlaced,
    OrderRefused,
    PositionClosed,
    PositionOpened,
)
from shared.rabbitmq_client import Consumer, Publisher
from shared.topology import RISK_ASSESSMENT, RISK_FACTS


class Inbound:
    """Hands each message to the flow."""

    def __init__(self, flow: RiskFlow) -> None:
        self._flow = flow

    async def on_assessment(self, envelope: Envelope) -> None:
        """Handle a message of `risk_assessment`.

        Raises:
            MessageFault: not a proposal.
        """
        if not isinstance(envelope.payload, AnalysisCompleted):
            raise MessageFault(f"{envelope.schema} does not belong on {RISK_ASSESSMENT.name}")
        await self._flow.on_analysis(envelope, envelope.payload)

    async def on_fact(self, envelope: Envelope) -> None:
        """Handle a message of `risk_facts`; facts that change nothing about risk are passed over.

        Raises:
            MessageFault: not a fact that belongs here.
        """
        match envelope.payload:
            case AccountSnapshot() as snapshot:
                await self._flow.on_snapshot(envelope, snapshot)
            case PositionOpened() as opened:
                await self._flow.on_position_opened(envelope, opened)
            case PositionClosed() as closed:
                await self._flow.on_position_closed(envelope, closed)
            case OrderEnded() as ended:
                await self._flow.on_order_ended(envelope, ended)
            case CloseRequested() as request:
                await self._flow.on_exit(request)
            case OrderPlaced() | OrderFilled() | OrderRefused() | CloseIgnored() | BooksCompleted():
                pass  # the reservation covers them already, or they change no risk
            case _:
                raise MessageFault(f"{envelope.schema} does not belong on {RISK_FACTS.name}")

    def consumers(self, amqp_url: str, name: str, publisher: Publisher) -> dict[str, Consumer]:
        """Return the consumers, not yet open; facts first, so that the book is fresh when proposals come."""
        return {
            RISK_FACTS.name: Consumer(amqp_url, name, RISK_FACTS, self.on_fact, publisher),
            RISK_ASSESSMENT.name: Consumer(amqp_url, name, RISK_ASSESSMENT, self.on_assessment, publisher),
        }
