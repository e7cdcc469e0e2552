"""What a family's consent permits, to whom and until when."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Final

from app import fhir
from app.domain.plan import Stored
from app.fhir import Resource, listed

# What of Consent.provision is understood; a limit that is not is none that was kept.
_PROVISION: Final = frozenset({"actor", "id", "period", "type"})
# clinics' clocks go ahead of ours by minutes; a day has come when it has come anywhere
_AHEAD: Final = timedelta(minutes=10)
_ANYWHERE: Final = timedelta(hours=14)
WHOLE: Final = frozenset({"consent-active", "consent-in-force", "consent-names-recipient"})
WITHDRAWN: Final = frozenset({"entered-in-error", "inactive", "rejected"})
_RECIPIENTS: Final = frozenset({"IRCP", "PRCP"})  # v3-ParticipationType: who receives


def facts(
    consent: Resource | None,
    *,
    patient: Collection[str],
    recipient: Callable[[Resource], bool],
    now: str,
) -> set[str]:
    """
    Which facts about consent hold.

    patient     Type/id of each record of the one whom it must cover
    recipient   whether a Reference means the organization that receives
    now         FHIR instant
    source      SDOHCC-Consent 3.0.0; R4 Consent.provision
    """
    if consent is None or fhir.target(consent.get("patient")) not in patient:
        return set()
    found = set()
    code = "http://terminology.hl7.org/CodeSystem"
    if (
        consent.get("status") == "active"
        and fhir.has_code(consent.get("category"), f"{code}/v3-ActCode", "IDSCL")
        and fhir.has_code(consent.get("scope"), f"{code}/consentscope", "patient-privacy")
        and all(one.get("verified") is True for one in listed(consent.get("verification")))
        and "modifierExtension" not in consent
    ):
        found.add("consent-active")
    provision = consent.get("provision") or {}
    period = provision.get("period") or {}
    begun = is_past(str(period.get("start", "")), now)
    ended = "end" in period and not fhir.not_after(now, str(period["end"]))
    understood = provision.keys() <= _PROVISION and period.keys() <= {"start", "end"}
    signed = str(consent.get("dateTime", ""))
    begun = begun and is_past(signed, now if "T" in signed else _later(now, _ANYWHERE))
    if provision.get("type", "permit") == "permit" and understood and begun and not ended:
        found.add("consent-in-force")
    if any(
        _receives(actor) and recipient(actor.get("reference") or {})
        for actor in listed(provision.get("actor"))
    ):
        found.add("consent-names-recipient")
    return found


def is_past(said: str, now: str) -> bool:
    """Whether a date or dateTime has come, if the clock of who wrote it goes some minutes ahead of ours; "" has."""
    return fhir.not_after(said, _later(now, _AHEAD) if "T" in said else now)


def _later(now: str, by: timedelta) -> str:
    return fhir.instant(fhir.moment(now) + by)


def withdrawn(consent: Resource) -> bool:
    """Whether it says that the family agrees no more, or never did."""
    denied = (consent.get("provision") or {}).get("type") == "deny"
    return denied or consent.get("status") in WITHDRAWN


def refuses(consent: Resource) -> bool:
    """Whether the family does not agree, as this says, that what concerns them is shared."""
    status = consent.get("status")
    code = "http://terminology.hl7.org/CodeSystem/consentscope"
    denied = status == "active" and withdrawn(consent)
    about = fhir.has_code(consent.get("scope"), code, "patient-privacy")
    return about and (denied or status in {"inactive", "rejected"})


def refused_since(refusal: Resource, consent: Resource, now: str) -> bool:
    """
    Whether a refusal holds, and was not said before a consent: that of the same day or moment wins.

    One that has ended says when it was given, and must be the later one.
    """
    period = (refusal.get("provision") or {}).get("period") or {}
    over = "end" in period and not fhir.not_after(now, str(period["end"]))
    if over or not is_past(str(period.get("start", "")), now):
        return False
    said, given = str(refusal.get("dateTime", "")), str(consent.get("dateTime", ""))
    if refusal.get("status") == "inactive":
        return bool(said) and not fhir.not_after(said, given)
    return fhir.not_after(given, said) if said else True


def revived(before: Stored | None, consent: Resource) -> bool:
    """
    Whether a message brings a consent to life that was withdrawn, or deleted, on the shelf.

    It was written before that, or comes from a copy that does not know of it: it says nothing new.

    before      what stands under its name
    """
    gone = before is not None and (not before.stands or withdrawn(before.resource))
    return gone and not withdrawn(consent)


REVIVED: Final = (
    "The Consent of this id was withdrawn on this shelf, and a message does not revive it. If the family"
    " has agreed again, send a Consent of its own, or update this one before."
)


def turn(shelf: str, name: str) -> tuple[str, str]:
    """
    What nothing may meet when a plan is done: who refers under a consent and who changes it go in turn.

    Nothing ever meets it; a commit that asks for it waits for another that does.

    name        Type/id
    """
    return shelf, f"Consent?_id={name.partition('/')[2]}&_lastUpdated=ge9999-12-31"


def _receives(actor: Resource) -> bool:
    codings = listed((actor.get("role") or {}).get("coding"))
    return any(coding.get("code") in _RECIPIENTS for coding in codings)


def addressed(consent: Resource, recipient: Callable[[Resource], bool]) -> Resource:
    """The consent as one recipient may see it: whom else the family lets know is not theirs to learn."""
    provision = consent.get("provision") or {}
    actors = [
        one for one in listed(provision.get("actor")) if recipient(one.get("reference") or {})
    ]
    return {**consent, "provision": {**provision, "actor": actors}} if actors else consent
