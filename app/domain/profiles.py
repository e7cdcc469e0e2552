"""Which profile each thing is held to, by the shelf on which the service puts it."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict

from app import fhir
from app.conformance import Definitions
from app.domain.disclosure import Rule
from app.errors import MappingError, Refusal
from app.fhir import Resource
from app.settings import Kind, Role


class Held(BaseModel):
    """One line of mappings/profiles.toml, whose head says what each key means."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    role: Role
    type: str
    profile: str
    code: str = ""


def of(rows: tuple[Held, ...], resource: Resource, kind: Kind, role: Role) -> tuple[str, ...]:
    """The profiles that a resource is held to: those of its code, else those for any code."""
    name = resource["resourceType"]
    here = [one for one in rows if one.type == name and one.kind == kind and one.role == role]
    if not here:
        return ()
    coded = [
        one
        for one in here
        if one.code and fhir.has_code(resource.get("code"), *one.code.split("|", 1))
    ]
    return tuple(one.profile for one in coded or here if one in coded or not one.code)


def known(profiles: tuple[Held, ...], definitions: Definitions) -> None:
    """
    Every profile is there, can be read, and is of its type.

    raises      MappingError: one is not
    """
    for one in profiles:
        try:
            kind = definitions.checker(one.profile).type
        except Refusal as refusal:
            raise MappingError(f"profiles.toml: {refusal.issues[0].text}") from None
        if kind != one.type:
            raise MappingError(f"profiles.toml: {one.profile} is of the type {kind}")


def complete(profiles: tuple[Held, ...], rules: tuple[Rule, ...]) -> None:
    """
    Every type of which a disclosure rule shows something is held to a profile where it goes.

    raises      MappingError: one is not
    """
    named = {(one.kind, one.role, one.type) for one in profiles}
    for rule in rules:
        for role in _TOWARDS[rule.direction]:
            for kind in sorted(rule.shows):
                if (rule.kind, role, kind) not in named:
                    raise MappingError(
                        f"profiles.toml: nobody says to what a {kind} is held that the rule "
                        f"{rule.id} shows (kind {rule.kind}, role {role})"
                    )


_TOWARDS: Final[dict[str, tuple[Role, ...]]] = {
    "outward": ("recipient",),
    "return": ("source",),
    "conversation": ("recipient", "source"),
}
