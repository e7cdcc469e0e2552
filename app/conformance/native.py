"""
Invariants of R4 written by hand, and rules that R4 states in words only.

Each is named by its key and its expression, so that a definition that changes its expression
is taken at its word again.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Callable, Container, Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from app.conformance.scope import Scope

Holds = Callable[[Any, "Scope"], object]
Problem = tuple[str, str, str]  # path below the element, key, sentence

# Expressions that R4 published with a mistake, and how HL7's own validator reads them.
CORRECTED: Final = {
    "enableWhen.count() > 2 implies enableBehavior.exists()": (
        "enableWhen.count() >= 2 implies enableBehavior.exists()"
    ),
    "operator = 'exists' implies (answer is Boolean)": (
        "operator = 'exists' implies (answer is boolean)"
    ),
    "fullUrl.contains('/_history/').not()": (
        "fullUrl.empty() or fullUrl.contains('/_history/').not()"
    ),
    "name.matches('[A-Z]([A-Za-z0-9_]){0,254}')": "name.matches('^[A-Z]([A-Za-z0-9_]){0,254}$')",
}

# Held by the shape, or by a rule of ADDED that says more precisely what is wrong.
ELSEWHERE: Final = frozenset(
    {
        "hasValue() or (children().count() > id.count())",  # ele-1: nothing empty has a shape
        "htmlChecks()",  # txt-1 and txt-2
    }
)
_DOM3: Final = "%resource.descendants().as(canonical)"


def elsewhere(expression: str) -> bool:
    return expression in ELSEWHERE or _DOM3 in expression


def _extension(value: Any, _: Scope) -> object:
    nested = "extension" in value
    return nested != any(name.lstrip("_").startswith("value") for name in value)


def _anchored(value: Any, scope: Scope) -> object:
    reference = value.get("reference")
    if reference is None or reference[:1] != "#":
        return True
    if reference == "#":
        return scope.resource is not scope.root
    # What is contained twice over is found by dom-2; that it is referred to is no second defect.
    own = scope.resource.get("contained") or ()
    return reference[1:] in scope.contained or any(reference[1:] == one.get("id") for one in own)


def _distinct_links(value: Any, _: Scope) -> object:
    """Descends iteratively: what the engine builds a node for costs a hundred times as much."""
    if "contained" not in value:
        return _distinct(value.get("item", ()))
    found: list[str] = []
    queue = [value]
    while queue:
        one = queue.pop()
        if isinstance(one, dict):
            if isinstance(one.get("linkId"), str) and one is not value:
                found.append(one["linkId"])
            queue += [child for child in one.values() if isinstance(child, (dict, list))]
        else:
            queue += [child for child in one if isinstance(child, (dict, list))]
    return len(found) == len(set(found))


def _distinct(items: list[Any]) -> bool:
    """As above, where nothing but items has a linkId."""
    found: set[str] = set()
    count = 0
    queue = [items]
    while queue:
        for item in queue.pop():
            link = item.get("linkId")
            if link is not None:
                count += 1
                found.add(link)
            if "item" in item:
                queue.append(item["item"])
    return len(found) == count


def _contain_nothing(value: Any, _: Scope) -> object:
    inside = value.get("contained")
    return inside is None or not any("contained" in one for one in inside)


def _unversioned(value: Any, _: Scope) -> object:
    inside = value.get("contained")
    return inside is None or not any(
        key.lstrip("_") in ("versionId", "lastUpdated")
        for one in inside
        for key in one.get("meta", ())
    )


def _unlabelled(value: Any, _: Scope) -> object:
    inside = value.get("contained")
    return inside is None or not any("security" in one.get("meta", ()) for one in inside)


EXACT: Final[dict[tuple[str, str], Holds]] = {
    ("dom-2", "contained.contained.empty()"): _contain_nothing,
    (
        "dom-4",
        "contained.meta.versionId.empty() and contained.meta.lastUpdated.empty()",
    ): _unversioned,
    ("dom-5", "contained.meta.security.empty()"): _unlabelled,
    ("que-2", "descendants().linkId.isDistinct()"): _distinct_links,
    ("ext-1", "extension.exists() != value.exists()"): _extension,
    (
        "ref-1",
        (
            "reference.startsWith('#').not() or (reference.substring(1).trace('url') in "
            "%rootResource.contained.id.trace('ids'))"
        ),
    ): _anchored,
}


_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.").match
_UUID: Final = re.compile(r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:[#|?].*)?")
_OID: Final = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+(?:[#|?].*)?")


def uri_problem(value: str) -> str:
    """What is wrong with a URN, "" if nothing; https://hl7.org/fhir/R4/datatypes.html#uri."""
    if value.startswith("urn:uuid:") and not _UUID.fullmatch(value):
        return "What follows urn:uuid: has to be a UUID in lower case; mend it."
    if value.startswith("urn:oid:") and not _OID.fullmatch(value):
        return "What follows urn:oid: has to be an OID; mend it."
    return ""


def absolute(url: Any) -> bool:
    """Whether a URL is absolute; what is not there or no text is not asked here."""
    return not isinstance(url, str) or bool(_ABSOLUTE(url))


def canonical_problem(value: str) -> str:
    if value.startswith("#") or _ABSOLUTE(value):
        return uri_problem(value)
    return "A canonical is an absolute URL, or # and the id of a contained resource; mend it."


def _identifier(value: Any, _: Scope) -> Iterator[Problem]:
    system, one = value.get("system"), value.get("value")
    if isinstance(system, str) and not _ABSOLUTE(system):
        yield "", "identifier-system", "An Identifier's system is an absolute URI; mend it."
    elif system == "urn:ietf:rfc:3986" and isinstance(one, str) and not _ABSOLUTE(one):
        text = "With urn:ietf:rfc:3986 the value is a whole URI, scheme and all; mend it."
        yield "", "identifier-value", text


def _attachment(value: Any, _: Scope) -> Iterator[Problem]:
    size, data = value.get("size"), value.get("data")
    if isinstance(size, int) and isinstance(data, str):
        try:
            held = len(base64.b64decode(data))
        except (binascii.Error, ValueError):
            return
        if held != size:
            text = "The size is not the number of bytes that the data has; mend one of them."
            yield "", "attachment-size", text


def _extension_url(value: Any, _: Scope) -> Iterator[Problem]:
    if "url" not in value:
        text = "An extension says its url, which names its definition; add it."
        yield "", "extension-url", text


def _contained(value: Any, scope: Scope) -> Iterator[Problem]:
    """dom-3, and that what is contained has an id to be referred to by."""
    inside = value.get("contained")
    if inside is None or scope.resource is not scope.root:
        return
    links = None
    for index, one in enumerate(inside):
        name = one.get("id")
        if name is None:
            text = "A contained resource has an id, or nothing can refer to it; add it."
            yield f".contained[{index}]", "contained-id", text
            continue
        links = _links(value) if links is None else links
        if f"#{name}" not in links and "#" not in _links(one):
            text = (
                "Nothing refers to this contained resource, nor does it refer to what contains "
                "it; refer to it or take it out."
            )
            yield f".contained[{index}]", "dom-3", text


def _links(value: Any) -> set[str]:
    """Every text below a value that leads to something contained."""
    found: set[str] = set()
    queue = [value]
    while queue:
        one = queue.pop()
        if isinstance(one, dict):
            queue += one.values()
        elif isinstance(one, list):
            queue += one
        elif isinstance(one, str) and one[:1] == "#":
            found.add(one)
    return found


_IDENTIFIED: Final = frozenset({"collection", "document", "message", "searchset"})


def _entries(value: Any, scope: Scope) -> Iterator[Problem]:
    """What R4 says of the entries of a Bundle in words, https://hl7.org/fhir/R4/bundle.html."""
    kind = value.get("type")
    entries = value.get("entry", ())
    for index, entry in enumerate(entries):
        url, resource = entry.get("fullUrl"), entry.get("resource")
        path = f".entry[{index}]"
        if isinstance(url, str):
            if not _ABSOLUTE(url):
                yield path, "bundle-fullurl", "A fullUrl is an absolute URL; mend it."
            elif resource and _misnamed(url, resource, scope):
                text = "A fullUrl at a server ends in the type and id of its resource; mend it."
                yield path, "bundle-fullurl", text
        elif resource and kind in _IDENTIFIED:
            text = "In a Bundle of this type each entry has a fullUrl; add it."
            yield path, "bundle-fullurl", text
        if kind == "searchset" and resource and "id" not in resource and not _said(entry):
            yield f"{path}.resource", "bundle-id", "What a search found has an id; add it."
    if kind == "document" and entries and "resource" in entries[0]:
        yield from _document(entries)


def _said(entry: Any) -> bool:
    """Whether an entry of a search says how it went, and is nothing that was found."""
    mode = (entry.get("search") or {}).get("mode")
    return mode == "outcome" or entry["resource"].get("resourceType") == "OperationOutcome"


def _document(entries: list[Any]) -> Iterator[Problem]:
    """What a document's first entry refers to is in the document, and there once."""
    first = entries[0]
    url = first.get("fullUrl")
    if not isinstance(url, str) or not _ABSOLUTE(url):
        return
    base = url.rpartition("/")[0].rpartition("/")[0] if url.startswith("http") else ""
    found = Counter(one for entry in entries for one in _names(entry))
    for path, reference in _references(first["resource"], ".entry[0].resource"):
        if reference.startswith("#"):
            continue
        wanted = reference if _ABSOLUTE(reference) or not base else f"{base}/{reference}"
        if found[wanted] != 1:
            many = "more than once" if found[wanted] else "not"
            text = (
                f"What this refers to is {many} among the document's entries, by their fullUrl; "
                "mend the reference or the entries."
            )
            yield path, "document-reference", text


def _names(entry: Any) -> Iterator[str]:
    url = entry.get("fullUrl")
    if isinstance(url, str):
        yield url
        version = ((entry.get("resource") or {}).get("meta") or {}).get("versionId")
        if version:
            yield f"{url}/_history/{version}"


def _references(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield path, value["reference"]
        for name, child in value.items():
            if name != "contained":
                yield from _references(child, f"{path}.{name}")
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _references(child, f"{path}[{index}]")


def _misnamed(url: str, resource: Any, scope: Scope) -> bool:
    if not url.startswith("http") or "id" not in resource:
        return False
    steps = url.split("/")
    wanted = [resource.get("resourceType"), resource.get("id")]
    return len(steps) > 4 and scope.world.is_resource(steps[-2]) and steps[-2:] != wanted


def _conditions(value: Any, _: Scope) -> Iterator[Problem]:
    """A condition on another item names one that there is."""
    items = list(_items(value, ""))
    links = {item.get("linkId") for _, item in items}
    for path, item in items:
        for condition in item.get("enableWhen", ()):
            if "question" in condition and condition["question"] not in links:
                text = (
                    "A condition names an item that the Questionnaire has not; mend its question."
                )
                yield path, "enable-when", text


def _items(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    for index, item in enumerate(value.get("item", ())):
        place = f"{path}.item[{index}]"
        yield place, item
        yield from _items(item, place)


# A resource with a code that a profile on this one fixes has to conform to that profile, be it
# claimed or not: https://hl7.org/fhir/R4/observation-vitalsigns.html#vitals-table
UNASKED: Final = "http://hl7.org/fhir/StructureDefinition/vitalsigns"

# Value sets whose required bindings R4 published too narrow; the standard took them back to
# extensible, HL7's own validator reads them so, and examples of US Core need it.
LOOSENED: Final = frozenset({"http://hl7.org/fhir/ValueSet/ucum-vitals-common"})

Added = Callable[[Any, "Scope"], Iterator[Problem]]

# Type, or path of an element, to what R4 says of it in words.
ADDED: Final[dict[str, Added]] = {
    "Identifier": _identifier,
    "Attachment": _attachment,
    "Extension": _extension_url,
    "DomainResource": _contained,
    "Bundle": _entries,
    "Questionnaire": _conditions,
}

SAID_BY_ADDED: Final = frozenset({"Extension.url"})


def added(path: str, *, top: bool, names: Container[str]) -> Iterator[Added]:
    """
    The rules of ADDED for an element.

    top     whether it is a resource, which may contain others
    """
    if path in ADDED:
        yield ADDED[path]
    if top and "contained" in names:
        yield ADDED["DomainResource"]


RULES: Final = {
    "identifier-system": ("value", "https://hl7.org/fhir/R4/datatypes.html#Identifier"),
    "identifier-value": ("value", "https://hl7.org/fhir/R4/datatypes.html#Identifier"),
    "attachment-size": ("value", "https://hl7.org/fhir/R4/datatypes.html#Attachment"),
    "extension-url": ("required", "https://hl7.org/fhir/R4/extensibility.html#Extension"),
    "contained-id": ("required", "https://hl7.org/fhir/R4/references.html#contained"),
    "dom-3": ("invariant", "https://hl7.org/fhir/R4/domainresource.html#invs"),
    "txt-1": ("invariant", "https://hl7.org/fhir/R4/narrative.html#invs"),
    "txt-2": ("invariant", "https://hl7.org/fhir/R4/narrative.html#invs"),
    "bundle-fullurl": ("value", "https://hl7.org/fhir/R4/bundle.html#bundle-unique"),
    "enable-when": (
        "not-found",
        "https://hl7.org/fhir/R4/questionnaire-definitions.html#Questionnaire.item.enableWhen.question",
    ),
    "bundle-id": ("required", "https://hl7.org/fhir/R4/bundle.html#searchset"),
    "document-reference": ("not-found", "https://hl7.org/fhir/R4/documents.html#content"),
    "uri-format": ("value", "https://hl7.org/fhir/R4/datatypes.html#uri"),
}
