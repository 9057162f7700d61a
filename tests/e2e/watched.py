"""Prometheus and Alertmanager of a running system, as Grafana and an operator ask them."""

import math
from dataclasses import dataclass
from typing import Any

import httpx

from infrastructure.local.ports import Ports


@dataclass(frozen=True)
class Watch:
    """The hands to ask with."""

    http: httpx.AsyncClient
    ports: Ports

    async def ask(self, expr: str) -> list[float]:
        """Return the values of an instant query; those that are no number are left out."""
        found = await self._get("query", query=expr)
        values = [float(each["value"][1]) for each in found["result"]]
        return [value for value in values if not math.isnan(value)]

    async def targets(self) -> dict[str, str]:
        """Return the health of everything that is asked, by instance."""
        found = await self._get("targets", state="active")
        return {each["labels"]["instance"]: each["health"] for each in found["activeTargets"]}

    async def troubled_rules(self) -> list[str]:
        """Return the rules that could not be evaluated, with the reason."""
        groups = (await self._get("rules"))["groups"]
        every = [rule for group in groups for rule in group["rules"]]
        return [f"{rule['name']}: {rule.get('lastError')}" for rule in every if rule["health"] != "ok"]

    async def firing(self) -> set[str]:
        """Return the names of the rules that fire now."""
        alerts = (await self._get("alerts"))["alerts"]
        return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}

    async def _get(self, what: str, **parameters: str) -> Any:
        answer = await self.http.get(
            f"http://127.0.0.1:{self.ports.of('prometheus')}/api/v1/{what}", params=parameters
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]
