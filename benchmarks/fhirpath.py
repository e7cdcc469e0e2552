"""
CPU time of the R4 invariants of a Task, each compiled for its type, on one core, warm.

Run: python benchmarks/fhirpath.py [folder with Task-*.json] [R4 core package]
"""

from __future__ import annotations

import json
import statistics
import sys
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import fhir, fhirpath
from app.fhirpath.model import Type, r4

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARED = Path(__file__).parents[1].parent / "shared"
EXAMPLES = SHARED / "examples" / "sdohcc-3.0.0"
PACKAGE = SHARED / "packages" / "hl7.fhir.r4.core-4.0.1.tgz"
ROUNDS = 2000


def constraints(package: Path) -> dict[str, dict[str, str]]:
    """{type or element path: {key: expression}}, as the definitions say them."""
    found: dict[str, dict[str, str]] = {}
    with tarfile.open(package) as archive:
        for member in archive:
            if not member.name.startswith("package/StructureDefinition-"):
                continue
            handle = archive.extractfile(member)
            definition = json.load(handle) if handle else {}
            if definition.get("derivation") == "constraint":
                continue
            for element in definition["snapshot"]["element"]:
                for rule in element.get("constraint", ()):
                    if "expression" in rule:
                        found.setdefault(element["path"], {})[rule["key"]] = rule["expression"]
    return found


def elements(value: Any, kind: Type, path: str) -> Iterator[tuple[str, Type, Any]]:
    """Each complex element, and each primitive, with its path in the definition."""
    yield path, kind, value
    if not isinstance(value, dict):
        return
    for key, below in value.items():
        element, child = kind.keys.get(key, (None, None))
        if element is None or child is None:
            continue
        for one in below if isinstance(below, list) else [below]:
            name = f"{element.name}[x]" if element.choice else element.name
            yield from elements(one, r4().of(one, child), f"{kind.name}.{name}")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else EXAMPLES
    rules = constraints(Path(sys.argv[2]) if len(sys.argv) > 2 else PACKAGE)
    totals: dict[str, list[float]] = {}
    for file in sorted(folder.glob("Task-*.json")):
        task = fhir.decode(file.read_bytes())
        for path, kind, value in elements(task, r4().types["Task"], "Task"):
            for key, text in {**rules.get(path, {}), **rules.get(kind.name, {})}.items():
                holds = fhirpath.compile(text).invariant(kind.name)
                holds(value, task, task)
                begin = time.process_time_ns()
                for _ in range(ROUNDS):
                    holds(value, task, task)
                spent = (time.process_time_ns() - begin) / ROUNDS / 1000
                totals.setdefault(key, []).append(spent)
    everything = [one for spent in totals.values() for one in spent]
    for key, spent in sorted(totals.items()):
        print(
            f"{key:8} {statistics.mean(spent):6.2f} µs  (highest {max(spent):.2f}, {len(spent)} times)"
        )
    print(f"{'all':8} {statistics.mean(everything):6.2f} µs  ({len(everything)} runs)")


if __name__ == "__main__":
    main()
