"""What stands on one shelf, and on no other."""

from __future__ import annotations

from app.domain.plan import Caller
from app.errors import NotFound
from app.flows.service import Service
from app.settings import Shelf
from app.storage import resources


async def read(
    service: Service, shelf: Shelf, caller: Caller, *, resource_type: str, identity: str
) -> tuple[bytes, int]:
    """
    Body and version.

    raises      NotFound: nothing of this name is on this shelf
    source      https://hl7.org/fhir/R4/http.html#read
    """
    caller.must("r", resource_type)
    name = f"{resource_type}/{identity}"
    found = await service.database.read(
        lambda tx: resources.read(tx, shelf.key, name), shelves=(shelf.key,)
    )
    if found is None:
        raise NotFound("Nothing of this type and id is on this shelf.")
    return found[0], found[1]
