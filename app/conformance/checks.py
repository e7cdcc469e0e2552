"""What is asked of one element's value beside its members: bindings, codes, URIs, narrative."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app.conformance import grammars, native, primitives
from app.conformance.findings import Findings, finding, untold
from app.conformance.terminology import Codes, Terminology, has_member, name, unchecked
from app.errors import Issue
from app.fhirpath import narrative

if TYPE_CHECKING:
    from app.conformance.scope import Scope, Test
    from app.conformance.structure import Binding

Walk = Callable[[Any, str, "Scope", Findings, Any], None]

CODED: Final = frozenset({"code", "Coding", "CodeableConcept", "Quantity", "string", "uri"})
ASKED: Final = frozenset({"required", "extensible"})
_WORDS: Final = frozenset({"code", "string", "uri"})
_URIS: Final = frozenset({"uri", "url", "oid", "uuid"})
_REMEMBERED: Final = 2048
_PLAIN_CODING: Final = frozenset({"system", "code", "display", "version", "userSelected"})


@dataclass(frozen=True, slots=True)
class Check:
    """
    One question, asked twice.

    test    (value, scope): says yes only to what is right
    walk    (value, path, scope, findings, sibling): says what is wrong
    """

    test: Test
    walk: Walk


def of_primitive(code: str) -> Check | None:
    """What a primitive type asks beyond its format."""
    if code == "xhtml":
        return Check(lambda value, _: narrative.problem(value) is None, _walk_narrative)
    if code in _URIS:
        return Check(
            lambda value, _: value[:4] != "urn:" or not native.uri_problem(value),
            lambda value, path, _, found, __: _say(native.uri_problem(value), path, found),
        )
    if code == "canonical":
        return Check(
            lambda value, _: value[:4] == "http" or not native.canonical_problem(value),
            lambda value, path, _, found, __: _say(native.canonical_problem(value), path, found),
        )
    if code == "decimal":
        return Check(
            lambda value, _: primitives.has_digits(value, primitives.SURE_DIGITS), _walk_long
        )
    return None


def _walk_long(value: Any, path: str, _: Scope, found: Findings, __: Any) -> None:
    if not primitives.has_digits(value, primitives.SURE_DIGITS):
        text = (
            f"Only {primitives.SURE_DIGITS} digits are kept by every reader; others may round this."
        )
        found.add(finding("decimal-digits", path, text, severity="warning"))


def of_coding(own: Check, terminology: Terminology) -> Check:
    """
    A Coding's members, and that its system has its code.

    own     the type's own rules, whose test the plain case does not need
    """
    right = _Right(terminology)

    def test(value: Any, scope: Scope) -> object:
        system = value.get("system")
        if system is None or system[:4] == "urn:" or not value.keys() <= _PLAIN_CODING:
            return own.test(value, scope) and right.test(value, scope)
        return right.test(value, scope)

    def walk(value: Any, path: str, scope: Scope, found: Findings, beside: Any) -> None:
        own.walk(value, path, scope, found, beside)
        if path in scope.world.around or f"{path}.code" in scope.world.broken:
            return
        if not _known(terminology, value):
            text = "The code system that is named here has no such code; mend one of the two."
            found.add(finding("code", f"{path}.code", text))
        elif not _shown(terminology, value) and _in_english(scope):
            text = "The code has another display in its code system; write that, or none."
            found.add(finding("display", f"{path}.display", text))
        else:
            scope.world.untold |= {_untold(terminology, value)} - {""}

    return Check(test, walk)


class _Right:
    """
    Whether a code is of its system and shown as it is there.

    Few Codings are most of what is sent: each that is right is remembered, with its code system
    where that is not loaded.
    """

    def __init__(self, terminology: Terminology) -> None:
        self._terminology = terminology
        self._remembered: dict[tuple[Any, Any, Any], str] = {}

    def test(self, value: Any, scope: Scope) -> bool:
        key = (value.get("system"), value.get("code"), value.get("display"))
        untold = self._remembered.get(key)
        if untold is None:
            terminology, remembered = self._terminology, self._remembered
            if not (_known(terminology, value) and _shown(terminology, value)):
                return False
            untold = _untold(terminology, value)
            if len(remembered) < _REMEMBERED and len(str(key)) < _REMEMBERED:
                remembered[key] = untold
        if untold:
            scope.world.untold.add(untold)
        return True


def _untold(terminology: Terminology, value: Any) -> str:
    """The code system that a code is of, where it is not known whether it has it; else ""."""
    system, code = value.get("system"), value.get("code")
    if not isinstance(system, str) or not isinstance(code, str):
        return ""
    return system if terminology.exists(system, code) is None else ""


def unloaded(system: str, path: str, definition: str) -> Issue:
    """
    What could not be told of the codes of a system, said once of a resource.

    path        of the first of them
    """
    what = f"{system} is" if system in grammars.PUBLIC else "Its code system is"
    text = f"{what} not loaded, so its codes and displays are not looked up: not checked."
    return untold("code-unchecked", path, text, definition)


def _known(terminology: Terminology, value: Any) -> bool:
    system, code = value.get("system"), value.get("code")
    return system is None or code is None or terminology.exists(system, code) is not False


def _shown(terminology: Terminology, value: Any) -> bool:
    display = value.get("display")
    if display is None or "system" not in value or "code" not in value:
        return True
    return terminology.displayed(value["system"], value["code"], display) is not False


def _in_english(scope: Scope) -> bool:
    """Whether displays are those of the code systems as they are loaded, by what is said."""
    said = scope.resource.get("language") or scope.root.get("language")
    return not isinstance(said, str) or said.lower().startswith("en")


def of_binding(binding: Binding, code: str, terminology: Terminology) -> Check:
    """A required or extensible binding of an element of type `code`."""
    looked_up: list[Codes] = []
    required = binding.strength == "required"

    def codes() -> Codes:
        if not looked_up:
            looked_up.append(terminology.codes(binding.value_set))
        return looked_up[0]

    def listed(value: Any, _: Scope) -> object:
        return value in codes().plain or member(value) is True

    def member(value: Any) -> bool | None:
        if not required and value.__class__ is dict and not value.get("coding", "code" in value):
            return True  # a text alone may be all that there is
        return has_member(value, code, codes())

    def walk(value: Any, path: str, _: Scope, found: Findings, __: Any) -> None:
        answer = member(value)
        if answer is None:
            text = unchecked(name(binding.value_set), codes())
            found.add(finding("binding-unchecked", path, text, severity="information"))
        elif not answer:
            found.add(outside(binding.value_set, path, required=required))

    if code in _WORDS:
        return Check(listed, walk)
    return Check(lambda value, _: member(value) is True, walk)


def outside(value_set: str, path: str, *, required: bool) -> Issue:
    """A code that is not in the value set that it has to be in, or should be."""
    where = name(value_set)
    if required:
        text = f"The code has to be one of the value set {where}; take one of these."
        return finding("binding", path, text)
    text = f"The code should be one of {where}, if one of these fits."
    return finding("binding-extensible", path, text, severity="warning")


def _walk_narrative(value: Any, path: str, _: Scope, found: Findings, __: Any) -> None:
    wrong = narrative.problem(value)
    if wrong:
        key, text = wrong
        code, url = native.RULES[key]
        found.add(Issue("error", code, text, path, key, url))


def _say(text: str, path: str, found: Findings) -> None:
    if text:
        code, url = native.RULES["uri-format"]
        found.add(Issue("error", code, text, path, "uri-format", url))
