"""The clinic's EHR: its own FHIR server, and what its people do there."""

from __future__ import annotations

from app.sandbox import family
from app.sandbox.call import send
from app.sandbox.family import KINBRIDGE
from app.sandbox.server import Act, Resource, Store


def acts(store: Store, exchange: str) -> dict[str, Act]:
    """
    What a clinician does in the EHR; each sends what the EHR holds and answers what came back.

    exchange    base URL of the service
    """
    chart, reports = f"{exchange}/clinic/chart/fhir", f"{exchange}/clinic/reports/fhir"

    def screening(wanted: Resource) -> Resource:
        """A caregiver filled in a form; {"instrument", "wishes"}."""
        store.put(dict(family.PATIENT))
        response = family.screening(wanted["instrument"], wanted["wishes"])
        send("PUT", f"{chart}/Patient/{family.PATIENT['id']}", family.PATIENT)
        return send("POST", f"{chart}/$submit-screening", response)

    def referral(wanted: Resource) -> Resource:
        """A clinician orders help; {"proposal", "consented"}."""
        bundle = family.referral(wanted["proposal"], consented=wanted["consented"])
        return send("POST", f"{chart}/$refer", bundle)

    def report(wanted: Resource) -> Resource:
        """A clinician reports; {"by_device"}, or {"called", "agency"} for another report."""
        made = family.report(by_device=wanted["by_device"])
        if "called" in wanted:
            made = family.another_report(wanted["called"], wanted["agency"])
        return send("POST", f"{reports}/$report", made)

    def check(_: Resource) -> Resource:
        """A clinician looks at what a thin report lacks; nothing is sent."""
        return send("POST", f"{reports}/$check-referral", family.thin_report())

    def answer(wanted: Resource) -> Resource:
        """A clinician answers the agency's question; {"text"}."""
        asked = next(
            one
            for one in store.search("Task", "status=requested")
            if any(code.get("code") == "info-needed" for code in one["code"].get("coding", []))
        )
        identity = next(
            one["value"] for one in asked["identifier"] if one["system"] == f"{KINBRIDGE}/sid/copy"
        )
        kind = {"coding": [{"system": f"{KINBRIDGE}/CodeSystem/task-output", "code": "answer"}]}
        said = {
            **asked,
            "id": identity,
            "status": "completed",
            "output": [{"type": kind, "valueString": wanted["text"]}],
        }
        done = send("PUT", f"{reports}/Task/{identity}", said)
        if done["status"] == 200:
            store.put({**said, "id": asked["id"]})
        return done

    acts = (screening, referral, report, check, answer)
    return {act.__name__: act for act in acts}
