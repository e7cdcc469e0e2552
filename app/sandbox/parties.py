"""The three parties as separate processes on ports of their own, with databases of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2

from app.sandbox.call import LOOPBACK

_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 20.0
_CONFIG: Final = """\
public_url = "{exchange}"
retry_first_seconds = 0.2
retry_longest_seconds = 1.0

[[tenants]]
id = "clinic"
name = "Riverside Pediatrics"
shelves = [
  {{ id = "chart", kind = "family-support", role = "source", endpoint = {{ url = "{ehr}/fhir" }} }},
  {{ id = "reports", kind = "cps-report", role = "source", endpoint = {{ url = "{ehr}/fhir" }} }},
  {{ id = "dr-lin", kind = "cps-report", role = "source", audience = "reporter", person = "http://hl7.org/fhir/sid/us-npi|1234567893" }},
]

[[tenants]]
id = "agency"
name = "Riverside Children and Families"
jurisdiction = "example"
shelves = [
  {{ id = "support", kind = "family-support", role = "recipient", endpoint = {{ url = "{agency}/fhir" }} }},
  {{ id = "intake", kind = "cps-report", role = "recipient", endpoint = {{ url = "{agency}/fhir" }} }},
]

[[tenants]]
id = "fairview"
name = "Fairview Child Services"
jurisdiction = "fairview"
shelves = [
  {{ id = "intake", kind = "cps-report", role = "recipient", endpoint = {{ url = "{agency}/fhir" }} }},
]

[[tenants]]
id = "swift"
name = "Swiftwater Child Services"
jurisdiction = "swiftwater"
shelves = [ {{ id = "intake", kind = "cps-report", role = "recipient" }} ]
"""


@dataclass(slots=True)
class Party:
    """One process that can be stopped, killed and started again where it was."""

    name: str
    url: str
    command: list[str]
    ready: str
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.begin()
        self.wait()

    def begin(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 — our own modules
                self.command, stdout=log, stderr=log, env=_environment(), start_new_session=True
            )

    def wait(self) -> None:
        """Until it answers, within a bound."""
        until = time.monotonic() + _START_SECONDS
        while not self.answers():
            ended = self.process is None or self.process.poll() is not None
            if ended or time.monotonic() > until:
                message = f"{self.name} does not start; see {self.log}"
                raise RuntimeError(message)
            time.sleep(0.02)

    def answers(self) -> bool:
        try:
            return (
                httpx2.get(f"{self.url}{self.ready}", timeout=2, verify=LOOPBACK).status_code == 200
            )
        except httpx2.HTTPError:
            return False

    def kill(self) -> None:
        """As a power cut would: no farewell."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()


@dataclass(slots=True)
class Parties:
    """The exchange, the clinic's EHR and the agency's case system, in one folder."""

    folder: Path
    exchange: Party = field(init=False)
    ehr: Party = field(init=False)
    agency: Party = field(init=False)

    def __post_init__(self) -> None:
        ports = _free_ports(3)
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        config = self.folder / "kinbridge.toml"
        config.write_text(_CONFIG.format(exchange=urls[0], ehr=urls[1], agency=urls[2]))
        database = f"sqlite:///{self.folder / 'exchange.db'}"
        serve = ["-m", "app.cli", "serve", "--config", str(config), "--database", database]
        self.exchange = self._party("exchange", urls[0], [*serve, "--port", str(ports[0])])
        self.exchange.ready = "/health/ready"
        for position, name in enumerate(("ehr", "agency"), start=1):
            own = str(self.folder / f"{name}.db")
            command = ["-m", "app.sandbox", name, str(ports[position]), own, urls[0]]
            setattr(self, name, self._party(name, urls[position], command))

    def _party(self, name: str, url: str, command: list[str]) -> Party:
        log = self.folder / f"{name}.log"
        return Party(name, url, [sys.executable, *command], "/fhir/metadata", log)

    def all(self) -> tuple[Party, ...]:
        return self.exchange, self.ehr, self.agency

    def act(self, who: str, name: str, **wanted: Any) -> dict[str, Any]:
        """
        What a person does at a party: {"status", "body"} of what the exchange answered.

        raises      RuntimeError: the party could not do it
        """
        party: Party = getattr(self, who)
        answer = httpx2.post(f"{party.url}/acts/{name}", json=wanted, timeout=60, verify=LOOPBACK)
        if answer.status_code != 200:
            message = f"{who} could not do {name}; see {party.log}"
            raise RuntimeError(message)
        done: dict[str, Any] = answer.json()
        return done

    def holds(self, who: str, kind: str, query: str = "") -> list[dict[str, Any]]:
        """What stands on a party's own server."""
        party: Party = getattr(self, who)
        answer = httpx2.get(f"{party.url}/fhir/{kind}?{query}", timeout=10, verify=LOOPBACK)
        return [entry["resource"] for entry in answer.json().get("entry", [])]

    def stop(self) -> None:
        for party in self.all():
            party.stop()


def _free_ports(count: int) -> list[int]:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in taken]
    for one in taken:
        one.close()
    return ports


def _environment() -> dict[str, str]:
    """Without the settings of this shell: the demo's own file says all there is to say."""
    return {name: value for name, value in os.environ.items() if not name.startswith("KINBRIDGE_")}
