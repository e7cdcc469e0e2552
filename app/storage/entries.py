"""
What the index keeps of a value: one short text for each, made when a resource is stored.

An entry is fields between FIELD marks: the atom's name, then by kind
    token       code, system                  and beside it name:text, name:of-type
    reference   id, type; or url, ""          and beside it name:identifier; a canonical: url, version
    uri         uri, ""
    string      folded, as written
    date        first microsecond, the one after the last, since 1970
    number      value, value; quantity: low, high, system, code, unit
and, where a composite looks at a part that repeats, the part's position.
Entries stand in a resource's row between ENTRY marks, so that one look finds each of them.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from app.domain import letters
from app.known import Known
from app.storage.spans import instants

ENTRY: Final = "\x1e"
FIELD: Final = "\x1f"
LONGEST: Final = (
    200  # characters, of four bytes at most: PostgreSQL's index takes a third of a page
)
FOLDED: Final = 1000  # characters of a text that a search looks at
BEGINNING: Final = -(10**18)  # before every date; microseconds
END: Final = 10**18
_MARKS: Final = str.maketrans({ENTRY: " ", FIELD: " "})

# What is said once, of one matter: few refer to it, while a person or a place gathers thousands.
# Tasks for one patient are few all the same.
_SAID_ONCE: Final = frozenset(
    {"CommunicationRequest", "Communication", "Condition", "Consent", "DiagnosticReport",
     "DocumentReference", "Goal", "Observation", "Procedure", "QuestionnaireResponse",
     "ServiceRequest", "Task"}
)  # fmt: skip


def leads_to_few(name: str, value: str, qualifier: str | None) -> bool:
    """
    Whether an entry to which the index leads is one that few resources share; docs/decisions/0040.

    name        the atom's, with what stands beside it; qualifier: what follows the value
    """
    path, _, kind = name.partition("~")
    if kind[:1] != "r":
        return kind[:1] != "t" or path != "status"
    if kind != "r" or "/" in value or ":" in value:
        return False
    return qualifier in _SAID_ONCE or (path == "for" and qualifier == "Patient")


def clean(text: str) -> str:
    """The text without our own marks; no text of FHIR has them but by mischief."""
    return text if text.isprintable() else text.translate(_MARKS)


def short(text: str) -> str:
    """A text as an index keeps it: what is long is hashed."""
    if len(text) <= LONGEST:
        return text
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def kept(text: str) -> str:
    """A text as an index keeps it, without our marks; most are so already."""
    if len(text) <= LONGEST and text.isprintable():
        return text
    return short(clean(text))


def fold(text: str) -> str:
    """Its plain letters, without our own marks and surplus white space."""
    return " ".join(clean(letters.plain(text)).split())


def _folded(text: str) -> str:
    return fold(text)[:FOLDED]


# A system has a few hundred codes that are said, and as many words for them.
_known_code: Final = Known(kept)
_known_words: Final = Known(_folded)


def _span(text: str) -> str:
    """What a date covers as fields of an entry, "" for what is none."""
    found = instants(text)
    return f"{found[0]}{FIELD}{found[1]}" if found else ""


_known_span: Final = Known(_span)


# Each of what follows takes a value, the atom's name, its position or "", and the entries so far.
# Tokens, https://hl7.org/fhir/R4/search.html#token


def _code(value: Any, name: str, at: str, out: list[str]) -> None:
    if value.__class__ is bool:
        value = "true" if value else "false"
    elif value.__class__ is not str:
        value = str(value)
    out.append(f"{name}{FIELD}{_known_code[value]}{FIELD}{at}")


def _coding(value: Any, name: str, at: str, out: list[str]) -> None:
    code, display = value.get("code"), value.get("display")
    if code is not None or "system" in value:
        system = _known_code[value.get("system", "")]
        out.append(f"{name}{FIELD}{_known_code[code or '']}{FIELD}{system}{at}")
    if display is not None:
        out.append(f"{name}:text{FIELD}{_known_words[display]}{FIELD}")


def _concept(value: Any, name: str, at: str, out: list[str]) -> None:
    for coding in value.get("coding", ()):
        _coding(coding, name, at, out)
    if "text" in value:
        out.append(f"{name}:text{FIELD}{_folded(value['text'])}{FIELD}")


def _identifier(value: Any, name: str, at: str, out: list[str]) -> None:
    found = value.get("value")
    system = _known_code[value.get("system", "")]
    if found is not None or system:
        out.append(f"{name}{FIELD}{kept(found or '')}{FIELD}{system}{at}")
    kind = value.get("type")
    if kind:
        for coding in kind.get("coding", ()):
            of, code = clean(coding.get("system", "")), clean(coding.get("code", ""))
            typed = short(f"{of}|{code}|{clean(found or '')}")
            out.append(f"{name}:of-type{FIELD}{typed}{FIELD}")
        if "text" in kind:
            out.append(f"{name}:text{FIELD}{_folded(kind['text'])}{FIELD}")


def _contact(value: Any, name: str, at: str, out: list[str]) -> None:
    if "value" in value:
        out.append(f"{name}{FIELD}{kept(value['value'])}{FIELD}{at}")


# References, https://hl7.org/fhir/R4/search.html#reference


def _reference(value: Any, name: str, at: str, out: list[str]) -> None:
    literal = value.get("reference")
    if literal is not None and (led := _known_led[literal]):
        out.append(f"{name}{FIELD}{led}{at}")
    identifier = value.get("identifier")
    if identifier is not None and "value" in identifier:
        system = kept(identifier.get("system", ""))
        code = kept(identifier["value"])
        out.append(f"{name}:identifier{FIELD}{code}{FIELD}{system}")


def _led(literal: str) -> str:
    """Where a literal reference leads, as fields of an entry; "" for what is contained."""
    return "" if literal[:1] == "#" else FIELD.join(place(clean(literal)))


_known_led: Final = Known(_led)  # to the same people again and again


def place(literal: str) -> tuple[str, str]:
    """A literal reference as id and type, or as a URL and no type; a version is left out."""
    literal = literal.split("/_history/", 1)[0]
    kind, slash, identity = literal.partition("/")
    if slash and kind[:1].isupper() and kind.isalpha() and "/" not in identity:
        return short(identity), kind
    return short(literal), ""


def kind_of(target: str, kind: str) -> str:
    """The type that an entry of a reference leads to, also on another server; "" if it does not say."""
    if kind or "://" not in target:
        return kind
    _, _, before = target.rpartition("/")[0].rpartition("/")
    return before if before[:1].isupper() and before.isalpha() else ""


def _canonical(value: Any, name: str, at: str, out: list[str]) -> None:
    url, _, version = clean(value).partition("|")
    out.append(f"{name}{FIELD}{short(url)}{FIELD}{short(version)}{at}")


def _uri(value: Any, name: str, at: str, out: list[str]) -> None:
    out.append(f"{name}{FIELD}{kept(value)}{FIELD}{at}")


def _profile(value: Any, name: str, at: str, out: list[str]) -> None:
    """A canonical in a URI parameter: found with its version and without."""
    url = clean(value)
    out.append(f"{name}{FIELD}{short(url)}{FIELD}{at}")
    if "|" in url:
        out.append(f"{name}{FIELD}{short(url.split('|', 1)[0])}{FIELD}{at}")


# Text, https://hl7.org/fhir/R4/search.html#string


def _string(value: Any, name: str, at: str, out: list[str]) -> None:
    text = str(value)
    out.append(f"{name}{FIELD}{_folded(text)}{FIELD}{kept(text)}{at}")


_PARTS: Final = {
    "HumanName": ("text", "family", "given", "prefix", "suffix"),
    "Address": ("text", "line", "city", "district", "state", "postalCode", "country"),
}


def _parts(kind: str) -> Any:
    keys = _PARTS[kind]

    def convert(value: Any, name: str, at: str, out: list[str]) -> None:
        for key in keys:
            found = value.get(key)
            if found is not None:
                for one in found if found.__class__ is list else (found,):
                    if one is not None:
                        _string(one, name, at, out)

    return convert


# Dates, https://hl7.org/fhir/R4/search.html#date


def _moment(value: Any, name: str, at: str, out: list[str]) -> None:
    if span := _known_span[value]:
        out.append(f"{name}{FIELD}{span}{at}")


def _period(value: Any, name: str, at: str, out: list[str]) -> None:
    start = instants(value["start"]) if "start" in value else None
    end = instants(value["end"]) if "end" in value else None
    if start or end:
        low = start[0] if start else BEGINNING
        out.append(f"{name}{FIELD}{low}{FIELD}{end[1] if end else END}{at}")


def _timing(value: Any, name: str, at: str, out: list[str]) -> None:
    """From the first event to the last, or the bounds of the repetition."""
    events = [found for one in value.get("event", ()) if one and (found := instants(one))]
    if events:
        low, high = min(one[0] for one in events), max(one[1] for one in events)
        out.append(f"{name}{FIELD}{low}{FIELD}{high}{at}")
    bounds = value.get("repeat", {}).get("boundsPeriod")
    if bounds:
        _period(bounds, name, at, out)


# Numbers and quantities, https://hl7.org/fhir/R4/search.html#number and #quantity


def _number(value: Any, name: str, at: str, out: list[str]) -> None:
    out.append(f"{name}{FIELD}{value}{FIELD}{value}{FIELD}{FIELD}{FIELD}{at}")


def _quantity(value: Any, name: str, at: str, out: list[str]) -> None:
    number = value.get("value")
    if number is None:
        return
    unit = _unit(value)
    comparator = value.get("comparator", "")
    low = "-Infinity" if comparator[:1] == "<" else number
    high = "Infinity" if comparator[:1] == ">" else number
    out.append(f"{name}{FIELD}{low}{FIELD}{high}{FIELD}{unit}{at}")


def _unit(value: Any) -> str:
    system, code, unit = (clean(str(value.get(key, ""))) for key in ("system", "code", "unit"))
    return f"{short(system)}{FIELD}{short(code)}{FIELD}{short(unit)}"


def _money(value: Any, name: str, at: str, out: list[str]) -> None:
    if "value" in value:
        currency = clean(value.get("currency", ""))
        number = value["value"]
        unit = f"urn:iso:std:iso:4217{FIELD}{currency}{FIELD}{currency}"
        out.append(f"{name}{FIELD}{number}{FIELD}{number}{FIELD}{unit}{at}")


def _range(value: Any, name: str, at: str, out: list[str]) -> None:
    low, high = value.get("low", {}), value.get("high", {})
    if "value" in low or "value" in high:
        unit = _unit(low if "value" in low else high)
        least, most = low.get("value", "-Infinity"), high.get("value", "Infinity")
        out.append(f"{name}{FIELD}{least}{FIELD}{most}{FIELD}{unit}{at}")


_TEXTS: Final = ("string", "markdown", "code", "id", "uri", "url", "canonical", "date", "dateTime")
_URIS: Final = ("uri", "url", "oid", "uuid", "string", "id", "code")
_QUANTITIES: Final = ("Quantity", "SimpleQuantity", "Age", "Duration", "Count", "Distance")
_TABLE: Final[dict[str, dict[str, Any]]] = {
    "token": {
        **dict.fromkeys(("code", "id", "boolean", "integer", "positiveInt", "unsignedInt"), _code),
        **dict.fromkeys((*_URIS, "canonical", "markdown"), _code),
        "Coding": _coding,
        "CodeableConcept": _concept,
        "Identifier": _identifier,
        "ContactPoint": _contact,
    },
    "reference": {
        "Reference": _reference,
        "canonical": _canonical,
        **dict.fromkeys(("uri", "url"), _canonical),
    },
    "uri": {**dict.fromkeys(_URIS, _uri), "canonical": _profile},
    "string": {
        **dict.fromkeys(_TEXTS, _string),
        "HumanName": _parts("HumanName"),
        "Address": _parts("Address"),
    },
    "date": {
        **dict.fromkeys(("date", "dateTime", "instant"), _moment),
        "Period": _period,
        "Timing": _timing,
    },
    "number": dict.fromkeys(("integer", "decimal", "positiveInt", "unsignedInt"), _number)
    | {"Range": _range},
    "quantity": dict.fromkeys(_QUANTITIES, _quantity)
    | {"Money": _money, "Range": _range}
    | dict.fromkeys(("integer", "decimal", "positiveInt", "unsignedInt"), _number),
}


def converter(kind: str, type_name: str) -> Any:
    """What makes entries of a value of this type for a parameter of this kind; None for nothing."""
    return _TABLE[kind].get(type_name)
