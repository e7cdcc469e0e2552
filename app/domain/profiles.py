"""Which profile each thing is held to, by the shelf on which the service puts it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from app.conformance import Definitions
from app.errors import MappingError, Refusal
from app.settings import Kind, Role


class Held(BaseModel):
    """One line of mappings/profiles.toml, whose head says what each key means."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    role: Role
    type: str
    profile: str


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
