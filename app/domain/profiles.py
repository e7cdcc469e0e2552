"""Which profile each thing is held to, by the shelf on which the service puts it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from app import fhir
from app.conformance import Definitions
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
    here = [
        one
        for one in rows
        if (one.kind, one.role, one.type) == (kind, role, resource["resourceType"])
    ]
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
