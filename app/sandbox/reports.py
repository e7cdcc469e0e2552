"""The demo's second half: what reports become, where a rule is on file and where none is."""

from __future__ import annotations

from typing import Any, Final

from app.sandbox import call
from app.sandbox.watch import Step, Watch, must, resources, tracking, until

_WORKER: Final = {"name": "Sam Porter, intake", "phone": "555-0142"}


class Reports:
    """Steps that follow the loop of the demo; each waits for its effect, as those do."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.parties = watch.parties

    def steps(self) -> list[Step]:
        return [
            Step("clinic", "a report to an intake that will not answer", self.unanswered),
            Step("clinic", "a thin report, looked at before it is sent: what to ask for", self.thin),
            Step("agency", "intake asks where the child is", self.question),
            Step("clinic", "the clinician answers; intake has it", self.answer),
            Step("agency", "no rule on file: screened out, and the EHR is told the receipt alone",
                 lambda: self.screened_out("agency", "screened-out-here")),
            Step("agency", "a rule on file: screened out, and the reporter's inbox says why",
                 lambda: self.screened_out("fairview", "screened-out-there")),
            Step("agency", "a rule on file: determined; the inbox has the finding, the EHR the receipt",
                 self.determined),
            Step("agency", "the case is expunged: nothing of it is left but a tombstone", self.expunged),
            Step("clinic", "nobody acknowledged the first of these: a Task says to call", self.overdue),
        ]  # fmt: skip

    def unanswered(self) -> str:
        task = self.report("unanswered", "swift")
        return f"{self.base}/clinic/reports/fhir/Task/{task['id']}"

    def thin(self) -> str:
        done = self.parties.act("ehr", "check", thin=True)
        said: dict[str, list[Any]] = {}
        for one in done["body"]["parameter"]:
            said.setdefault(one["name"], []).append(one)
        gaps = [one["part"][1]["valueString"] for one in said["gap"]]
        must(said["completeness"][0]["valueInteger"] < 50 and len(gaps) == 3, "gaps")
        return f"{said['completeness'][0]['valueInteger']} of 100; {gaps[0]} {gaps[1]} {gaps[2]}"

    def question(self) -> str:
        self.report("asked", "agency")
        self.record("asked", "agency", 1, "received", intakeNumber="26-0043", owner=_WORKER)
        self.record("asked", "agency", 2, "awaiting-information", question="child-location")
        asked = self.watch.task_where("ehr", "status=requested", "info-needed")
        return f"{self.parties.ehr.url}/fhir/Task/{asked['id']}"

    def answer(self) -> str:
        self.parties.act("ehr", "answer", text="On the ward, until Friday evening.")
        answered = self.watch.task_where("agency", "status=completed", "info-needed")
        must(answered["output"][0]["valueString"].startswith("On the ward"), "the answer")
        return f"{self.parties.agency.url}/fhir/Task/{answered['id']}"

    def screened_out(self, agency: str, name: str) -> str:
        task = self.report(name, agency)
        self.record(name, agency, 1, "received", intakeNumber="26-0044", owner=_WORKER)
        self.record(name, agency, 2, "screened-out", reason="not-statutory-definition")
        shared = self.read("reports", task["id"])
        must(shared["status"] == "received", "the shared shelf has the receipt alone")
        inbox = self.inbox(name)
        wanted = "rejected" if agency == "fairview" else "received"
        must(inbox["status"] == wanted, f"the inbox says {wanted}")
        return f"{self.base}/clinic/dr-lin/fhir/Task/{inbox['id']} ({inbox['status']})"

    def determined(self) -> str:
        task = self.report("determined", "fairview")
        self.record("determined", "fairview", 1, "received", intakeNumber="26-0045", owner=_WORKER)
        self.record("determined", "fairview", 2, "screened-in", track="investigation")
        self.record("determined", "fairview", 3, "disposition", disposition="5", note="not told")
        inbox = self.inbox("determined")
        codes = [one["type"]["coding"][0]["code"] for one in inbox["output"]]
        must("disposition" in codes, "the finding in the reporter's inbox")
        must(self.read("reports", task["id"])["status"] == "received", "the receipt alone")
        return f"{self.base}/clinic/dr-lin/fhir/Task/{inbox['id']}"

    def expunged(self) -> str:
        self.record("determined", "fairview", 4, "expunged")
        task = self.watch.known["task determined"]
        left = self.read("reports", task)
        must(left["status"] == "entered-in-error" and "output" not in left, "a tombstone")
        gone = call.send("GET", f"{self.base}/clinic/reports/fhir/ServiceRequest/determined")
        must(gone["status"] == 410, "the report is gone")
        until(
            lambda: self.watch.tracked("ehr", "determined")[0]["status"] == "entered-in-error",
            "the tombstone at the EHR",
        )
        return f"{self.base}/clinic/reports/fhir/Task/{task}"

    def overdue(self) -> str:
        found: list[dict[str, Any]] = []

        def look() -> bool:
            tasks = self.parties.holds("ehr", "Task", "status=requested")
            found[:] = [one for one in tasks if "Not confirmed" in one["code"].get("text", "")]
            return len(found) == 1

        until(look, "the Task that says to call")
        self.watch.quiet()
        return f"{found[0]['owner'].get('display')}: {found[0]['code']['text']}"

    def report(self, name: str, agency: str) -> dict[str, Any]:
        done = self.parties.act("ehr", "report", by_device=False, called=name, agency=agency)
        task = resources(done)[0]
        self.watch.known[name] = tracking(task)
        self.watch.known[f"task {name}"] = task["id"]
        return task

    def record(self, name: str, agency: str, number: int, event: str, **more: Any) -> None:
        """An event, by the number under which it is known: said again, it is the same."""
        until(lambda: len(self.watch.tracked("agency", name)) == 1, "the report's Task")
        done = self.parties.act(
            "agency", "record", tenant=agency, task=self.watch.tracked("agency", name)[0]["id"],
            said={"event": event, "identifier": f"CW-{name}", "sequence": number, **more},
        )  # fmt: skip
        must(done["status"] == 200, f"{event}: {done['body']}"[:300])

    def inbox(self, name: str) -> dict[str, Any]:
        """The reporter's own Task, as it stands now."""
        past = call.send("GET", f"{self.base}/clinic/dr-lin/fhir/_history?_count=200")["body"]
        tasks = [one["resource"] for one in past["entry"] if "resource" in one]
        known = self.watch.known[name]
        return next(one for one in tasks if tracking(one) == known)

    def read(self, shelf: str, task: str) -> dict[str, Any]:
        found: dict[str, Any] = call.send("GET", f"{self.base}/clinic/{shelf}/fhir/Task/{task}")[
            "body"
        ]
        return found

    @property
    def base(self) -> str:
        return self.parties.exchange.url
