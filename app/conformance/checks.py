"""What is asked of one element's value beside its members: bindings, codes, URIs, narrative."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app.conformance import narrative, native
from app.conformance.findings import Findings, finding
from app.conformance.terminology import Terminology, has_member, name, unchecked
from app.errors import Issue

if TYPE_CHECKING:
    from app.conformance.scope import Scope, Test
    from app.conformance.structure import Binding

Walk = Callable[[Any, str, "Scope", Findings, Any], None]

CODED: Final = frozenset({"code", "Coding", "CodeableConcept", "Quantity", "string", "uri"})
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
    return None


def of_coding(own: Check, terminology: Terminology) -> Check:
    """
    A Coding's members, and that its system has its code.

    own     the type's own rules, whose test the plain case does not need
    """
    remembered: set[tuple[Any, Any, Any]] = set()  # few Codings are most of what is sent

    def right(value: Any) -> bool:
        key = (value.get("system"), value.get("code"), value.get("display"))
        if key in remembered:
            return True
        answer = _known(terminology, value) and _shown(terminology, value)
        if answer and len(remembered) < _REMEMBERED and len(str(key)) < _REMEMBERED:
            remembered.add(key)
        return answer

    def test(value: Any, scope: Scope) -> object:
        system = value.get("system")
        if system is None or system[:4] == "urn:" or not value.keys() <= _PLAIN_CODING:
            return own.test(value, scope) and right(value)
        return right(value)

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

    return Check(test, walk)


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
    """A required binding of an element of type `code`."""
    plain: list[frozenset[str]] = []

    def listed(value: Any, _: Scope) -> object:
        if not plain:
            plain.append(terminology.codes(binding.value_set).plain)
        return value in plain[0] or member(value) is True

    def member(value: Any) -> bool | None:
        return has_member(value, code, terminology.codes(binding.value_set))

    def walk(value: Any, path: str, _: Scope, found: Findings, __: Any) -> None:
        answer = member(value)
        where = name(binding.value_set)
        if answer is None:
            text = unchecked(where, terminology.codes(binding.value_set))
            found.add(finding("binding-unchecked", path, text, severity="information"))
        elif not answer:
            text = f"The code has to be one of the value set {where}; take one of these."
            found.add(finding("binding", path, text))

    if code in _WORDS:
        return Check(listed, walk)
    return Check(lambda value, _: member(value) is True, walk)


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
