"""The clinic's EHR: its own FHIR server, and what its people do there."""

from __future__ import annotations

from app.sandbox import family
from app.sandbox.call import send
from app.sandbox.server import Act, Resource, Store


def acts(store: Store, exchange: str) -> dict[str, Act]:
    """
    What a clinician does in the EHR; each sends what the EHR holds and answers what came back.

    exchange    base URL of the service
    """
    chart, reports = f"{exchange}/clinic/chart/fhir", f"{exchange}/clinic/reports/fhir"

    def screening(wanted: Resource) -> Resource:
        """A caregiver filled in a form; {"instrument", "wishes"}."""
        store.write([(f"Patient/{family.PATIENT['id']}", "", dict(family.PATIENT))])
        response = family.screening(wanted["instrument"], wanted["wishes"])
        send("PUT", f"{chart}/Patient/{family.PATIENT['id']}", family.PATIENT)
        return send("POST", f"{chart}/$submit-screening", response)

    def referral(wanted: Resource) -> Resource:
        """A clinician orders help; {"proposal", "consented"}."""
        bundle = family.referral(wanted["proposal"], consented=wanted["consented"])
        return send("POST", f"{chart}/$refer", bundle)

    def report(wanted: Resource) -> Resource:
        """A clinician reports; {"by_device"}."""
        return send("POST", f"{reports}/$report", family.report(by_device=wanted["by_device"]))

    return {"screening": screening, "referral": referral, "report": report}
