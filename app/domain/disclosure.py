"""Who may send what to whom: rules as data, and a decision as a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from msgspec import Struct
from pydantic import BaseModel, ConfigDict

from app import fhir
from app.errors import Invalid, Issue
from app.fhir import Resource, listed
from app.settings import CANONICAL, Kind

Direction = Literal["outward", "return", "conversation"]
Find = Callable[[str], Resource | None]

FACTS: Final = frozenset({
    "attested", "consent-active", "consent-in-force", "consent-names-recipient", "human-requester",
    "mandated", "own-exchange", "recipient-registered",
})  # fmt: skip


class Rule(BaseModel):
    """One reason to disclose; the head of mappings/disclosure.toml says what each key means."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    like: str = ""
    says: str
    kind: Kind
    direction: Direction
    purpose: str
    requires: tuple[str, ...]
    basis: tuple[str, ...]
    labels: tuple[str, ...]
    extensions: tuple[str, ...]
    follows: tuple[str, ...]
    names: tuple[str, ...]
    withholds: tuple[str, ...]
    withholds_labels: tuple[str, ...]
    withholds_screenings: Literal["", "sensitive", "all"] = ""
    withholds_codes: frozenset[str] = frozenset()
    shows: dict[str, tuple[str, ...]]
    classes: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    flagged: dict[str, tuple[str, ...]] = {}
    ordered: dict[str, dict[str, tuple[str, ...]]] = {}

    def asked(self, flags: tuple[str, ...]) -> Rule:
        """The rule with the extensions that the form of a jurisdiction asks for beside the others."""
        more = tuple(url for flag in flags for url in self.flagged.get(flag, ()))
        return self.model_copy(update={"extensions": self.extensions + more}) if more else self

    def obeying(self, request: Resource) -> Rule:
        """The rule without what this order says shall stay behind, by its orderDetail."""
        left = [
            stays
            for code, stays in self.ordered.items()
            if fhir.has_code(request.get("orderDetail"), *code.split("|", 1))
        ]
        shows = {
            kind: tuple(
                one for one in shown if not any(one in stays.get(kind, ()) for stays in left)
            )
            for kind, shown in self.shows.items()
        }
        return self.model_copy(update={"shows": shows}) if left else self


class Decision(Struct, frozen=True):
    """
    rule        the one that permits, or the one that came nearest
    missing     facts that it requires and that do not hold; empty: permitted
    """

    rule: Rule | None
    missing: tuple[str, ...]

    @property
    def permitted(self) -> bool:
        return self.rule is not None and not self.missing


def decide(
    rules: tuple[Rule, ...], *, kind: Kind, direction: Direction, facts: frozenset[str]
) -> Decision:
    """Deny by default: the first rule all of whose facts hold permits, else none does."""
    nearest = Decision(None, ())
    for rule in rules:
        if (rule.kind, rule.direction) == (kind, direction):
            decision = Decision(rule, tuple(fact for fact in rule.requires if fact not in facts))
            if decision.permitted:
                return decision
            if nearest.rule is None or len(decision.missing) < len(nearest.missing):
                nearest = decision
    return nearest


def done(*, mandated: bool) -> frozenset[str]:
    """The facts of a report or referral that was sent, which nothing changes; not those of a consent."""
    duty = {"mandated"} if mandated else set()
    return frozenset({"attested", "human-requester", "recipient-registered", *duty})


def refusal(decision: Decision, advice: dict[str, str], *, at: str) -> Invalid:
    """What keeps it from being sent, one issue for each missing fact, and what to do."""
    if decision.rule is None:
        return Invalid("No disclosure rule permits this.", expression=at)
    where = f"{CANONICAL}/disclosure/{decision.rule.id}"
    return Invalid(
        issues=tuple(
            Issue("error", "business-rule", advice[fact], at, rule=fact, url=where)
            for fact in decision.missing
        )
    )


def organization(reference: Resource, find: Find) -> set[str]:
    """
    What an organization that is referred to is known by, system|value.

    A reference that leads to an Organization means that one, whatever identifier stands beside it.
    """
    name = fhir.literal(reference)
    if name:
        found = find(name) if name.startswith("Organization/") else None
        identifiers = listed((found or {}).get("identifier"))
    else:
        identifiers = listed(reference.get("identifier"))
    return {f"{one.get('system', '')}|{one['value']}" for one in identifiers if one.get("value")}
