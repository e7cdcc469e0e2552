"""Whether a referral may go to whom it names: by which rule, under which consent; else what it lacks."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from app import fhir
from app.domain import consents, contained, disclosure, identity, parties, patients, report, routing
from app.domain.case import Case
from app.domain.disclosure import Decision
from app.domain.parties import Parties
from app.errors import Invalid, Issue
from app.fhir import Resource, listed


def decide(
    case: Case,
    request: Resource,
    *,
    party: Parties,
    consent: Resource | None,
    attestation: Resource | None,
) -> Decision:
    """What the rules say of a request to this party, under this consent, so attested."""
    facts: set[str] = set()
    if parties.human(case, contained.alone(request).get("requester")):
        facts.add("human-requester")
    if party.shelf is not None:
        facts.add("recipient-registered")
    if attestation is not None:
        facts.add("attested")
    if case.shelf.kind == "cps-report" and report.mandated(request):
        facts.add("mandated")
    facts |= _consented(case, request, party, consent)
    return disclosure.decide(
        case.mappings.rules, kind=case.shelf.kind, direction="outward", facts=frozenset(facts)
    )


def refused(
    case: Case,
    request: Resource,
    decision: Decision,
    party: Parties,
    consent: Resource | None,
) -> Invalid:
    """What it lacks, and what to do; of a report whom to call instead."""
    if fhir.target((consent or {}).get("patient")) not in patients.records(case, _subject(request)):
        # what a consent would have to say is no help where there is none, or another child's
        absent = {"consent-in-force", "consent-names-recipient"}
        missing = tuple(fact for fact in decision.missing if fact not in absent)
        decision = replace(decision, missing=missing)
    refusal = disclosure.refusal(decision, case.mappings.advice, at="ServiceRequest")
    ways = routing.proposed(case, request) if case.shelf.kind == "cps-report" else ()
    unknown = ways if party.tenant is None else ()
    if consent is None:
        held = _contained_consent(request)
    else:
        held = _revived(case, consent) or _refused_since(case, request, party, consent)
    return Invalid(issues=(*refusal.issues, *held, *unknown, *report.hotline(case, party.tenant)))


def _contained_consent(request: Resource) -> tuple[Issue, ...]:
    """A word to who contains the consent in the request, where nobody could withdraw it."""
    if all(one["resourceType"] != "Consent" for one in listed(request.get("contained"))):
        return ()
    text = (
        "A contained Consent can't be withdrawn and is not read; send it as a resource of its own."
    )
    return (Issue("error", "not-supported", text, "ServiceRequest.contained"),)


def consent(case: Case, request: Resource, party: Parties) -> Resource | None:
    """Of the consents that the request names the one that permits most."""
    named = (fhir.literal(one) for one in listed(request.get("supportingInfo")))
    found = (case.find(name) for name in named if name.startswith("Consent/"))
    return max(
        (one for one in found if one),
        key=lambda one: len(_consented(case, request, party, one)),
        default=None,
    )


def _consented(case: Case, request: Resource, party: Parties, consent: Resource | None) -> set[str]:
    found = consents.facts(
        consent,
        patient=patients.records(case, _subject(request)),
        recipient=lambda actor: parties.recipient(case, actor).tenant is party.tenant is not None,
        now=fhir.instant(case.now),
    )
    if found and (_revived(case, consent) or _of_another(case, consent)):
        return found - {"consent-active"}
    if found >= consents.WHOLE and _refused_since(case, request, party, consent):
        return found - {"consent-in-force"}
    return found


def heard(case: Case, request: Resource) -> tuple[tuple[str, str, str], ...]:
    """All that stands of what the family has said, and that there is no more of it: as Plan.stands."""
    shelf = case.shelf.key
    of = [f"Consent?patient={one}" for one in patients.records(case, _subject(request))]
    names = [name for one in of for name in case.loaded.found(shelf, one)]
    asked = [("found", shelf, one) for one in of]
    return (*asked, *(("resource", shelf, one) for one in dict.fromkeys(names)))


def _refused_since(
    case: Case, request: Resource, party: Parties, consent: Resource | None
) -> tuple[Issue, ...]:
    """A word to who refers under a consent where the family has said no to this agency since: docs/decisions/0099."""
    if consent is None or party.tenant is None:
        return ()
    records, now = patients.records(case, _subject(request)), fhir.instant(case.now)
    stand = [name for kind, _, name in heard(case, request) if kind == "resource"]
    case.loaded.expect(case.shelf.key, stand)
    came = [fhir.name(one.resource) for one in case.came if one.type == "Consent"]
    for name in dict.fromkeys([*stand, *came]):
        said = case.find(name)
        if (
            said
            and name != fhir.name(consent)
            and fhir.target(said.get("patient")) in records
            and consents.refuses(said)
            and parties.means(case, said, party.tenant.id)
            and consents.refused_since(said, consent, now)
        ):
            return (Issue("error", "suppressed", _SINCE, "ServiceRequest.supportingInfo"),)
    return ()


_SINCE: Final = (
    "Another Consent of this person on this shelf, that is not older, says that the family does not agree. If they have"
    " agreed again since, refer under a Consent with that later dateTime; else nothing goes."
)


def _subject(request: Resource) -> str:
    return str(request["subject"]["reference"])


def _of_another(case: Case, consent: Resource | None) -> bool:
    """Whether the record that a consent names told of somebody else when that was given: 0075."""
    if consent is None or case.arriving(fhir.name(consent)) is not None:
        return False
    name = fhir.versionless(consent["patient"]["reference"])
    return identity.was_another(case, name, consent["meta"]["lastUpdated"])


def _revived(case: Case, consent: Resource | None) -> tuple[Issue, ...]:
    """A word to who sends a consent along that was withdrawn here."""
    name = fhir.name(consent) if consent else ""
    if consent is None or case.arriving(name) is None:
        return ()
    if not consents.revived(case.loaded.resource(case.shelf.key, name), consent):
        return ()
    return (Issue("error", "business-rule", consents.REVIVED, "Consent.status"),)
