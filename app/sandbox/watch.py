"""What a step of the demo is, and how its effect is seen at each party and waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2

from app.sandbox.call import LOOPBACK
from app.sandbox.parties import Parties

EXCHANGE: Final = "https://kinbridge.example.org/fhir/sid/exchange"
_WAIT_SECONDS: Final = 45.0
_LOOK_SECONDS: Final = 0.05


class StepMissing(Exception):  # noqa: N818 — the loop is not whole
    """A step that did not have its effect."""


@dataclass(frozen=True, slots=True)
class Step:
    """
    who, what   for the timeline
    run         does it, waits for its effect, says where to look
    """

    who: str
    what: str
    run: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Watch:
    """
    The parties, and what the steps so far have learned.

    known       {name of a referral or report: its exchange}, and what later steps compare
    """

    parties: Parties
    known: dict[str, Any] = field(default_factory=dict)

    def tracked(self, who: str, name: str) -> list[dict[str, Any]]:
        """The Tasks of one referral or report at a party."""
        return self.parties.holds(who, "Task", f"identifier={EXCHANGE}|{self.known[name]}")

    def task(
        self, who: str, name: str, there: Callable[[dict[str, Any]], bool] = lambda _: True
    ) -> dict[str, Any]:
        """The one Task of a referral or report at a party, once it is as it shall be."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = self.tracked(who, name)
            return len(found) == 1 and there(found[0])

        until(look, f"the {name}'s Task at the {who}")
        return found[0]

    def task_where(self, who: str, query: str, code: str) -> dict[str, Any]:
        """The one Task of this code that meets the query, once it is there."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            tasks = self.parties.holds(who, "Task", query)
            found[:] = [
                one
                for one in tasks
                if any(each.get("code") == code for each in one["code"].get("coding", []))
            ]
            return len(found) == 1

        until(look, f"one Task {code} at the {who}")
        return found[0]

    def quiet(self) -> None:
        """Until the exchange owes nothing to anybody."""

        def look() -> bool:
            metrics = httpx2.get(
                f"{self.parties.exchange.url}/metrics", timeout=5, verify=LOOPBACK
            ).text
            return 'kinbridge_outbox{state="owed"} 0.0' in metrics

        until(look, "an empty outbox")


def until(look: Callable[[], bool], what: str) -> None:
    """
    Returns once it is so.

    raises      StepMissing: it was not so for long enough
    """
    end = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            if look():
                return
        except (httpx2.HTTPError, ValueError):
            pass  # a party that is down for the moment
        if time.monotonic() > end:
            message = f"waited {_WAIT_SECONDS:.0f} s for {what}"
            raise StepMissing(message)
        time.sleep(_LOOK_SECONDS)


def must(holds: bool, what: str) -> None:  # noqa: FBT001 — reads as a sentence
    if not holds:
        raise StepMissing(what)


def resources(done: dict[str, Any]) -> list[dict[str, Any]]:
    """What an act of a party has made."""
    must(done["status"] == 200, f"status 200, not {done['status']}: {done['body']}"[:400])
    return [entry["resource"] for entry in done["body"]["entry"]]


def tracking(task: dict[str, Any]) -> str:
    """The exchange that a Task stands for."""
    return next(str(one["value"]) for one in task["identifier"] if one["system"] == EXCHANGE)
