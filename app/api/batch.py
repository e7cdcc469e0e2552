"""A Bundle of requests: a transaction is one change, a batch as many as it has entries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.api import body, responses
from app.domain.plan import Answer, Caller, Change, Entry
from app.errors import NotSupported, Refusal
from app.fhir import Resource
from app.flows import read, write
from app.flows.service import Service
from app.flows.write import Written
from app.settings import Shelf


@dataclass(frozen=True, slots=True)
class Bundled:
    """
    What a caller asks of one shelf in one Bundle.

    change      makes the change of these entries
    source      https://hl7.org/fhir/R4/http.html#transaction
    """

    service: Service
    shelf: Shelf
    caller: Caller
    base: str
    change: Callable[..., Change]

    async def answer(self, request: Request, bundle: Resource) -> Response:
        minimal = "return=minimal" in request.headers.get("Prefer", "")
        if bundle["type"] == "transaction":
            entries = await self._transaction(body.entries(bundle), minimal=minimal)
            return responses.bundle(request, "transaction-response", entries)
        asked = bundle.get("entry", [])
        asked = asked if isinstance(asked, list) else []
        answers = [
            await self._alone(one, f"Bundle.entry[{index}]", minimal=minimal)
            for index, one in enumerate(asked)
        ]
        return responses.bundle(request, "batch-response", answers)

    async def _transaction(self, entries: tuple[Entry, ...], *, minimal: bool) -> list[bytes]:
        """All or nothing; reads see what the writes have made."""
        writes = tuple(one for one in entries if one.method != "GET")
        done = Written(Answer(()), {})
        if writes:
            done = await write.write(
                self.service, self.change(self.shelf, self.caller, "transaction", *writes)
            )
        names = iter(done.answer.names)
        return [
            await self._read(one)
            if one.method == "GET"
            else responses.entry(done, next(names), self.base, minimal=minimal)
            for one in entries
        ]

    async def _alone(self, asked: Any, at: str, *, minimal: bool) -> bytes:
        """One entry of a batch stands for itself."""
        try:
            entry = body.entry(asked, at)
            if entry.method == "GET":
                return await self._read(entry)
            done = await write.write(
                self.service, self.change(self.shelf, self.caller, "transaction", entry)
            )
        except Refusal as refused:
            return responses.refused_entry(refused)
        return responses.entry(done, done.answer.names[0], self.base, minimal=minimal)

    async def _read(self, entry: Entry) -> bytes:
        name, _, version = entry.name.partition("/_history/")
        if not entry.id or entry.condition or (not version.isdigit() and version):
            raise NotSupported(
                "In a Bundle, GET takes Type/id and its versions; search is not there yet."
            )
        if version:
            row = await read.vread(self.service, self.shelf, self.caller, name, int(version))
        else:
            row = await read.read(self.service, self.shelf, self.caller, name)
        return responses.entry(Written(Answer(()), {name: row}), name, self.base)
