"""FHIR words: a resource is its JSON, kept to the last digit; nothing here knows a flow."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final, Self

import msgspec

from app.errors import Malformed

Resource = dict[str, Any]

# elements of type uri, url, oid and uuid that lead to a resource, and the narrative's links
_LINKS: Final = frozenset({"div", "uri", "url", "valueOid", "valueUri", "valueUrl", "valueUuid"})

MAX_DEPTH: Final = 64  # a nested questionnaire of real life reaches some 20
_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"{}[]")
_STEP: Final = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_OTHER_REFERENCE: Final = re.compile(rb'"reference":"(?![A-Z][A-Za-z]{1,40}/[A-Za-z0-9\-.]{1,64}")')
_decode = msgspec.json.Decoder(float_hook=Decimal).decode


class Written(Decimal):
    """A number that Decimal would write otherwise, such as 1E3; it is worth what it was."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        made = super().__new__(cls, text)
        made.text = text
        return made


def _number(text: str) -> Decimal:
    made = Decimal(text)
    return made if str(made) == text else Written(text)


def _whole(text: str) -> int | Decimal:
    """The decoder takes -0 for 0: it is written with a tab, which stands nowhere else in our JSON."""
    return Written("-0\t") if text == "-0" else int(text)


def _raw(value: Any) -> msgspec.Raw:
    """What the encoder does not know."""
    if isinstance(value, Written):
        return msgspec.Raw(value.text.encode())
    raise TypeError(type(value).__name__)


_encode = msgspec.json.Encoder(decimal_format="number", enc_hook=_raw).encode
_decode_exactly = msgspec.json.Decoder(float_hook=_number).decode


def decode(raw: bytes) -> Any:
    """
    JSON to Python, decimals as Decimal so that 1.50 stays 1.50, and 1E3 as Written.

    A byte order mark before it is passed over, as https://www.rfc-editor.org/rfc/rfc8259#section-8.1
    allows: what Windows writes has one.

    raises      Malformed: not UTF-8, not JSON, NaN, a key twice in one object, deeper than MAX_DEPTH
    source      https://hl7.org/fhir/R4/json.html
    """
    raw = raw.removeprefix(codecs.BOM_UTF8)
    if _depth(raw) > MAX_DEPTH:
        raise Malformed(f"The JSON is nested deeper than {MAX_DEPTH} levels.")
    try:
        value = _decode(raw)
    except msgspec.DecodeError as error:
        raise Malformed(f"The body is not JSON in UTF-8: {_place(error)}.") from None
    except (UnicodeDecodeError, RecursionError):
        raise Malformed("The body is not JSON in UTF-8.") from None
    except ArithmeticError:
        raise Malformed("A number in the body is too large or too small to be kept.") from None
    # The bytes without white space are those that we would write, unless there are escapes,
    # exponents or a key twice; only then is the slow look needed.
    written = _encode(value)
    if raw != written and msgspec.json.format(raw, indent=-1) != written:
        return _exactly(raw)
    return value


def _exactly(raw: bytes) -> Any:
    """JSON that can be read, to the letter of each number."""
    return json.loads(raw, object_pairs_hook=_once, parse_float=_number, parse_int=_whole)


def encode(value: Any) -> bytes:
    return _encode(value)


def pretty(raw: bytes) -> bytes:
    return msgspec.json.format(raw, indent=2)


def read(raw: bytes) -> Any:
    """JSON that `encode` has written, so that there is little to look for."""
    return _exactly(raw) if b"\t" in raw else _decode_exactly(raw)


def _depth(raw: bytes) -> int:
    # without them it is some bytes shorter, which takes a tenth of what it takes to count them
    if 2 * len(raw) - len(raw.replace(b"{", b"")) - len(raw.replace(b"[", b"")) <= MAX_DEPTH:
        return 0
    brackets = raw.translate(None, _BRACKETS)
    if len(brackets) <= MAX_DEPTH:
        return 0
    deepest = max(accumulate(map(_STEP.__getitem__, brackets), initial=0))
    return deepest if deepest <= MAX_DEPTH else _depth_outside_strings(raw)


def _depth_outside_strings(raw: bytes) -> int:
    brackets = _STRING.sub(b"", raw).translate(None, _BRACKETS)
    return max(accumulate(map(_STEP.__getitem__, brackets), initial=0))


def _place(error: msgspec.DecodeError) -> str:
    """What the decoder says, without the path that could quote a value."""
    said = str(error).split(" - at `", maxsplit=1)[0].removeprefix("JSON is malformed: ")
    if "truncated" in said:  # it says so of half a \\u pair, too
        return "it ends too early, or half of a pair of \\u escapes is missing"
    return said


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("A key stands twice in one JSON object; each may stand once.")
    return found


@lru_cache(maxsize=64)
def instant(moment: datetime) -> str:
    """An aware datetime as FHIR instant in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """A FHIR instant, or a dateTime with a zone, as an aware datetime."""
    return datetime.fromisoformat(text)


def not_after(earlier: str, later: str) -> bool:
    """Whether a partial date or dateTime is not after another, as far as both say; "" is."""
    if "T" in earlier and "T" in later:
        try:
            return moment(earlier) <= moment(later)
        except (TypeError, ValueError):  # no zone, or no dateTime at all: compare what is there
            return earlier <= later
    length = min(len(earlier), len(later), len("2026-01-31"))
    return earlier[:length] <= later[:length]


def is_relative(reference: str) -> bool:
    """Whether a literal reference is Type/id, to be found on the same base."""
    kind, _, identity = reference.partition("/")
    return bool(kind[:1].isupper() and identity and "/" not in identity and ":" not in kind)


def literal(reference: Resource | None) -> str:
    """Where a Reference leads, as it is written; "" where it leads nowhere."""
    return str((reference or {}).get("reference", ""))


def pointer(reference: Resource) -> Resource:
    """Where a reference leads and what it shows, without what its author wrote beside."""
    return {name: reference[name] for name in ("reference", "type", "display") if name in reference}


def versionless(reference: str) -> str:
    """A literal reference without the version that it may name."""
    return reference.partition("/_history/")[0]


def target(reference: Resource | None) -> str:
    """As literal, without the version."""
    return versionless(literal(reference))


def numbers(identifiers: Any) -> frozenset[str]:
    """system|value of an Identifier, or of each of a list, that has both."""
    return frozenset(
        f"{one['system']}|{one['value']}"
        for one in listed(identifiers)
        if one.get("system") and one.get("value")
    )


def concept(system: str, code: str, text: str = "") -> Resource:
    coding = {"system": system, "code": code}
    return {"coding": [coding], "text": text} if text else {"coding": [coding]}


def has_code(concepts: Any, system: str, code: str) -> bool:
    """Whether a CodeableConcept, or one of a list, carries the coding; code "": any of the system."""
    return any(
        coding.get("system") == system and code in ("", coding.get("code"))
        for one in listed(concepts)
        for coding in listed(one.get("coding"))
    )


def in_error(resource: Resource) -> bool:
    """Whether its author says that it was entered in error: by status, of a Condition by verification."""
    system = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
    verified = resource.get("verificationStatus")
    return resource.get("status") == "entered-in-error" or has_code(
        verified, system, "entered-in-error"
    )


def about(resource: Resource) -> Resource:
    """The Reference in which a resource says of whom it is; {} where it does not."""
    said: Resource = resource.get("subject") or resource.get("patient") or {}
    return said


def listed(value: Any) -> list[Any]:
    """The value as a list: none for None, itself for a list, else one."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def extensions(holder: Resource, *urls: str) -> list[Resource]:
    """Its extensions, or the parts of one, that have one of these URLs."""
    return [
        one
        for one in listed(holder.get("extension"))
        if isinstance(one, dict) and one.get("url") in urls
    ]


def name(resource: Resource) -> str:
    """Type/id."""
    return f"{resource['resourceType']}/{resource['id']}"


def reference(resource: Resource) -> Resource:
    return {"reference": name(resource)}


def references(node: Any) -> Iterator[Resource]:
    """Every Reference with a literal reference within a value, outermost first."""
    if isinstance(node, dict):
        if isinstance(node.get("reference"), str):
            yield node
        for child in node.values():
            if isinstance(child, (dict, list)):
                yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def is_plain(resource: Resource) -> bool:
    """
    Whether each literal reference in it is Type/id, so that it means the same wherever it stands.

    A look at its text costs a third of a walk through it.
    """
    return _OTHER_REFERENCE.search(_encode(resource)) is None


def renamed(
    node: Any, rename: Callable[[str], str], link: Callable[[str], str] | None = None
) -> Any:
    """
    The value with each literal reference as rename says; what holds none of those is shared.

    link        what becomes of a url or uri, and of narrative
    """
    changes = {"reference": rename}
    if link is not None:
        changes |= dict.fromkeys(_LINKS, link)
    return _changed(node, changes)


def _changed(node: Any, changes: dict[str, Callable[[str], str]]) -> Any:
    """As renamed: each text as the change of its key says."""
    made: Any = None
    for key, child in node.items() if node.__class__ is dict else enumerate(node):
        kind = child.__class__
        if kind is str:
            if key not in changes:
                continue
            other = changes[key](child)
        elif kind is dict or kind is list:
            other = _changed(child, changes)
        else:
            continue
        if other is not child:
            if made is None:
                made = node.copy()
            made[key] = other
    return node if made is None else made


def bundle(kind: str, entries: list[Resource]) -> Resource:
    return {"resourceType": "Bundle", "type": kind, "entry": entries}
