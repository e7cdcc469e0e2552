"""How much of a resource is shown, and in which format: _summary, _elements, _format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.datastructures import QueryParams
from starlette.requests import Request

from app import fhir
from app.conformance import Definitions
from app.errors import Malformed, NotAcceptable

NAMES: Final = frozenset({"_elements", "_format", "_pretty", "_summary"})
_SUMMARIES: Final = frozenset({"count", "data", "false", "text", "true"})
_FORMATS: Final = frozenset(
    {"*/*", "application/fhir+json", "application/json", "json", "text/json"}
)


@dataclass(frozen=True, slots=True)
class View:
    """
    Which part of each resource is shown.

    summary     true | text | data | false; of a Bundle also count, which shows none
    elements    (type, name) of those to show, none for all; type "" is that of what was asked for
    source      https://hl7.org/fhir/R4/search.html#summary, #elements
    """

    summary: str = "false"
    elements: frozenset[tuple[str, str]] = frozenset()

    def of(self, definitions: Definitions, body: bytes, *, included: bool = False) -> bytes:
        """The part of a resource that was asked for; bytes as they are where that is all."""
        if self == WHOLE:
            return body
        subsets, resource = definitions.subsets, fhir.decode(body)
        if self.elements:
            kinds = {resource["resourceType"], *(() if included else ("",))}
            names = frozenset(name for kind, name in self.elements if kind in kinds)
            return fhir.encode(subsets.elements(resource, names)) if names else body
        part = {"true": subsets.summary, "text": subsets.text, "data": subsets.data}[self.summary]
        return fhir.encode(part(resource))


WHOLE: Final = View()


def asked(params: QueryParams) -> View:
    """
    The view that a query asks for.

    raises      Malformed: a _summary that the standard does not have, or both kinds at once
    """
    summary = params.get("_summary") or "false"
    if summary not in _SUMMARIES:
        raise Malformed("_summary is one of true, text, data, count, false.")
    names = ",".join(params.getlist("_elements")).split(",")
    elements = frozenset(one for one in map(_element, names) if one[1])
    if elements and summary != "false":
        raise Malformed("Ask for _summary or for _elements, not for both.")
    return View(summary, elements)


def _element(name: str) -> tuple[str, str]:
    """Type and element: HAPI's clients write Patient.name, and others name.family."""
    first, _, rest = name.strip().partition(".")
    return (first, rest.partition(".")[0]) if first[:1].isupper() else ("", first)


def of_one(params: QueryParams) -> View:
    """Raises Malformed: as asked; _summary=count, which is of searches and histories."""
    view = asked(params)
    if view.summary == "count":
        raise Malformed("_summary=count is for searches and histories.")
    return view


def of(request: Request, definitions: Definitions, body: bytes) -> bytes:
    """
    One resource as the request's query wants to see it.

    raises      Malformed: as of_one
    """
    if not request.scope["query_string"]:
        return body
    return of_one(request.query_params).of(definitions, body)


def acceptable(request: Request) -> None:
    """
    Refuse a format that is asked for by name and that we do not write.

    Accept is not looked at: clients that ask for XML first take JSON.
    raises      NotAcceptable: _format is another than JSON
    """
    if request.scope["query_string"]:
        writable(request.query_params.get("_format"))


def writable(text: str | None) -> None:
    """Raises NotAcceptable: as acceptable; text, of a _format that may be none."""
    asked_for = (text or "json").split(";", 1)[0].strip().lower()
    # a + that was not written as %2B has become a space
    if asked_for.replace(" ", "+") not in _FORMATS:
        raise NotAcceptable("This server writes JSON: _format=json.")
