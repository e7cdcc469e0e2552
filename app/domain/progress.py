"""What the clinic learns of a voluntary referral: the agency's progress, as long as the consent stands."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from app import fhir
from app.domain import consents, disclosed, disclosure, graph, patients, whose
from app.domain.case import Case
from app.domain.disclosure import Rule
from app.domain.event import Event
from app.domain.graph import About, Copies
from app.domain.plan import Answer, Exchange, Owed, Plan, Put, Stored, put, touched
from app.domain.steps import OPEN
from app.errors import Issue
from app.fhir import Resource, concept, listed


def told(
    case: Case, exchange: Exchange, event: Event, task: Resource, *, given: Resource | None = None
) -> Plan:
    """
    What the clinic's Task now says: nothing at all, not even a new version, unless a rule permits.

    given       the consent as it is written at this moment; None: as it stands
    """
    nothing = Plan(Answer(()))
    facts = frozenset({"own-exchange", *consent(case, exchange, given)})
    decision = disclosure.decide(
        case.mappings.rules, kind=exchange.kind, direction="return", facts=facts
    )
    rule = decision.rule
    if rule is None or not decision.permitted:
        return _untold(
            "The clinic does not learn of this: the family's consent does not cover it any more."
        )
    if event.outcome_class not in rule.classes:
        return nothing
    seen = case.loaded.resource(exchange.source, exchange.source_task)
    if seen is None or exchange.source not in case.settings.shelves:
        return nothing
    copies = _copies(case, exchange, rule, task)
    shown = _shown(case, exchange, rule, event, task, seen, copies)
    stays = len(_outputs(task, rule)) > len(listed(shown.get("output")))
    left = _untold(_LEFT) if stays else nothing
    puts: tuple[Put, ...] = ()
    if shown != {**seen.resource, "lastModified": shown["lastModified"]}:
        puts = put(shown, seen, shelf=exchange.source, now=case.now)
    origins = {copy: original for original, copy in copies.names.items()}
    for resource in copies.resources:
        name = fhir.name(resource)
        stored = case.loaded.resource(exchange.source, name)
        made = put(resource, stored, shelf=exchange.source, now=case.now, exchange=exchange.id)
        puts += tuple(replace(one, origin=origins.get(name, "")) for one in made)
    if not puts:
        return left
    source = case.settings.shelves[exchange.source]
    versions = {fhir.name(one.resource): one.expected + 1 for one in puts}
    owed = (Owed(exchange.source, exchange.id, versions),) if source.endpoint else ()
    row = disclosed.row(
        case,
        exchange.id,
        rule,
        source=exchange.recipient,
        recipient=exchange.source,
        subject=fhir.literal(task.get("for")),
        puts=puts,
    )
    return Plan(left.answer, puts, owed=owed, accounted=(row,), stands=agreed(exchange))


_LEFT: Final = (
    "What an output points at does not go to the clinic: it has to stand on this shelf, be of a type that"
    " the rule shows, such as Procedure, and name as its subject the referral's patient, whose record there must"
    " not be another's by now."
)


def _untold(text: str) -> Plan:
    return Plan(Answer((), issues=(Issue("warning", "suppressed", text, "Task"),)))


def consent(case: Case, exchange: Exchange, given: Resource | None = None) -> set[str]:
    """The facts about the consent under which a referral was made, as it stands now or is given."""
    if not exchange.consent:
        return set()
    agreed = case.loaded.resource(exchange.source, exchange.consent)
    task = case.loaded.resource(exchange.source, exchange.source_task)
    given = given or (agreed.resource if agreed else None)
    if task is None:
        return set()
    recipient = case.settings.tenant(case.settings.shelves[exchange.recipient].tenant)

    def find(name: str) -> Resource | None:
        return case.loaded.standing(exchange.source, name)

    whom = fhir.literal(task.resource.get("for"))
    source = case.settings.shelves.get(exchange.source)
    return consents.facts(
        given,
        patient=patients.records(case.on(source), whom) if source else [whom],
        recipient=lambda actor: bool(disclosure.organization(actor, find) & recipient.names),
        now=fhir.instant(case.now),
    )


def agreed(exchange: Exchange) -> tuple[tuple[str, str, str], ...]:
    """
    The consent, which stands as it was read when what it permits is done: as Plan.stands.

    So a withdrawal at this very moment is not passed by.
    """
    return (("resource", exchange.source, exchange.consent),) if exchange.consent else ()


def is_covered(case: Case, exchange: str) -> bool:
    """
    Whether a referral to the caller's shelf may go to its server at this moment.

    One that has ended, or was taken back, is told of all the same.

    exchange    id
    """
    found = case.loaded.opened(case.shelf.key, exchange)
    if found is None or found.source not in case.settings.shelves:
        return True
    task = case.loaded.resource(case.shelf.key, found.recipient_task)
    if task is None or task.resource.get("status") not in OPEN:
        return True
    return consent(case, found) >= consents.WHOLE


def _copies(case: Case, exchange: Exchange, rule: Rule, task: Resource) -> Copies:
    """What the Task's outputs point at, trimmed for the clinic; the Task itself is no copy."""
    known = {copied: original for original, copied in exchange.copies.items()}
    known[fhir.name(task)] = exchange.source_task
    targets = [
        target
        for output in _outputs(task, rule)
        for reference in fhir.references(output)
        if (target := case.find(reference["reference"]))
        and target["resourceType"] in rule.shows
        and fhir.name(target) not in known
    ]
    place = graph.placed(
        case.key, recipient=exchange.source, exchange=exchange.id, source=exchange.recipient
    )
    subject = fhir.literal(task.get("for"))
    about = About(subject)
    targets = [one for one in targets if graph.goes(one, rule, about, case.find)]
    if targets and whose.is_given_away(case, exchange):
        targets = []  # it would stand in another's chart
    return graph.copies(targets, rule, case.find, about=about, known=known, place=place)


_VALUES = frozenset({"valueReference", "valueCodeableConcept"})


def _outputs(task: Resource, rule: Rule) -> list[Any]:
    """The outputs that the clinic may see, each with the one code by which it may."""
    shown = []
    for output in listed(task.get("output")):
        codes = [one.split("|", 1) for one in rule.outputs]
        code = next((one for one in codes if fhir.has_code(output.get("type"), *one)), None)
        value = {name: said for name, said in output.items() if name in _VALUES}
        if code and value:
            shown.append({"type": concept(*code), **value})
    return shown


def _shown(  # noqa: PLR0913 — what the clinic sees depends on all of these
    case: Case,
    exchange: Exchange,
    rule: Rule,
    event: Event,
    task: Resource,
    seen: Stored,
    copies: Copies,
) -> Resource:
    """The clinic's Task after the event: its own, with the elements that the rule shows."""
    known = {copied: original for original, copied in exchange.copies.items()} | copies.names
    partial = {**task, "output": _outputs(task, rule)}
    trimmed = graph.trimmed(partial, rule, known)
    # An output whose reference leads out of the exchange has nothing left to say.
    outputs = [one for one in trimmed.pop("output", ()) if one.keys() & _VALUES]
    trimmed |= {"output": outputs} if outputs else {}
    kept = {name: value for name, value in seen.resource.items() if name not in rule.shows["Task"]}
    shown = event.sets({**kept, **trimmed})
    return touched(shown, case.now)
