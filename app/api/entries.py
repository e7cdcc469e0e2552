"""The entries of a Bundle that came in: what each asks for."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final
from urllib.parse import unquote

from msgspec.structs import replace

from app.api import body
from app.conformance import Definitions
from app.domain import condition
from app.domain.change import Change, Entry, Method
from app.domain.patch import Patch
from app.errors import Invalid, Malformed, NotSupported, Refusal
from app.fhir import Resource

_WRITES: Final[tuple[Method, ...]] = ("POST", "PUT", "PATCH", "DELETE")
_ASKING: Final = frozenset({"batch", "transaction"})
_BUNDLES: Final = frozenset({"collection", "searchset"}) | _ASKING
READS: Final = frozenset({"GET", "HEAD"})


def enveloped(definitions: Definitions, bundle: Resource, at: str = "Bundle") -> None:
    """
    The Bundle around its resources has its shape; each resource is looked at by itself.

    at          as collected
    raises      Malformed: with the places in the Bundle
    """
    came = bundle.get("entry")
    bare = [
        {name: value for name, value in one.items() if name != "resource"} or None
        if isinstance(one, dict)
        else one
        for one in (came if isinstance(came, list) else [])
    ]
    around = {**bundle, "entry": [one for one in bare if one is not None]}
    if not around["entry"] and (came is None or came):
        del around["entry"]
    if found := definitions.shape(around):
        places = [f"{at}{one.expression.removeprefix('Bundle')}" for one in found]
        issues = (replace(one, expression=it) for one, it in zip(found, places, strict=True))
        raise Malformed(issues=tuple(issues))


def parted(definitions: Definitions, change: Change) -> Change:
    """A report of several Bundles, one for each child, as the siblings that they are."""
    if change.act != "report" or {one.type for one in change.entries} != {"Bundle"}:
        return change
    for one in change.entries:
        enveloped(definitions, one.resource, one.at)
    siblings = tuple(collected(one.resource, one.at) for one in change.entries)
    return replace(change, entries=(), siblings=siblings)


def given(sent: Resource, names: Collection[str] = ()) -> tuple[Resource, list[tuple[str, str]]]:
    """
    What an operation is given, and what else is said by parameters of these names.

    It comes as it is or, as HAPI's clients send it, as the parameter `resource` of Parameters.
    Parameters that hold something else stay what they are, for who keeps or refuses them.

    raises      NotFound, Malformed: as body.resource_of
    source      https://hl7.org/fhir/R4/operations.html#request
    """
    parts = sent.get("parameter") if sent["resourceType"] == "Parameters" else None
    if not isinstance(parts, list) or not all(isinstance(one, dict) for one in parts):
        return sent, []
    held = [one.get("resource") for one in parts if one.get("name") == "resource"]
    more = [one for one in parts if one.get("name") != "resource"]
    if len(held) != 1 or not isinstance(held[0], dict) or "resourceType" not in held[0]:
        return sent, []
    if any(one.get("name") not in names for one in more):
        return sent, []
    said = [(one["name"], str(one.get("valueString", one.get("valueCode", "")))) for one in more]
    return body.resource_of(held[0], "Parameters.parameter.resource"), said


def collected(bundle: Resource, at: str = "Bundle") -> tuple[Entry, ...]:
    """
    The resources of a Bundle that an operation takes: created, or updated where they have an id.

    at          FHIRPath of the Bundle, which may stand in another
    raises      Malformed, NotFound, Invalid: with the place in the Bundle
    """
    found, kind = listed(bundle), bundle.get("type")
    if kind not in _BUNDLES:
        text = "Send a Bundle of one of these types: " + ", ".join(sorted(_BUNDLES)) + "."
        raise Invalid(text, expression=f"{at}.type")
    if kind in _ASKING:
        return tuple(write(one, f"{at}.entry[{index}]") for index, one in enumerate(found))
    return tuple(
        _collected(one, f"{at}.entry[{index}]")
        for index, one in enumerate(found)
        if not _about_the_search(one)
    )


def _about_the_search(entry: Any) -> bool:
    """What a server said of a search, beside what it found."""
    search = entry.get("search") if isinstance(entry, dict) else None
    return isinstance(search, dict) and search.get("mode") == "outcome"


def listed(bundle: Resource) -> list[Any]:
    """Raises Malformed: Bundle.entry is no list."""
    found = bundle.get("entry", [])
    if not isinstance(found, list):
        raise Malformed("Bundle.entry is a list.", expression="Bundle.entry")
    return found


def alone(resource: Resource) -> Entry:
    """One that came without a Bundle: created, or updated where it has an id."""
    identity = str(resource.get("id", ""))
    return Entry("PUT" if identity else "POST", resource, identity)


def _collected(entry: Any, at: str) -> Entry:
    if not isinstance(entry, dict):
        raise Malformed("An entry is an object.", expression=at)
    resource = body.resource_of(entry.get("resource"), f"{at}.resource")
    identity = resource.get("id", "")
    method: Method = "PUT" if identity else "POST"
    url = str(entry.get("fullUrl", ""))
    return Entry(method, resource, identity, url, at=f"{at}.resource")


def request(entry: Any, at: str) -> tuple[str, str, Resource]:
    """
    What an entry of a transaction or a batch asks: method, url, and all that it says of it.

    raises      Malformed: it does not say it
    """
    if not isinstance(entry, dict):
        raise Malformed("An entry is an object.", expression=at)
    asked = entry.get("request")
    if not isinstance(asked, dict):
        raise Malformed("An entry of such a Bundle has a request.", expression=f"{at}.request")
    method, url = asked.get("method"), asked.get("url")
    if not isinstance(method, str) or not isinstance(url, str):
        raise Malformed("A request has a method and a url.", expression=f"{at}.request")
    return method, url, asked


def relative(url: str, bases: tuple[str, ...], at: str) -> str:
    """
    The url from our base on; clients send it whole too.

    raises      NotSupported: it is on another server
    """
    for base in bases:
        if url.startswith(f"{base}/"):
            return url.removeprefix(f"{base}/")
    if "://" in url.partition("?")[0]:
        raise NotSupported("The url is on another server.", expression=f"{at}.request.url")
    return url.lstrip("/")


def write(entry: Any, at: str, bases: tuple[str, ...] = ()) -> Entry:
    """
    One entry of a transaction or a batch that is to change something.

    bases       URLs by which the shelf is reached
    raises      Malformed, NotSupported, NotFound: with the place in the entry
    source      https://hl7.org/fhir/R4/http.html#transaction
    """
    said, url, asked = request(entry, at)
    method = next((one for one in _WRITES if one == said), None)
    path, _, query = relative(url, bases, at).partition("?")
    path, _, version = unquote(path).strip("/").partition("/_history/")
    if version and method == "DELETE":  # or the resource would go in its place
        text = "A version is not deleted; what stands is, by Type/id."
        raise NotSupported(text, expression=f"{at}.request.url")
    # HAPI's clients put the version that they have read into the url of an update
    kind, _, identity = path.partition("/")
    if not kind and method == "POST":
        raise NotSupported("A Bundle is no entry of another.", expression=f"{at}.request.url")
    if "$" in path or path.endswith("_search"):
        text = "An operation or a search by POST is no entry of a Bundle; ask for it by itself."
        raise NotSupported(text, expression=f"{at}.request.url")
    body.type_of(kind, f"{at}.request.url")
    if identity:
        named_by = body.new_id_of if method == "PUT" else body.id_of
        named_by(identity, f"{at}.request.url")
    made = Entry(
        method or "POST",
        {"resourceType": kind, **({"id": identity} if identity else {})},
        identity,
        str(entry.get("fullUrl", "")),
        if_match=body.guard(
            str(asked.get("ifMatch", "")), str(asked.get("ifNoneMatch", "")), f"{at}.request"
        ),
        condition=condition.read(query, kind, f"{at}.request.url") if query else "",
        at=f"{at}.resource",
    )
    named = bool(identity or query)
    if method is None or (method == "POST") is named:
        text = "An entry is GET, POST Type, PUT, PATCH or DELETE Type/id or Type?identifier=…"
        raise NotSupported(text, expression=f"{at}.request.method")
    if method == "DELETE":
        return made
    resource = body.resource_of(entry.get("resource"), f"{at}.resource")
    if method == "PATCH":
        return replace(made, patch=_patch(resource, f"{at}.resource"))
    return _placed(made, resource, asked, at)


def _patch(sent: Resource, at: str) -> Patch:
    """Raises Refusal: it is none, and the place of what is wrong with it."""
    try:
        return body.patch_of(sent)
    except Refusal as refused:
        refused.issues = tuple(
            replace(one, expression=f"{at}{one.expression.removeprefix(sent['resourceType'])}")
            for one in refused.issues
        )
        raise


def _placed(made: Entry, resource: Resource, asked: Resource, at: str) -> Entry:
    """POST Type, PUT Type/id or PUT Type?identifier=…, of a resource of that type."""
    if made.type != resource["resourceType"]:
        raise NotSupported("The url is of another type.", expression=f"{at}.request.url")
    if made.method == "POST":
        query = asked.get("ifNoneExist")
        place = f"{at}.request.ifNoneExist"
        said = "" if query is None else condition.read(str(query), made.type, place)
        return replace(made, resource=resource, if_none_exist=said)
    if made.id and resource.get("id", made.id) != made.id:
        raise Malformed("The id is another than the url's.", expression=f"{at}.resource.id")
    return replace(made, resource=resource, id=made.id or resource.get("id", ""))
