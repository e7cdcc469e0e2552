"""The loop from a screening to its outcome, step by step; each step waits for its effect."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from app.sandbox.parties import Parties
from app.sandbox.reports import Reports
from app.sandbox.watch import EXCHANGE, Step, StepMissing, Watch, must, resources, tracking


@dataclass(slots=True)
class Demo:
    """
    say         prints a line of the timeline
    around      runs one step; a test kills the exchange there
    """

    parties: Parties
    say: Callable[[str], None]
    around: Callable[[Step], str] = field(default=lambda step: step.run())
    watch: Watch = field(init=False)

    def __post_init__(self) -> None:
        self.watch = Watch(self.parties)

    def steps(self) -> list[Step]:
        return [
            Step("clinic", "a caregiver answers Hunger Vital Sign and wants help with food",
                 lambda: self.screening("hunger-vital-sign", ["food-insecurity"], 5)),
            Step("clinic", "a longer screening, PRAPARE, and a wish for help with transport",
                 lambda: self.screening("prapare", ["transportation-insecurity"], 8)),
            Step("agency", "nothing has reached the agency: a screening sends nothing",
                 self.nothing_sent),
            Step("clinic", "a referral without the family's consent is refused",
                 lambda: self.refused("referral", proposal=self.watch.known["proposal"], consented=False)),
            Step("agency", "the agency's server goes down", self.agency_down),
            Step("clinic", "a clinician orders the help that the family asked for, with consent",
                 self.referral),
            Step("agency", "the server is back, and the referral arrives, once", self.arrives),
            Step("agency", "the agency accepts; the EHR's Task shows it",
                 lambda: self.progress("accepted")),
            Step("agency", "the agency works on it", lambda: self.progress("in-progress")),
            Step("agency", "the agency is done and says what was done",
                 lambda: self.progress("completed", helped="Food pantry application filed")),
            Step("clinic", "a report that a device sends is refused",
                 lambda: self.refused("report", by_device=True)),
            Step("clinic", "a clinician reports, attested", self.report),
            Step("agency", "intake acknowledges; the EHR is told received, and whom to call",
                 self.acknowledged),
            Step("agency", "screened in and determined; the EHR is told no more: no rule is on file",
                 self.determined),
            Step("clinic", "the outcome, read from the EHR's own server with the client fhirclient",
                 self.outcome_read),
            *Reports(self.watch).steps(),
        ]  # fmt: skip

    def run(self) -> None:
        """
        Every step, in order.

        raises      StepMissing: which step did not have its effect
        """
        for number, step in enumerate(self.steps(), start=1):
            begun = time.monotonic()
            try:
                where = self.around(step)
            except (StepMissing, RuntimeError, httpx2.HTTPError, LookupError) as missing:
                message = f"step {number} is missing: {step.what} ({missing})"
                raise StepMissing(message) from missing
            took = time.monotonic() - begun
            self.say(f"{number:2}. {took:5.2f} s  {step.who:7} {step.what}\n{'':13}look: {where}")

    def screening(self, instrument: str, wishes: list[str], expected: int) -> str:
        done = self.parties.act("ehr", "screening", instrument=instrument, wishes=wishes)
        made = resources(done)
        observations = [one for one in made if one["resourceType"] == "Observation"]
        proposals = [one for one in made if one["resourceType"] == "ServiceRequest"]
        # the answers, the panel, the wish, and Hunger Vital Sign's result
        must(len(observations) == expected, "an Observation for each answer")
        must([one["intent"] for one in proposals] == ["proposal"], "one proposal, nothing more")
        self.watch.known.setdefault("proposal", f"ServiceRequest/{proposals[0]['id']}")
        return f"{self._chart}/ServiceRequest/{proposals[0]['id']}"

    def nothing_sent(self) -> str:
        self.watch.quiet()
        must(not self.parties.holds("agency", "Task"), "no Task at the agency")
        return f"{self.parties.agency.url}/fhir/Task"

    def refused(self, act: str, **wanted: Any) -> str:
        done = self.parties.act("ehr", act, **wanted)
        must(done["status"] == 422, "a refusal")
        issues = done["body"]["issue"]
        return f"422: {issues[0]['details']['text']}"

    def agency_down(self) -> str:
        self.parties.agency.stop()
        return f"{self.parties.agency.url} does not answer"

    def referral(self) -> str:
        done = self.parties.act(
            "ehr", "referral", proposal=self.watch.known["proposal"], consented=True
        )
        task = resources(done)[0]
        self.watch.known["referral"] = tracking(task)
        self._ehr_task("referral", "requested")
        return f"{self._chart}/Task/{task['id']}"

    def arrives(self) -> str:
        self.parties.agency.start()
        task = self.watch.task("agency", "referral")
        self.watch.quiet()
        for kind in ("Task", "ServiceRequest", "Patient", "Consent"):
            must(len(self.parties.holds("agency", kind)) == 1, f"one {kind}, not two")
        return f"{self.parties.agency.url}/fhir/Task/{task['id']}"

    def progress(self, status: str, **more: str) -> str:
        task = self.watch.task("agency", "referral")
        wanted = {"task": task["id"], "shelf": "support", "status": status, **more}
        must(self.parties.act("agency", "step", **wanted)["status"] == 200, status)
        seen = self._ehr_task("referral", status)
        if "helped" in more:
            done = seen["output"][0]["valueReference"]["reference"]
            must(len(self.parties.holds("ehr", "Procedure")) == 1, "what was done")
            return f"{self.parties.ehr.url}/fhir/{done}"
        return f"{self.parties.ehr.url}/fhir/Task/{seen['id']}"

    def report(self) -> str:
        done = self.parties.act("ehr", "report", by_device=False)
        self.watch.known["report"] = tracking(resources(done)[0])
        task = self.watch.task("agency", "report")
        self._ehr_task("report", "requested")
        return f"{self.parties.agency.url}/fhir/Task/{task['id']}"

    def acknowledged(self) -> str:
        self._intake(status="received", business_status="received", intake_number="26-0042")
        seen = self._ehr_task("report", "received")
        contact = [
            one["valueContactDetail"] for one in seen["output"] if "valueContactDetail" in one
        ]
        must(bool(contact and contact[0]["telecom"][0]["value"]), "whom to call")
        self.watch.known["told"] = seen
        return f"{self.parties.ehr.url}/fhir/Task/{seen['id']}"

    def determined(self) -> str:
        self._intake(status="accepted", business_status="screened-in")
        self._intake(status="completed", business_status="disposition", finding="substantiated")
        self.watch.quiet()
        told = (self.watch.known["told"], self._ehr_task("report", "received"))
        before, now = ({**one, "meta": {**one["meta"], "versionId": ""}} for one in told)
        must(before == now, "the EHR is told no more")  # twice the same, where a push was repeated
        seen = self.watch.task("agency", "report")
        return f"{self.parties.agency.url}/fhir/Task/{seen['id']} (the agency's own)"

    def outcome_read(self) -> str:
        from fhirclient.client import FHIRClient  # noqa: PLC0415 — an optional extra
        from fhirclient.models.task import Task  # noqa: PLC0415

        smart = FHIRClient({"app_id": "demo", "api_base": f"{self.parties.ehr.url}/fhir"})
        read = {}
        for name in ("referral", "report"):
            where = Task.where({"identifier": f"{EXCHANGE}|{self.watch.known[name]}"})
            tasks = list(where.perform_resources_iter(smart.server))
            must(len(tasks) == 1, f"one Task for the {name}, not {len(tasks)}")
            read[name] = tasks[0].status
        must(read == {"referral": "completed", "report": "received"}, "both outcomes")
        return f"referral: {read['referral']}; report: {read['report']}"

    @property
    def _chart(self) -> str:
        return f"{self.parties.exchange.url}/clinic/chart/fhir"

    def _intake(self, **wanted: str) -> None:
        task = self.watch.task("agency", "report")
        done = self.parties.act("agency", "step", task=task["id"], shelf="intake", **wanted)
        must(done["status"] == 200, wanted["business_status"])

    def _ehr_task(self, name: str, status: str) -> dict[str, Any]:
        return self.watch.task("ehr", name, lambda task: bool(task["status"] == status))


def run(folder: Path, *, keep: bool, say: Callable[[str], None]) -> None:
    """
    Start the three parties, go through the loop, stop them.

    keep        leave them running and print the addresses
    raises      StepMissing
    """
    parties = Parties(folder)
    begun = time.monotonic()
    try:
        for party in parties.all():
            party.begin()
        for party in parties.all():
            party.wait()
            say(f"    {time.monotonic() - begun:5.2f} s  {party.name} runs at {party.url}")
        Demo(parties, say).run()
    finally:
        if not keep:
            parties.stop()
    say(f"The loop is whole, {time.monotonic() - begun:.1f} s in all.")
    if not keep:
        say(
            "To look at it, run it again with KEEP=1 (kinbridge demo --keep): it leaves them running."
        )
    if keep:
        say(f"Everything stays up; logs and databases: {folder}")
        for party in parties.all():
            process = party.process.pid if party.process else 0
            say(f"  {party.name:8} {party.url}  (kill {process} to end it)")
