"""
Fills the pages of docs/guide/ with what stands in fhir_profiles/kinbridge/, so that they cannot drift.

    python scripts/guide.py [--check]

A page says what it wants between two comments, `<!-- WORD NAMES -->` and `<!-- end -->`:

    message NAME    an example as JSON
    profile ID      what a profile asks, one row an element
    rules ID…       the rules of profiles, each with the wrong example that breaks it
    codes ID…       the codes of code systems
    map ID          a concept map
    profiles        every profile and extension
    actor ID        what an actor does, from its CapabilityStatement

--check writes nothing; exit 1 where a page is not as it would be written.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.sandbox import examples

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "guide"
GUIDE = ROOT / "fhir_profiles" / "kinbridge"
PART = re.compile(r"(<!-- (\w+) ?([^>]*?) -->\n).*?(<!-- end -->)", re.DOTALL)
EXPECTED = "http://hl7.org/fhir/StructureDefinition/capabilitystatement-expectation"


def definition(kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GUIDE / f"{kind}-{name}.json").read_bytes())
    return found


def table(head: str, rows: list[list[str]]) -> str:
    columns = head.split(" | ")
    lines = [head, " | ".join("---" for _ in columns), *(" | ".join(row) for row in rows)]
    return "".join(f"| {line} |\n" for line in lines)


def message(name: str) -> str:
    text = json.dumps(examples.good(name), indent=2, ensure_ascii=False)
    return f"```json\n{text}\n```\n"


def profile(name: str) -> str:
    found = definition("StructureDefinition", name)
    rows = [
        [f"`{one['id']}`", _count(one), _asks(one), one.get("short", "")]
        for one in found["differential"]["element"]
        if "." in one["id"] and not one["id"].endswith((".url", ".extension"))
    ]
    base = found["baseDefinition"].rpartition("/")[2]
    return f"`{found['url']}`, on {base}.\n\n" + table("element | how often | asks | what", rows)


def _count(row: dict[str, Any]) -> str:
    if "min" not in row and "max" not in row:
        return ""
    return f"{row.get('min', '')}..{row.get('max', '')}"


def _asks(row: dict[str, Any]) -> str:
    said = []
    for key, value in row.items():
        if key.startswith(("fixed", "pattern")):
            said.append(_value(value))
    binding = row.get("binding")
    if binding:
        said.append(f"{binding['strength']}: {binding['valueSet'].rpartition('/')[2]}")
    for one in row.get("type", ()):
        targets = [target.rpartition("/")[2] for target in one.get("targetProfile", ())]
        targets += [target.rpartition("/")[2] for target in one.get("profile", ())]
        said.append(f"{one['code']}({', '.join(targets)})" if targets else one["code"])
    return "; ".join(said)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        coding = value.get("coding", [value])[0]
        return f"{coding['system'].rpartition('/')[2]}#{coding['code']}"
    return str(value)


def rules(*names: str) -> str:
    broken: dict[str, list[str]] = {}
    for one in examples.wrong():
        broken.setdefault(one.rule, []).append(f"`{one.id}`")
    rows: dict[str, list[str]] = {}
    for name in names:
        for element in definition("StructureDefinition", name)["differential"]["element"]:
            for rule in element.get("constraint", ()):
                wrong = " ".join(broken.get(rule["key"], []))
                rows[rule["key"]] = [f"`{rule['key']}`", rule["severity"], rule["human"], wrong]
    return table("rule | | says | wrong example", list(rows.values()))


def codes(*names: str) -> str:
    parts = []
    for name in names:
        found = definition("CodeSystem", name)
        rows = [
            [f"`{one['code']}`", one["display"], one.get("definition", "")]
            for one in found["concept"]
        ]
        parts.append(
            f"`{found['url']}`: {found['description']}\n\n" + table("code | display | means", rows)
        )
    return "\n".join(parts)


def concept_map(name: str) -> str:
    found = definition("ConceptMap", name)
    group = found["group"][0]
    rows = [
        [
            f"`{one['code']}`",
            f"`{to['code']}`" if "code" in to else "none",
            to["equivalence"],
            to.get("comment", ""),
        ]
        for one in group["element"]
        for to in one["target"]
    ]
    return f"`{found['url']}`: {found['description']}\n\n" + table(
        "from | to | equivalence | why", rows
    )


def profiles() -> str:
    rows = []
    for path in sorted(GUIDE.glob("StructureDefinition-*.json")):
        found = json.loads(path.read_bytes())
        rows.append([f"`{found['id']}`", found["type"], found["description"]])
    return table("id | of | what", rows)


def actor(name: str) -> str:
    found = definition("CapabilityStatement", name)
    parts = []
    for rest in found["rest"]:
        rows = [
            [_expected(one), one["code"], kind["type"]]
            for kind in rest.get("resource", ())
            for one in kind.get("interaction", ())
        ]
        rows += [[_expected(one), one["code"], "the base"] for one in rest.get("interaction", ())]
        rows += [
            [_expected(one), f"${one['name']}", one.get("documentation", "")]
            for one in rest.get("operation", ())
        ]
        parts.append(
            f"As a {rest['mode']}: {rest['documentation']}\n\n"
            + table(" | does | with", sorted(rows))
        )
    return "\n".join(parts)


def _expected(one: dict[str, Any]) -> str:
    found = [part["valueCode"] for part in one.get("extension", ()) if part.get("url") == EXPECTED]
    return found[0] if found else ""


WORDS: dict[str, Callable[..., str]] = {
    "message": message,
    "profile": profile,
    "rules": rules,
    "codes": codes,
    "map": concept_map,
    "profiles": profiles,
    "actor": actor,
}


def filled(text: str) -> str:
    """A page with what it wants in its places."""

    def part(found: re.Match[str]) -> str:
        begin, word, names, end = found.groups()
        return f"{begin}{WORDS[word](*names.split())}{end}"

    return PART.sub(part, text)


def main(*, check: bool) -> int:
    drifted = []
    for path in sorted(PAGES.glob("*.md")):
        before = path.read_text(encoding="utf-8")
        after = filled(before)
        if before != after:
            drifted.append(path.name)
            if not check:
                path.write_text(after, encoding="utf-8")
    print(f"{', '.join(drifted) or 'no page'} {'would change' if check else 'changed'}")
    return 1 if check and drifted else 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
