"""Invariants run on plain JSON and as the language has it, and always say the same."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from app import fhir, fhirpath
from app.fhirpath import syntax
from app.fhirpath.compiler import Compiler
from app.fhirpath.context import NOTHING
from app.fhirpath.direct import Direct
from app.fhirpath.model import r4
from app.fhirpath.paths import Frame

SHARED = Path(__file__).parents[2].parent / "shared"
PACKAGE = SHARED / "packages" / "hl7.fhir.r4.core-4.0.1.tgz"

needs_shared = pytest.mark.skipif(
    not PACKAGE.exists(), reason="../shared is not beside the checkout"
)


def rules():
    found = {}
    with tarfile.open(PACKAGE) as archive:
        for member in archive:
            if member.name.startswith("package/StructureDefinition-"):
                definition = json.load(archive.extractfile(member))
                if definition.get("derivation") == "constraint":
                    continue
                for element in definition["snapshot"]["element"]:
                    for rule in element.get("constraint", ()):
                        if "expression" in rule:
                            found.setdefault(element["path"], set()).add(rule["expression"])
    return found


def elements(value, kind, path, sibling=None):
    yield path, kind, value, sibling
    if isinstance(value, dict):
        for key, (element, child) in kind.keys.items():
            below, beside = value.get(key), value.get(f"_{key}")
            listed = below if isinstance(below, list) else [below]
            besides = beside if isinstance(beside, list) else [beside] * len(listed)
            name = f"{element.name}[x]" if element.choice else element.name
            for one, other in zip(listed, besides, strict=False):
                if one is not None or other is not None:
                    yield from elements(one, r4().of(one, child), f"{kind.name}.{name}", other)


def interpreted(text, kind, value, resource, sibling):
    compiled = fhirpath.compile(text)
    direct = Direct(Compiler(text, compiled.tree, r4()), compiled.tree, kind)
    fallback = direct.fallback(compiled.tree, kind)
    return fallback(value, Frame(value, sibling, resource, resource, NOTHING)) is True


def outcome(call):
    try:
        return call()
    except fhirpath.EvaluationError as error:
        return type(error)


@needs_shared
def test_the_fast_way_says_what_the_language_says() -> None:
    """Every R4 invariant on every element of the guides' examples gives one answer both ways."""
    by_path = rules()
    compared = 0
    for file in sorted((SHARED / "examples").rglob("*.json")):
        resource = fhir.decode(file.read_bytes())
        if not isinstance(resource, dict) or resource.get("resourceType") not in r4().types:
            continue
        kind = r4().of(resource)
        for path, below, value, sibling in elements(resource, kind, kind.name):
            for text in by_path.get(path, set()) | by_path.get(below.name, set()):
                holds = fhirpath.compile(text).invariant(below.name)
                fast = outcome(lambda: holds(value, resource, resource, sibling=sibling))  # noqa: B023
                slow = outcome(lambda: interpreted(text, below, value, resource, sibling))  # noqa: B023
                assert fast == slow, f"{path}: {text} in {file.name}"
                compared += 1
    assert compared > 1000


ODD = {
    "resourceType": "Task",
    "_status": {"extension": [{"url": "u", "valueString": "x"}]},
    "intent": "order",
    "identifier": [],
    "note": [{"text": "a"}, {"_text": {"id": "1"}}],
    "lastModified": "2024-01",
    "authoredOn": "2024-01-02T10:00:00Z",
    "input": [
        {"type": {"coding": [{"code": "a"}, {"code": "b"}]}, "valueString": "v"},
        {"type": {"text": "t"}, "_valueCode": {"id": "2"}},
    ],
    "focus": {"reference": "#p"},
    "contained": [{"resourceType": "Patient", "id": "p", "name": [{"given": [None, "B"], "_given": [{"id": "3"}, None]}]}],
}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "status.exists()", "status.empty()", "status.hasValue()", "status = 'draft'",
        "status != 'draft'", "intent = 'order'", "intent in ('order' | 'plan')",
        "status in ('order' | 'plan')", "identifier.exists()", "identifier.empty()",
        "note.text.exists()", "note.all(text.hasValue())", "note.exists(text = 'a')",
        "note.where(text = 'a').exists()", "note.text.count() = 2", "note.count() > 1",
        "lastModified >= authoredOn", "lastModified < authoredOn", "input.value.exists()",
        "input.all(value.exists())", "input.where(type.coding.code = 'a').exists()",
        "input.type.coding.where(code = 'a').exists()", "input.exists(type.coding.exists(code = 'b'))",
        "input.value.ofType(string).exists()", "(input.value as code).exists()",
        "input.type.coding.code = 'a'", "focus.reference.startsWith('#')",
        "contained.name.exists()", "contained.name.given.exists()", "contained.exists()",
        "contained.all(id.exists())", "contained.where(id = 'p').empty()", "for.exists()",
        "for.reference = 'x' or status.exists()", "children().count() > id.count()",
        "id.exists() implies status.exists()", "status.exists() implies id.exists()",
        "id.exists() and status.exists()", "id = 'x' or status.exists().not()",
        "$this.intent = 'order'", "Task.intent = 'order'", "%resource.intent = 'order'",
        "note.all(%context.intent = 'order')", "note[$index].exists()", "focus.resolve().exists()",
        "input.value is string", "input[0].value is string", "note.exists($this.text.exists())",
        "extension('u').exists()", "input.extension('u').empty()", "description.length() > 3",
        "status.exists() xor id.exists()", "intent.matches('^o.*r$')", "status.matches('x')",
        "note.count() + input.count() > 3", "note.text.isDistinct()", "input.type.text.isDistinct()",
        "where(intent = 'order').exists()", "where(intent = 'order').input.exists()",
        "extension('u').count() + note.count() <= 2", "extension('u').exists() xor note.exists()",
        "note.text.hasValue()", "intent", "intent and status", "note.trace('x').exists()",
    ],
)  # fmt: skip
def test_odd_resources_are_no_exception(text) -> None:
    """Values that are missing, repeated or only extended are taken alike both ways."""
    kind = r4().types["Task"]
    holds = fhirpath.compile(text).invariant("Task")

    fast = outcome(lambda: holds(ODD, ODD, ODD))

    assert fast == outcome(lambda: interpreted(text, kind, ODD, ODD, None))


def test_an_invariant_knows_its_parts() -> None:
    """The tree is not changed by compiling it for a type."""
    compiled = fhirpath.compile("contained.contained.empty()")
    before = compiled.tree
    compiled.invariant("Task")
    assert compiled.tree is before
    assert not syntax.calls(before, "exists")
