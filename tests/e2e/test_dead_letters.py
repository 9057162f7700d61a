"""Dead letters of the whole running system in the operator's hands."""

import json

import msgspec

from shared import codec, topology
from shared.models import Envelope, SignalReceived
from shared.rabbitmq_client import Publisher
from tests.contract.samples import SIGNAL, in_envelope
from tests.e2e.phoenix import Phoenix
from tests.eventually import eventually

QUEUE = topology.SIGNAL_PROCESSING
SIGNAL_ID = "sig-deadletter00"


def _old_entry() -> Envelope:
    signal = msgspec.structs.replace(SIGNAL, signal_id=SIGNAL_ID, dedupe_key="e2e:dead-letter")
    envelope = in_envelope(SignalReceived(signal=signal), causation_id=None)
    return msgspec.structs.replace(envelope, event_id="evt-deadletter00", correlation_id=SIGNAL_ID)


async def test_what_was_parked_is_seen_replayed_purged_and_on_record(phoenix: Phoenix) -> None:
    async with Publisher(phoenix.system.amqp_url, "e2e") as publisher:
        await publisher.publish("", QUEUE.name, b"not a message")
        await eventually(lambda: _depth(phoenix, 1), what="it is parked")
        await publisher.publish("", QUEUE.dead, codec.encode(_old_entry()))
    assert await _depth(phoenix, 2)
    page = await phoenix.cli("dlq", "show", QUEUE.name)
    assert "parked again: it is not a message" in page
    assert "expires: older than 30 s" in page

    replayed = await phoenix.cli(
        "dlq", "replay", QUEUE.name, "--event-id", "evt-deadletter00", "--yes", "--json", "--reason", "e2e"
    )

    assert json.loads(replayed) == {"replayed": ["evt-deadletter00"], "left": 0}
    assert (await phoenix.outcome(SIGNAL_ID))["outcome"] == "expired", "through the age gate, like any other"
    purged = json.loads(await phoenix.cli("dlq", "purge", QUEUE.name, "--yes", "--json"))
    assert (len(purged["deleted"]), purged["left"]) == (1, 0)
    assert await _depth(phoenix, 0)
    rows = await phoenix.rows("risk", "SELECT act, detail FROM risk.audit_log ORDER BY id DESC LIMIT 2")
    assert [row["act"] for row in rows] == ["dlq purge", "dlq replay"]
    assert json.loads(rows[1]["detail"])["ids"] == ["evt-deadletter00"]


async def _depth(phoenix: Phoenix, letters: int) -> bool:
    listed = json.loads(await phoenix.cli("dlq", "list", "--json"))["queues"]
    return bool({each["queue"]: each["letters"] for each in listed}[QUEUE.name] == letters)
