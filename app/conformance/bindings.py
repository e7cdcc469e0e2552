"""What a profile's bindings ask of a coded value: how strictly, and in which circumstances."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from app.conformance import limits, native
from app.conformance.checks import ASKED, CODED, Check, outside
from app.conformance.findings import Findings, finding
from app.conformance.shape import REFUSED
from app.conformance.structure import BASE, Binding
from app.conformance.terminology import Codes, Terminology, member_of, name, unchecked

if TYPE_CHECKING:
    from app.conformance.scope import Scope
    from app.fhir import Resource

Code = tuple[Any, Any]  # system and code

_MAX_SET: Final = BASE + "elementdefinition-maxValueSet"
_ADDITIONAL: Final = frozenset(
    {
        "http://hl7.org/fhir/tools/StructureDefinition/additional-binding",
        "http://hl7.org/fhir/5.0/StructureDefinition/extension-ElementDefinition.binding.additional",
    }
)
_PURPOSES: Final = {"required": "required", "maximum": "required", "extensible": "extensible"}


def read(said: Resource, url: str) -> Iterator[Binding]:
    """
    The bindings that an element's definition has, those beside its own among them.

    url         of the profile
    """
    if said.get("valueSet"):
        strength = said.get("strength", "example")
        if strength == "required" and said["valueSet"].partition("|")[0] in native.LOOSENED:
            strength = "extensible"
        yield Binding(strength, said["valueSet"])
    for extension in said.get("extension", ()):
        if extension.get("url") == _MAX_SET:
            value_set = extension.get("valueCanonical") or extension.get("valueUri")
            if value_set:
                yield Binding("required", value_set)
        elif extension.get("url") in _ADDITIONAL:
            words = limits.extensions(extension)
            for value_set in words.get("valueSet", ())[:1]:
                purpose = (words.get("purpose") or [""])[0]
                yield from _additional(purpose, value_set, words.get("usage", ()), url)
    for one in said.get("additional", ()):
        if one.get("valueSet"):
            usage = one.get("usage", ())
            yield from _additional(one.get("purpose", ""), one["valueSet"], usage, url)


def _additional(purpose: str, value_set: str, usage: Iterable[Any], url: str) -> Iterator[Binding]:
    """
    A binding beside the binding.

    usage       UsageContexts, all of which have to be so; what a resource tells of itself is what
                it has at a path, which HL7's validator takes with the profile's url for its system
    source      https://hl7.org/fhir/R5/elementdefinition-definitions.html#ElementDefinition.binding.additional
    """
    asked = []
    for one in usage:
        code = one.get("code", {})
        own = str(code.get("system", "")).partition("|")[0] == url
        path = str(code.get("code", "")) if own else ""
        asked.append((path, frozenset(_codes(one.get("valueCodeableConcept")))))
    if purpose in _PURPOSES:
        yield Binding(_PURPOSES[purpose], value_set, tuple(asked))


def of(
    terminology: Terminology, bindings: tuple[Binding, ...], kind: str, place: str | None
) -> Iterator[Check]:
    """
    What bindings ask of a value of a type.

    place       where the element is below its resource, if that is one place; there a test may
                note what cannot be told and say yes, and no walk is needed to say it
    """
    asked = [one for one in bindings if one.strength in ASKED] if kind in CODED else []
    for one in asked:
        if not one.usage:
            bound = _Bound(terminology, one, kind, place)
            yield Check(bound.test, bound.walk)
    depending = [_Bound(terminology, one, kind, place) for one in asked if one.usage]
    if depending:
        used = _Used(depending)
        yield Check(used.test, used.walk)


class _Bound:
    """One binding; its codes are looked up when they are first asked for."""

    def __init__(
        self, terminology: Terminology, binding: Binding, kind: str, place: str | None
    ) -> None:
        self._terminology = terminology
        self._place = place
        self._value_set = binding.value_set
        self._required = binding.strength == "required"
        self._text_is_wrong = self._required and kind == "CodeableConcept"
        self.usage = binding.usage

    @cached_property
    def _codes(self) -> Codes:
        return self._terminology.codes(self._value_set)

    @cached_property
    def _untold(self) -> str:
        return unchecked(name(self._value_set), self._codes)

    def test(self, value: Any, scope: Scope) -> bool | None:
        if value.__class__ is dict and "code" not in value and not value.get("coding"):
            return not self._text_is_wrong
        inside = member_of(value, self._codes)
        if inside is None and self._place is not None and scope.resource is scope.world.top:
            scope.world.unsure[f"{scope.place}{self._place}", self._untold] = None
            return True
        return inside

    def walk(self, value: Any, path: str, scope: Scope, found: Findings, _: Any) -> None:
        try:
            inside = self.test(value, scope)
        except REFUSED:
            return  # its shape is wrong, and said so
        asked = self.asked(scope)
        if inside or asked is False:
            return
        if inside is None:
            found.add(finding("binding-unchecked", path, self._untold, severity="information"))
        elif asked is None:
            where = name(self._value_set)
            text = f"Whether {where} is asked depends on the circumstances: not checked."
            found.add(finding("binding-unchecked", path, text, severity="information"))
        else:
            found.add(outside(self._value_set, path, required=self._required))

    def asked(self, scope: Scope) -> bool | None:
        """Whether it is asked of this resource; None where the resource does not tell."""
        answer: bool | None = True
        for path, wanted in self.usage:
            if not path:
                answer = None
            elif wanted.isdisjoint(_told(path, scope)):
                return False
        return answer


class _Used:
    """
    Bindings that depend on what else the resource says.

    Guides have a dozen of one element, each for another category: those are found by the code.
    """

    def __init__(self, bindings: list[_Bound]) -> None:
        self._others = [one for one in bindings if not one.usage[0][0]]
        self._by_code: dict[str, dict[Code, list[_Bound]]] = {}
        for one in bindings:
            path, wanted = one.usage[0]
            for code in wanted if path else ():
                self._by_code.setdefault(path, {}).setdefault(code, []).append(one)

    def test(self, value: Any, scope: Scope) -> object:
        for one in self._asked(scope):  # noqa: SIM110 — hot: a generator costs a frame for each
            if not one.test(value, scope):
                return False
        return True

    def walk(self, value: Any, path: str, scope: Scope, found: Findings, beside: Any) -> None:
        for one in self._asked(scope):
            one.walk(value, path, scope, found, beside)

    def _asked(self, scope: Scope) -> list[_Bound]:
        asked: list[_Bound] | None = scope.told.get(self)
        if asked is None:
            found = list(self._others)
            for path, known in self._by_code.items():
                for code in _told(path, scope):
                    found += known.get(code, ())
            asked = scope.told[self] = [
                one
                for one in dict.fromkeys(found)
                if len(one.usage) == 1 or one.asked(scope) is not False
            ]
        return asked


def _told(path: str, scope: Scope) -> list[Code]:
    """The codes that a resource has at a path such as Observation.category, looked up once."""
    found: list[Code] | None = scope.told.get(path)
    if found is None:
        found = scope.told[path] = _codes_at(path, scope.resource)
    return found


def _codes_at(path: str, resource: Resource) -> list[Code]:
    found: list[Any] = [resource]
    for step in path.split(".")[1:]:
        below = [one.get(step) for one in found if isinstance(one, dict)]
        found = [one for each in below for one in (each if isinstance(each, list) else (each,))]
    return [code for one in found for code in _codes(one)]


def _codes(value: Any) -> Iterator[Code]:
    """Of a CodeableConcept or Coding."""
    if isinstance(value, dict):
        codings = value.get("coding", (value,))
        for one in codings if isinstance(codings, (list, tuple)) else ():
            if isinstance(one, dict) and isinstance(one.get("code"), str):
                yield str(one.get("system", "")), one["code"]
