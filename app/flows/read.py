"""What stands on one shelf, what stood there, and nothing of any other."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.plan import Caller
from app.errors import Gone, NotFound
from app.flows.service import Service
from app.settings import Shelf
from app.storage import history, resources
from app.storage.database import Tx
from app.storage.history import Past
from app.storage.resources import Version


async def read(service: Service, shelf: Shelf, caller: Caller, name: str) -> Version:
    """
    The last version of Type/id.

    raises      NotFound: nothing of this name was ever on this shelf
                Gone: it was deleted
    source      https://hl7.org/fhir/R4/http.html#read
    """
    caller.must("r", name.split("/", 1)[0])
    return _standing(
        await service.database.read(
            lambda tx: resources.read(tx, shelf.key, name), shelves=(shelf.key,)
        )
    )


async def vread(service: Service, shelf: Shelf, caller: Caller, name: str, version: int) -> Version:
    """
    One version of Type/id.

    raises      NotFound, Gone: as read
    source      https://hl7.org/fhir/R4/http.html#vread
    """
    caller.must("r", name.split("/", 1)[0])

    async def look(tx: Tx) -> Version | None:
        return await resources.read_version(tx, shelf.key, name, version)

    return _standing(await service.database.read(look, shelves=(shelf.key,)))


def _standing(found: Version | None) -> Version:
    if found is None:
        raise NotFound("Nothing of this type, id and version is on this shelf.")
    if not found.stands:
        raise Gone("It was deleted; its history still has what it was.")
    return found


@dataclass(frozen=True, slots=True)
class History:
    """
    One page of versions, newest first.

    total       of all pages
    more        whether another page follows
    """

    page: list[Past]
    total: int
    more: bool


async def past(  # noqa: PLR0913 — what the standard lets a caller ask
    service: Service,
    shelf: Shelf,
    caller: Caller,
    *,
    of: dict[str, str],
    since: str,
    after: tuple[str, str, str, int] | None,
    most: int,
) -> History:
    """
    Versions of one resource, of a type, or of the shelf.

    of          {}, {"type"} or {"type", "id"}
    raises      NotFound: there never was such a resource
    source      https://hl7.org/fhir/R4/http.html#history
    """
    caller.must("r", of.get("type", "*"))

    async def look(tx: Tx) -> History:
        place = {"after": after} if after else {}
        found = await history.page(tx, shelf.key, of=of, since=since, most=most + 1, **place)
        total = await history.count(tx, shelf.key, of=of, since=since)
        return History(found[:most], total, len(found) > most)

    looked = await service.database.read(look, shelves=(shelf.key,))
    if "id" in of and not looked.page and not since and after is None:
        raise NotFound("Nothing of this type and id was ever on this shelf.")
    return looked
