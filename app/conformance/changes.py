"""What one version of a guide asks of a resource that another does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app.conformance import packages, structure
from app.conformance.snapshots import Snapshots
from app.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.conformance.packages import Package
    from app.fhir import Resource

    Find = Callable[[str], Resource | None]

_VALUES: Final = ("fixed", "pattern", "minValue", "maxValue", "maxLength")
_STRENGTHS: Final = ("", "example", "preferred", "extensible", "required")


@dataclass(frozen=True, slots=True)
class Change:
    """
    One thing that is different.

    element     its id; "" for the profile as a whole
    what        added | removed | cardinality | type | target | binding | value | slicing |
                constraint | mustSupport | isModifier
    effect      stricter: what was valid may not be; looser: the reverse; both; other
    """

    element: str
    what: str
    effect: str
    before: str
    after: str


def profiles(old: Package, new: Package) -> tuple[list[str], list[str], list[str]]:
    """Canonicals of the StructureDefinitions that both have, that went, and that came."""
    before, after = _urls(old), _urls(new)
    return (
        sorted(before & after),
        sorted(before - after),
        sorted(after - before),
    )


def of(url: str, old: Package, new: Package, find: Find) -> list[Change]:
    """
    What changes for a profile from one package to another.

    find        canonical to StructureDefinition, for what neither package has
    raises      Malformed: it cannot be read
    """
    before, after = (_elements(url, one, find) for one in (old, new))
    found: list[Change] = []
    for element in dict.fromkeys([*before, *after]):
        if element not in after:
            gone = _stated(before[element])
            found.append(Change(element, "removed", _effect(gone, "looser"), gone, ""))
        elif element not in before:
            come = _stated(after[element])
            found.append(Change(element, "added", _effect(come, "stricter"), "", come))
        else:
            found += _of_element(element, before[element], after[element])
    return found


def _urls(package: Package) -> set[str]:
    return {one.url for one in package.entries if one.resource_type == "StructureDefinition"}


def _elements(url: str, package: Package, find: Find) -> dict[str, Resource]:
    own = {one.url: one for one in package.entries if one.resource_type == "StructureDefinition"}

    def look(canonical: str) -> Resource | None:
        entry = own.get(packages.split(canonical)[0])
        return package.read(entry) if entry is not None else find(canonical)

    definition = package.read(own[url])
    try:
        rows = Snapshots(look).make(definition).rows
    except Malformed:
        if "snapshot" not in definition:
            raise
        rows = definition["snapshot"]["element"]  # stands on what is not loaded
    return {row["id"]: row for row in rows}


def _effect(stated: str, effect: str) -> str:
    return effect if stated else "other"


def _stated(row: Resource) -> str:
    """What an element asks, in a line; "" where it may be absent and is anything."""
    asked = [f"{row.get('min', 0)}..{row.get('max', '*')}"]
    asked += [f"{key} {_short(value)}" for key, value in _values(row)]
    if row.get("min", 0) == 0 and row.get("max", "*") == row.get("base", {}).get("max", "*"):
        asked = asked[1:]
    return ", ".join(asked)


def _values(row: Resource) -> Iterator[tuple[str, Any]]:
    yield from ((key, value) for key, value in row.items() if key.startswith(_VALUES))


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={_short(one)}" for key, one in value.items())
    if isinstance(value, list):
        return " + ".join(_short(one) for one in value)
    return str(value)


def _of_element(element: str, old: Resource, new: Resource) -> Iterator[Change]:
    def change(what: str, effect: str, before: str, after: str) -> Iterator[Change]:
        if before != after:
            yield Change(element, what, effect, before, after)

    counts = [(one.get("min", 0), one.get("max", "*")) for one in (old, new)]
    before, after = (f"{least}..{most}" for least, most in counts)
    narrower = counts[1][0] > counts[0][0] or _most(counts[1][1]) < _most(counts[0][1])
    wider = counts[1][0] < counts[0][0] or _most(counts[1][1]) > _most(counts[0][1])
    yield from change("cardinality", _graded(narrower, wider), before, after)
    types, targets = zip(*(_types(one) for one in (old, new)), strict=True)
    yield from change("type", *_alternatives(*types))
    yield from change("target", *_alternatives(*targets))
    yield from _of_binding(element, old.get("binding") or {}, new.get("binding") or {})
    before, after = (
        ", ".join(f"{key} {_short(value)}" for key, value in _values(one)) for one in (old, new)
    )
    yield from change("value", _graded(bool(after), bool(before)), before, after)
    before, after = (_slicing(one.get("slicing")) for one in (old, new))
    yield from change("slicing", "other", before, after)
    rules = [
        {one["key"]: one for one in row.get("constraint", ()) if one.get("severity") == "error"}
        for row in (old, new)
    ]
    yield from change("constraint", *_demands(*(set(one) for one in rules)))
    for key in sorted(rules[0].keys() & rules[1].keys()):
        before, after = (one[key].get("expression", "") for one in rules)
        yield from change("constraint", "other", f"{key}: {before}", f"{key}: {after}")
    for key in ("mustSupport", "isModifier"):
        before, after = (str(one.get(key) is True).lower() for one in (old, new))
        yield from change(key, "other", before, after)


def _most(maximum: str) -> float:
    return float("inf") if maximum == "*" else int(maximum)


def _graded(stricter: bool, looser: bool) -> str:  # noqa: FBT001 — two answers to two questions
    if stricter and looser:
        return "both"
    return "stricter" if stricter else "looser" if looser else "other"


def _types(row: Resource) -> tuple[set[str], set[str]]:
    """Names of the types with their profiles, and what they may lead to; versions are left out."""
    kinds = [structure.type_ref(kind, row) for kind in row.get("type", ())]
    named = {
        f"{one.code}({profile})" if profile else one.code
        for one in kinds
        for profile in ([packages.split(each)[0] for each in one.profiles] or [""])
    }
    return named, {packages.split(each)[0] for one in kinds for each in one.targets}


def _alternatives(old: set[str], new: set[str]) -> tuple[str, str, str]:
    """Effect, before and after of what may be one of several; none means any."""
    gone, come = old - new, new - old
    if bool(old) != bool(new):
        return ("stricter" if new else "looser"), _row(old), _row(new)
    return _graded(bool(gone), bool(come)), _row(gone), _row(come)


def _demands(old: set[str], new: set[str]) -> tuple[str, str, str]:
    """The same of what has to hold all at once."""
    gone, come = old - new, new - old
    return _graded(bool(come), bool(gone)), _row(gone), _row(come)


def _row(words: set[str]) -> str:
    return ", ".join(sorted(words))


def _of_binding(element: str, old: Resource, new: Resource) -> Iterator[Change]:
    before, after = (
        f"{one.get('strength', '')} {packages.split(str(one.get('valueSet', '')))[0]}".strip()
        for one in (old, new)
    )
    if before == after:
        return
    strengths = [_STRENGTHS.index(one.get("strength", "")) for one in (old, new)]
    effect = _graded(strengths[1] > strengths[0], strengths[1] < strengths[0])
    yield Change(element, "binding", effect, before, after)


def _slicing(slicing: Resource | None) -> str:
    if not slicing:
        return ""
    told = ", ".join(f"{one['type']} {one['path']}" for one in slicing.get("discriminator", ()))
    ordered = " ordered" if slicing.get("ordered") else ""
    return f"{slicing.get('rules', '')}{ordered} by {told}".strip()
