"""The paper exchange as a process of its own, for tests: started on a free port, told where prices go."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import httpx

STOP_TIMEOUT_S = 10.0
ADMIN_TIMEOUT_S = 10.0


@dataclass
class ExchangeProcess:
    """One running paper exchange."""

    process: "subprocess.Popen[str]"
    port: int

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    def admin(self, operation: str, /, **body: Any) -> dict[str, Any]:
        """Do an administrator's operation, `"POST price"` for instance."""
        method, _, path = operation.partition(" ")
        answer = httpx.request(method, f"{self.url}/admin/{path}", json=body or None, timeout=ADMIN_TIMEOUT_S)
        assert answer.status_code == 200, answer.text
        return cast(dict[str, Any], answer.json())

    def arm(self, kind: str, **told: Any) -> int:
        """Arm a fault; returns its id."""
        return int(self.admin("POST faults", kind=kind, **told)["id"])

    def fired(self, fault: int) -> int:
        """How often a fault has struck so far."""
        report = self.admin("GET faults")
        (row,) = [row for row in report["armed"] + report["past"] if row["id"] == fault]
        return int(row["fired"])

    def heal(self) -> None:
        """Heal every fault."""
        self.admin("DELETE faults")

    @property
    def ledger(self) -> dict[str, Any]:
        """What is true, whatever is armed."""
        return self.admin("GET ledger")

    def price(self, price: str, symbol: str = "BTCUSDT") -> None:
        """Put a price somewhere; what that fires is fired before this returns."""
        self.admin("POST price", symbol=symbol, price=price)

    def reset(self) -> None:
        """Start afresh: no orders, no positions, no faults, prices that stand still, Bitcoin at 50 000."""
        self.admin("POST reset")
        self.admin("POST walk", paused=True)
        self.price("50000")

    @property
    def wallet(self) -> Decimal:
        """Wallet balance, USDT."""
        return Decimal(self.admin("GET state")["walletBalance"])

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze the process for the duration of a block: connections stay, nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@contextmanager
def exchange_process(data_dir: Path, *options: str) -> Iterator[ExchangeProcess]:
    """Run a paper exchange for the duration of a block."""
    command = [sys.executable, "-m", "infrastructure.paper_exchange", "--port", "0"]
    command += ["--data-dir", str(data_dir), "--tick-ms", "50", *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PHOENIX_")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        port = _port_of(process)
        # What it logs has to be read: with its pipe full the exchange would hang in the middle of a test.
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield ExchangeProcess(process, port)
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(STOP_TIMEOUT_S)


def _port_of(process: "subprocess.Popen[str]") -> int:
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["action"] == "exchange_serving":
            return int(event["port"])
    raise AssertionError("the exchange ended before it served")
