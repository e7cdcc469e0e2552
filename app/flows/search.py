"""What a search of one shelf finds, and what hangs on it; nothing of any other shelf."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from app.domain.change import Caller
from app.errors import Malformed, NotFound
from app.flows import bounds
from app.flows.included import Beside
from app.flows.service import Service
from app.settings import Shelf
from app.storage import clock, reindex, search
from app.storage.asked import Query
from app.storage.database import Reading
from app.storage.order import Place
from app.storage.query import NotIndexed, Pairs, Reader
from app.storage.search import Found, Page


@dataclass(frozen=True, slots=True)
class Asked:
    """
    A search as a door has it.

    kind        type, "" for all of the shelf
    within      head of a compartment (type, id), none for the whole shelf
    after       where the page begins; with back, where it ends
    lenient     whether what is not understood is left out
    """

    kind: str
    pairs: Pairs
    base: str
    within: tuple[str, str] | None = None
    after: Place | None = None
    back: bool = False
    lenient: bool = False
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """
    One page.

    total       None where it was not counted
    asked_at    the time of what had come to the shelf last, as this began: all that comes later has a
                later one
    cut         whether more hangs on the matches than is shown
    """

    query: Query
    page: Page
    included: list[Found]
    total: int | None
    cut: bool
    asked_at: str


async def search_of(service: Service, shelf: Shelf, caller: Caller, asked: Asked) -> Result:
    """
    One page of what is found.

    raises      Malformed: a parameter, modifier or value that is not understood; it is named
                Forbidden: the caller may not search this type, or one that a chain leads to
    source      https://hl7.org/fhir/R4/search.html
    """
    kinds = _kinds(service, caller, asked)
    try:
        queries = _queries(service, asked, kinds)
    except NotIndexed:  # another process may have indexed it since
        await reindex.look(service.database, service.parameters, service.settings.shelves)
        queries = _queries(service, asked, kinds)
    for kind in sorted(_led_to(queries)):
        caller.must("s", kind)
    first = queries[0]
    most = first.count if asked.most is None else asked.most

    # the head of a compartment that is searched as a whole is a match, be it on another page
    matched = asked.within if asked.within and not asked.kind and asked.within[0] in kinds else None

    async def look(tx: Reading) -> _Looked:
        asked_at = await clock.last(tx, shelf.key)
        page = await search.page(
            tx, shelf.key, queries, after=asked.after, back=asked.back, most=most,
            facts=bool(first.includes),
        )  # fmt: skip
        total: int | None = None
        if first.total in {"accurate", "estimate"} or most == 0:
            total = await search.count(tx, shelf.key, queries)
        elif asked.after is None and not page.more and first.total != "none":
            total = len(page.found)
        page, sizes = await _bounded(tx, shelf.key, page, back=asked.back)
        beside = Beside(tx, service.parameters, shelf.key)
        found, cut = await beside.all_of(first.includes, page.found)
        seen = [one for one in found if caller.may("r", one.type) and (one.type, one.id) != matched]
        included, over, more = await bounds.fitting(tx, shelf.key, seen)
        return _Looked(Result(first, page, included, total, cut or over, asked_at), sizes | more)

    looked = await bounds.roomy(
        service, lambda: service.database.read(look, shelves=(shelf.key,)), _Looked.size
    )
    if not looked.sizes:
        return looked.result

    async def fill(tx: Reading) -> Result:
        return await _whole(tx, shelf.key, looked)

    return await service.database.read(fill, shelves=(shelf.key,))


class _Looked(NamedTuple):
    """
    What was found, without its long bodies.

    sizes       of these
    """

    result: Result
    sizes: bounds.Sizes

    def size(self) -> int:
        rows = (*self.result.page.found, *self.result.included)
        return bounds.total(rows, self.sizes)


async def _whole(tx: Reading, shelf: str, looked: _Looked) -> Result:
    """With them."""
    page, sizes = looked.result.page, looked.sizes
    found = await bounds.whole(tx, shelf, page.found, sizes)
    included = await bounds.whole(tx, shelf, looked.result.included, sizes)
    page = Page(found, _places(page, found), page.more)
    return replace(looked.result, page=page, included=included)


async def _bounded(tx: Reading, shelf: str, page: Page, *, back: bool) -> tuple[Page, bounds.Sizes]:
    """As much of the page as it holds: what is nearest to where it begins."""
    rows = page.found[::-1] if back else page.found
    found, cut, sizes = await bounds.held(tx, shelf, rows)
    if found is rows:
        return page, sizes
    found = found[::-1] if back else found
    return Page(found, _places(page, found), more=page.more or cut), sizes


def _places(page: Page, found: list[Found]) -> list[Place]:
    """Of those that are left of a page."""
    names = {(one.type, one.id) for one in found}
    return [one for one in page.places if (one.type, one.id) in names]


def _kinds(service: Service, caller: Caller, asked: Asked) -> list[str]:
    """The types that are searched."""
    if asked.kind:
        caller.must("s", asked.kind)
        return [asked.kind]
    named = [one for name, value in asked.pairs if name == "_type" for one in value.split(",")]
    for one in named:
        if not service.definitions.is_resource(one):
            raise Malformed("_type names types of FHIR R4.")
        caller.must("s", one)
    if named:
        return sorted(set(named))
    if asked.within is None and not asked.pairs:
        raise Malformed("Say what you search for: a type, _type or another parameter.")
    found = [one for one in service.parameters.types if caller.may("s", one)]
    if not found:
        caller.must("s", "*")
    return found


def _queries(service: Service, asked: Asked, kinds: list[str]) -> list[Query]:
    parameters = service.parameters
    reader = Reader(parameters, asked.base, service.clock(), asked.lenient)
    if asked.within is None:
        return [reader.query(kind, asked.pairs) for kind in kinds]
    head, identity = asked.within
    made = []
    for kind in kinds:
        if kind == head and not asked.kind:
            made.append(replace(reader.query(kind, asked.pairs), ids=frozenset({identity})))
        elif places := parameters.compartment(head, kind):
            query = reader.query(kind, asked.pairs)
            stands = reader.within(head, identity, kind, places)
            made.append(replace(query, criteria=(stands, *query.criteria)))
    if not made:
        raise NotFound("No resource of this type stands in such a compartment.")
    return made


def _led_to(queries: Iterable[Query]) -> set[str]:
    """The types at the other ends of chains and of _has, which the answer tells something of."""
    inner = [one for query in queries for linked in query.linked for one in linked.queries]
    return {one.kind for one in inner} | (_led_to(inner) if inner else set())
