"""The operator's switchboard: arm faults, see how often each has struck, heal them.

Knows the admin API of faults. Must never carry one out; the only ones it sets going are those that strike at
the moment they are armed.
"""

from collections.abc import Collection, Mapping

import structlog
from aiohttp import web

from infrastructure.paper_exchange.admin_http import AdminHandler, answer, bad, missing
from infrastructure.paper_exchange.disturbed_streams import DisturbedHub
from infrastructure.paper_exchange.fault_kinds import vocabulary
from infrastructure.paper_exchange.fault_orders import FOR_MS_MAX, FaultError, read_order
from infrastructure.paper_exchange.faults import ARMED_MAX, Fault, Switchboard

_LOG = structlog.get_logger()


class FaultAdmin:
    """Handlers under /admin/faults. `operations` are the names and routes of all requests."""

    operations: Mapping[str, str] = {
        'POST /admin/faults {"kind", …}': "arm a fault; see faults below",
        "GET /admin/faults": "armed and past faults, how often each fired, and totals by kind",
        "DELETE /admin/faults": "heal every fault",
        "DELETE /admin/faults/{id}": "heal one fault",
    }

    def __init__(
        self, symbols: Collection[str], operations: Collection[str], faults: Switchboard, hub: DisturbedHub
    ) -> None:
        self._symbols = symbols
        self._requests = operations
        self._faults = faults
        self._hub = hub

    def handlers(self) -> Mapping[str, AdminHandler]:
        """Routes and their handlers."""
        return {
            "POST /admin/faults": self.arm,
            "GET /admin/faults": self.report,
            "DELETE /admin/faults": self.heal_all,
            "DELETE /admin/faults/{id:[0-9]{1,9}}": self.heal_one,
        }

    def notes(self) -> Mapping[str, object]:
        """How to say a fault."""
        return {
            "faults": {
                "kinds": vocabulary(),
                "operation": "any (default), one of requestOperations, or method and path "
                "('POST /fapi/v1/order'); for event kinds the event's name",
                "requestOperations": sorted(name for name in self._requests if " " not in name),
                "symbol": "a listed symbol; requests that name none do not match",
                "role": "how the client id ends: '-c1' exactly, '-c' with any number behind it",
                "times": "strikes left; default 1, or unlimited with probability or for_ms",
                "probability": "0..1 per match, thrown by a generator of its own with this seed (default 0)",
                "for_ms": f"armed for so long, at most and by default {FOR_MS_MAX} (an hour)",
                "rules": f"the oldest fault that matches strikes, one per request; {ARMED_MAX} may be armed; "
                "requests that would be refused anyway strike none; a restart heals all",
            }
        }

    async def arm(self, request: web.Request) -> web.Response:
        """POST /admin/faults."""
        try:
            fault = self._faults.arm(read_order(await request.read(), self._symbols, self._requests))
        except FaultError as error:
            raise bad(str(error)) from error
        _LOG.warning("fault_armed", fault=fault.number, told=fault.order.told())
        self._hub.enact(fault)
        return answer(fault.row())

    async def report(self, _: web.Request) -> web.Response:
        """GET /admin/faults."""
        return answer(self._faults.report())

    async def heal_all(self, _: web.Request) -> web.Response:
        """DELETE /admin/faults."""
        return _healed(self._faults.heal())

    async def heal_one(self, request: web.Request) -> web.Response:
        """DELETE /admin/faults/{id}; 404 when it is not armed (any more)."""
        number = int(request.match_info["id"])
        healed = self._faults.heal(number)
        if not healed:
            raise missing(f"no fault {number} is armed")
        return _healed(healed)


def _healed(faults: list[Fault]) -> web.Response:
    _LOG.warning("faults_healed", faults=[each.number for each in faults])
    return answer({"healed": [each.row() for each in faults]})
