"""Checking without writing: a resource against its definitions, and whether it would be taken."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from app import fhir
from app.domain.change import Change
from app.errors import Issue, Refusal
from app.fhir import Resource
from app.flows import write
from app.flows.aside import LONG
from app.flows.service import Service

Mode = Literal["", "create", "update", "delete", "profile"]


async def against(service: Service, resource: Resource, profiles: tuple[str, ...]) -> list[Issue]:
    """
    What is wrong with a resource by R4, by the profiles that it claims, and by those that are named.

    A profile that is not loaded is an error: what was asked for was not checked.
    """
    found: list[Issue] = []
    loaded = []
    for one in profiles:
        try:
            service.definitions.checker(one)
            loaded.append(one)
        except Refusal as refusal:
            found += [replace(issue, rule="profile-unknown") for issue in refusal.issues]
    now = service.clock()

    def check() -> list[Issue]:
        return service.definitions.check(resource, now=now, profiles=tuple(loaded))

    long = len(fhir.encode(resource)) > LONG
    return found + await service.aside.run(check, long=long)


async def taken(service: Service, change: Change) -> list[Issue]:
    """Why a change would be refused, as it stands now; nothing is written."""
    try:
        await write.planned(service, change)
    except Refusal as refusal:
        return list(refusal.issues)
    return []
