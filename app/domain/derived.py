"""
The numbers of what is sent: the same message has the same ones, whenever it is taken in.

They are keyed hashes of what a message is known by, so that after a restored backup whatever was sent since
comes again under its old numbers; docs/decisions/0071. Chance has no part in them.
"""

from __future__ import annotations

from app import fhir
from app.domain import contained, whom
from app.domain.case import Case
from app.domain.change import Entry
from app.domain.graph import ONE, placed
from app.domain.plan import derive
from app.fhir import Resource, listed


def exchange(case: Case, sent: Entry, request: Resource, recipient: str) -> str:
    """
    The id of the exchange that a message opens: of these words, about this person, to this shelf.

    recipient   key of the shelf
    """
    mark = case.receipt(sent, "")
    child = fhir.literal(request.get("subject"))
    person = next((one.said for one in case.entries if one.name == child), None)
    if person is None and child.startswith("Patient/"):
        person = case.find(child)
    about = (whom.known_by(person or {"resourceType": "Patient"}, case.came), *_named(person or {}))
    return derive(case.key, "exchange", case.shelf.key, recipient, mark.key, mark.digest, *about)


def _named(person: Resource) -> tuple[str, str]:
    """Siblings may share a number, of their family's account; their first names and births tell them apart."""
    said = [one for one in listed(person.get("name")) if isinstance(one, dict)]
    names = {word for one in said for word in (one.get("family", ""), *listed(one.get("given")))}
    return " ".join(sorted(map(str, names))), str(person.get("birthDate", ""))


def task(case: Case, identity: str) -> str:
    """The id of the sender's Task, where it has none of its own."""
    return derive(case.key, "task", case.shelf.key, identity)


def copied_task(case: Case, identity: str, recipient: str) -> str:
    """Type/id of the recipient's Task in an exchange."""
    place = placed(case.key, recipient=recipient, exchange=identity, source=case.shelf.key)
    return f"Task/{place('Task')}"


def labels(case: Case) -> dict[str, str]:
    """{Type/id: what it is known by} of what came without an id, and was given one by chance."""
    if all(one.method != "POST" and not one.condition for one in case.entries):
        return {}
    once = case.loaded.once
    _, known = once("labels", str(id(case.entries)), _labelled, case.entries)
    return {
        one.name: said
        for one, said in zip(case.entries, known, strict=True)
        if one.method == "POST" or one.condition
    }


def _labelled(entries: tuple[Entry, ...]) -> tuple[tuple[Entry, ...], list[str]]:
    """With the entries themselves: as long as they live, no other has their id()."""
    return entries, whom.labels(entries)


def label(name: str, known: dict[str, str]) -> str:
    """
    By what a copy of this is numbered.

    name        Type/id on the sender's shelf, or of what something there contains
    known       as labels has it
    """
    kind = name.partition("/")[0]
    if contained.is_inside(name):
        holder, key = contained.holder(name)
        return f"{kind}/{label(holder, known)}#{key}"
    # of these one goes in an exchange
    return kind if kind in ONE else known.get(name, name)
