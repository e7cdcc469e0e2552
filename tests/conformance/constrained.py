"""
The defects that a profile forbids, planted one at a time, read from the profile's snapshot.

A snapshot is read here row by row, and not as the checker reads it: the two do not share mistakes.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from made import PRIMITIVES, SEEDS, Maker

from app.conformance import structure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ELSEWHERE = {"system": "http://example.org/codes", "code": "bogus"}
CODED = ("code", "Coding", "CodeableConcept")


@dataclass
class Row:
    """One element of a snapshot: `slices` are those of it, `below` its children."""

    raw: dict[str, Any]
    name: str
    choice: bool
    below: dict[str, Row] = field(default_factory=dict)
    slices: dict[str, Row] = field(default_factory=dict)

    @property
    def least(self) -> int:
        return int(self.raw.get("min", 0))

    @property
    def most(self) -> int | None:
        most = self.raw.get("max", "*")
        return None if most == "*" else int(most)

    @property
    def many(self) -> bool:
        return self.raw.get("base", self.raw).get("max", "*") not in ("0", "1")

    @property
    def types(self) -> list[structure.TypeRef]:
        return [structure.type_ref(one, self.raw) for one in self.raw.get("type", ())]

    def said(self, prefix: str) -> Any:
        return next((value for key, value in self.raw.items() if key.startswith(prefix)), None)


def tree(rows: list[dict[str, Any]]) -> Row:
    root = Row(rows[0], rows[0]["path"], choice=False)
    for raw in rows[1:]:
        at = root
        for segment in raw["id"].split(".")[1:]:
            name, _, slice_name = segment.partition(":")
            choice = name.endswith("[x]")
            one = at.below.setdefault(name, Row(raw, name.removesuffix("[x]"), choice))
            if slice_name:
                one = one.slices.setdefault(slice_name, Row(raw, one.name, choice))
            at = one
    return root


@dataclass(frozen=True)
class Spot:
    """
    An element of a resource that a row is about.

    steps       keys and indexes to the object that holds it
    key         its JSON name there, index its place in a list or None
    parent      path of that object, path its own
    slice       the slice that it stands in, what that is a slice of, and where that stands
    """

    resource: dict[str, Any]
    steps: tuple[str | int, ...]
    key: str
    index: int | None
    parent: str
    path: str
    slice: tuple[Row, Row, str] | None = None

    def holder(self, resource: dict[str, Any]) -> Any:
        value: Any = resource
        for step in self.steps:
            value = value[step]
        return value

    def value(self) -> Any:
        found = self.holder(self.resource)[self.key]
        return found if self.index is None else found[self.index]


@dataclass(frozen=True)
class Planted:
    """A defect of a row, with the rules one of which finds it at the path."""

    kind: str
    row: str
    resource: dict[str, Any]
    path: str
    rules: tuple[str, ...]
    severity: str = "error"


class Planter:
    """Fills a right resource with each element of a profile, and plants each defect there."""

    def __init__(self, definitions: Any) -> None:
        self.definitions = definitions
        self.maker = Maker(definitions)

    def root(self, canonical: str) -> Row:
        found = self.definitions.resource(canonical, "StructureDefinition")
        return tree(found["snapshot"]["element"])

    # Values.

    def value(self, row: Row, code: str) -> Any:
        """A value that a row allows."""
        for prefix in ("fixed", "pattern"):
            if row.said(prefix) is not None:
                return copy.deepcopy(row.said(prefix))
        kind = next(one for one in row.types if one.code == code) if row.types else None
        value_set = row.raw.get("binding", {}).get("valueSet")
        if code in CODED and value_set and self.definitions.terminology.codes(value_set).listed:
            made = self.maker._coded(value_set, code)  # noqa: SLF001 — of one family
        elif kind and kind.profiles and code == "Extension":
            made = self.extension(kind.profiles[0])
        elif kind and kind.code == "Reference":
            made = {"reference": f"{self.target(kind)}/1"}
        elif code in PRIMITIVES:
            return PRIMITIVES[code]
        elif row.name == "contained":
            made = {"resourceType": "Basic", "id": "one", "code": {"text": "text"}}
            return {**made, "subject": {"reference": "#"}}
        elif row.below:
            made = copy.deepcopy(SEEDS.get(row.raw["path"], {}))
        elif code == "BackboneElement":
            where = self.definitions.structure(row.raw["path"].partition(".")[0])
            made = self.maker.object(where, where.elements[row.raw["path"]])
        else:
            found = self.definitions.structure(code)
            made = self.maker.object(found, found.root)
        return self.object(row, made) if isinstance(made, dict) else made

    def extension(self, canonical: str) -> dict[str, Any]:
        if self.definitions.find(canonical, "StructureDefinition") is None:
            return {"url": canonical.partition("|")[0], "valueString": "text"}
        return self.object(self.root(canonical), {})

    def target(self, kind: structure.TypeRef) -> str:
        if not kind.targets:
            return "Basic"
        found = self.definitions.find(kind.targets[0], "StructureDefinition")
        name = found[1].type if found else "Basic"
        return "Basic" if name == "Resource" else str(name)

    def object(self, row: Row, made: dict[str, Any]) -> dict[str, Any]:
        """What a row's children require, put into what is there."""
        for below in row.below.values():
            slices = [one for one in below.slices.values() if one.least > 0]
            for one in slices or ([below] if below.least > 0 else []):
                code = one.types[0].code if one.types else "BackboneElement"
                key = self.key(one, code)
                if not below.many:
                    if not any(self.key(one, each.code) in made for each in one.types):
                        made[key] = self.value(one, code)
                elif slices or key not in made:
                    made.setdefault(key, []).append(self.value(one, code))
        return made or {"id": "one"}

    @staticmethod
    def key(row: Row, code: str) -> str:
        return row.name + code[:1].upper() + code[1:] if row.choice else row.name

    # Places.

    def spots(self, root: Row, resource: dict[str, Any]) -> Iterator[tuple[Row, Row | None, Spot]]:
        """Each element of the profile, filled in; a slice with the row that it is a slice of."""
        yield from self._spots(root, resource, (), str(resource["resourceType"]), None)

    def _spots(
        self,
        row: Row,
        resource: dict[str, Any],
        steps: tuple[str | int, ...],
        path: str,
        within: tuple[Row, Row, str] | None,
    ) -> Iterator[tuple[Row, Row | None, Spot]]:
        for below in row.below.values():
            for one in (below, *below.slices.values()):
                if one.most == 0 or not self.exists(one):
                    continue
                for code in dict.fromkeys(each.code for each in one.types) or ["BackboneElement"]:
                    spot = self.filled(one, below, code, resource, steps, path)
                    spot = replace(spot, slice=within)
                    yield one, below if one is not below else None, spot
                    deeper = (*spot.steps, spot.key)
                    deeper = deeper if spot.index is None else (*deeper, spot.index)
                    if one.below and isinstance(spot.value(), dict):
                        sliced = one is not below or "slicing" in one.raw
                        inside = (one, below, path) if sliced else within
                        yield from self._spots(one, spot.resource, deeper, spot.path, inside)

    def exists(self, row: Row) -> bool:
        """Whether R4 has the element; some snapshots have elements of later versions."""
        path = row.raw.get("base", row.raw)["path"]
        where = self.definitions.structure(path.partition(".")[0])
        return path in where.elements or "." not in path

    def base(self, row: Row) -> structure.Element | None:
        path = row.raw.get("base", row.raw)["path"]
        return self.definitions.structure(path.partition(".")[0]).elements.get(path)

    def filled(
        self,
        row: Row,
        whole: Row,
        code: str,
        resource: dict[str, Any],
        steps: tuple[str | int, ...],
        path: str,
    ) -> Spot:
        made = copy.deepcopy(resource)
        key = self.key(row, code)
        spot = Spot(made, steps, key, None, path, f"{path}.{row.name}")
        holder = spot.holder(made)
        if row.choice:
            for each in whole.types:
                if self.key(row, each.code) != key:
                    holder.pop(self.key(row, each.code), None)
            spot = Spot(made, steps, key, None, path, f"{spot.path}.ofType({code})")
        if not row.many:
            if key not in holder:
                holder[key] = self.value(row, code)
            return spot
        values = holder.setdefault(key, [])
        index = self.standing(row, values) if row is not whole else 0 if values else None
        if index is None:
            values.append(self.value(row, code))
            index = len(values) - 1
        return Spot(made, steps, key, index, path, f"{path}.{row.name}[{index}]")

    def standing(self, row: Row, values: list[Any]) -> int | None:
        """The index of the first value that is in a slice, by all that it fixes."""
        return next((at for at, one in enumerate(values) if self.within(row, one)), None)

    def within(self, row: Row, value: Any) -> bool:
        """Whether a value has all that tells a slice apart: what is fixed, its types and codes."""
        for kind in row.types:
            if kind.code == "Extension" and kind.profiles:
                return bool(value.get("url") == kind.profiles[0].partition("|")[0])
        told = self.told(row, value)
        for below in row.below.values():
            keys = [self.key(below, one.code) for one in below.types]
            found = next((value[key] for key in keys if key in value), None)
            if found is None:
                if below.least > 0:
                    return False
            elif self.told(below, found) is False:
                return False
            elif isinstance(found, list):
                needed = [one for one in below.slices.values() if one.least > 0]
                told = told or bool(needed)
                if any(self.standing(one, found) is None for one in needed):
                    return False
            else:
                told = told or self.told(below, found)
        return bool(told)

    def told(self, row: Row, value: Any) -> bool | None:
        """Whether a value is what a row fixes; None where it fixes nothing."""
        for prefix in ("fixed", "pattern"):
            if row.said(prefix) is not None:
                return _has(value, row.said(prefix))
        binding = row.raw.get("binding", {})
        if binding.get("strength") == "required" and isinstance(value, dict):
            codes = self.definitions.terminology.codes(binding["valueSet"])
            codings = value.get("coding", ())
            return any(codes.has(one.get("system"), one.get("code")) for one in codings)
        return None


def _has(value: Any, part: Any) -> bool:
    if isinstance(part, dict):
        return isinstance(value, dict) and all(
            _has(value.get(key), one) for key, one in part.items()
        )
    if isinstance(part, list):
        return isinstance(value, list) and all(
            any(_has(one, each) for one in value) for each in part
        )
    return bool(value == part)


def defects(row: Row, whole: Row | None, spot: Spot, planter: Planter) -> Iterator[Planted]:
    """Each defect of a row; `whole` is what it is a slice of."""

    def planted(
        kind: str, path: str, rules: tuple[str, ...], change: Callable[[Any], object], **more: str
    ) -> Planted:
        made = copy.deepcopy(spot.resource)
        change(spot.holder(made))
        return Planted(kind, row.raw["id"], made, path, rules, **more)

    def put(value: Any) -> Callable[[Any], object]:
        def change(holder: Any) -> None:
            if spot.index is None:
                holder[spot.key] = value
            else:
                holder[spot.key][spot.index] = value

        return change

    value = spot.value()
    if spot.slice is not None and _discriminates(row, *spot.slice[:2]):
        one, _, path = spot.slice  # whatever is wrong here, the slice is not there
        if one.least > 0 and one.most == 1 and row.said("pattern") is not None:
            yield planted("slice pattern", path, ("slice-min",), put(_other(value)))
        return
    if whole is not None and any(
        "resolve()" in one["path"] for one in whole.raw["slicing"].get("discriminator", ())
    ):
        return  # what it refers to is not at hand
    if whole is not None and spot.index is not None and not planter.within(row, value):
        return  # what tells it apart is a list that is not loaded
    yield from _counted(row, whole, spot, planted, planter)
    yield from _fixed(row, whole, spot, planted, put, planter)
    yield from _coded(row, whole, spot, planted, put, planter)


def _fixed(
    row: Row,
    whole: Row | None,
    spot: Spot,
    planted: Callable[..., Planted],
    put: Callable[[Any], Callable[[Any], object]],
    planter: Planter,
) -> Iterator[Planted]:
    value = spot.value()
    fixed, pattern = row.said("fixed"), row.said("pattern")
    if whole is None and (fixed is not None or pattern is not None):
        rules = ("fixed",) if fixed is not None else ("pattern",)
        base = planter.base(row)
        other = _other(value)
        if base is not None and base.binding and isinstance(value, str):
            codes = planter.definitions.terminology.codes(base.binding.value_set).plain
            other = min(codes - {value}) if codes else other
        yield planted("pattern", spot.path, rules, put(other))
    elif whole is not None and pattern is not None and row.least > 0:
        yield planted("slice pattern", spot.parent, ("slice-min",), put(_other(value)))


def _discriminates(row: Row, one: Row, whole: Row) -> bool:
    """Whether a row inside a slice is what tells the slice apart."""
    own = row.raw["id"].replace("[x]", "")
    for said in whole.raw.get("slicing", {}).get("discriminator", ()):
        path = said["path"].removeprefix("$this").strip(".").removesuffix("resolve()")
        path = "extension" if path.startswith("extension(") else path
        place = f"{one.raw['id'].replace('[x]', '')}.{path}".rstrip(".")
        if own == place or own.startswith((f"{place}.", f"{place}:")):
            return True
    return False


def _counted(
    row: Row, whole: Row | None, spot: Spot, planted: Callable[..., Planted], planter: Planter
) -> Iterator[Planted]:
    sliced = (whole is not None and not row.choice) or any(
        one.least > 0 for one in row.slices.values()
    )
    rules = ("slice-min",) if sliced else ("cardinality", "extension-url", "ext-1")

    def without(holder: Any) -> None:
        if spot.index is None:
            del holder[spot.key]
        else:
            values = holder[spot.key]
            inside = (
                values if whole is None else [one for one in values if planter.within(row, one)]
            )
            values[:] = [one for one in values if not any(one is each for each in inside)]
            if not values:
                del holder[spot.key]
        if not holder:
            holder["id"] = "one"

    if row.least > 0:
        yield planted("missing", spot.parent, rules, without)
    if row.most is not None and spot.index is not None:
        more = ("slice-max",) if whole is not None else ("cardinality-max",)

        def repeated(holder: Any) -> None:
            holder[spot.key] += [copy.deepcopy(spot.value()) for _ in range(row.most or 0)]

        yield planted("too many", spot.parent, more, repeated)


def _coded(
    row: Row,
    whole: Row | None,
    spot: Spot,
    planted: Callable[..., Planted],
    put: Callable[[Any], Callable[[Any], object]],
    planter: Planter,
) -> Iterator[Planted]:
    code = next((one.code for one in row.types if spot.key.endswith(one.code[1:])), "")
    code = row.types[0].code if row.types and not row.choice else code
    binding = row.raw.get("binding", {})
    if code in CODED and binding.get("valueSet") and row.said("pattern") is None:
        codes = planter.definitions.terminology.codes(binding["valueSet"])
        whole_list = _listed(codes)
        other = {"code": "bogus-code", "Coding": ELSEWHERE}.get(code, {"coding": [ELSEWHERE]})
        base = planter.base(row)
        own = base is None or base.binding is None or base.binding.value_set != binding["valueSet"]
        if not own and binding["strength"] != "required":
            return  # what base R4 says of it is not asked
        if whole_list and whole is None and row.said("fixed") is None:
            if binding["strength"] == "required":
                yield planted("binding", spot.path, ("binding",), put(other))
            elif binding["strength"] == "extensible" and code != "code":
                rules = ("binding-extensible",)
                yield planted("extensible", spot.path, rules, put(other), severity="warning")
    if code == "Reference":
        targets = [target for one in row.types for target in one.targets]
        known = [planter.definitions.find(one, "StructureDefinition") for one in targets]
        if targets and all(known) and not {one[1].type for one in known} & {"Resource", "Linkage"}:
            rules = ("reference-target",)
            yield planted("target", spot.path, rules, put({"reference": "Linkage/1"}))


def _listed(codes: Any) -> bool:
    """Whether it is known of each code whether it is in a value set."""
    return bool(codes.known and codes.listed and not any(one.rest for one in codes.parts.values()))


def forbidden(root: Row, resource: dict[str, Any], planter: Planter) -> Iterator[Planted]:
    """What the profile leaves no room for: an element, or a type of one."""
    where = planter.definitions.structure(resource["resourceType"])
    for name, row in root.below.items():
        base = where.root.children.get(name)
        if base is None:
            continue
        if row.most == 0:
            made = copy.deepcopy(resource)
            kind = base.types[0]
            made[planter.key(row, kind.code)] = planter.maker.value(where, base, kind)
            root_path = resource["resourceType"]
            yield Planted("forbidden", row.raw["id"], made, root_path, ("cardinality-max",))
        elif row.choice:
            allowed = {one.code for one in row.types}
            for kind in base.types:
                if kind.code not in allowed:
                    made = copy.deepcopy(resource)
                    for each in base.types:
                        made.pop(planter.key(row, each.code), None)
                    key = planter.key(row, kind.code)
                    made[key] = planter.maker.value(where, base, kind)
                    path = f"{resource['resourceType']}.{row.name}.ofType({kind.code})"
                    yield Planted("type", row.raw["id"], made, path, ("type",))


def _other(value: Any) -> Any:
    """A value of the same shape that says something else."""
    if isinstance(value, dict):
        changed = copy.deepcopy(value)
        if "coding" in changed:
            return {"coding": [ELSEWHERE]}
        for key in ("code", "value", "system"):
            if isinstance(changed.get(key), str):
                changed[key] = "http://example.org/other" if key == "system" else "other"
                return changed
        return {"id": "one"}
    if isinstance(value, str):
        return "http://example.org/other" if ":" in value else "other"
    return not value if isinstance(value, bool) else value
