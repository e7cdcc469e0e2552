"""
How far the checker agrees with the recorded outcomes of HL7's validator, on base R4.

    python tests/conformance/agreement.py ../shared/validator-cases
"""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import conformance, fhir
from app.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "validator-agreement.md"
_COMMENT = re.compile(r"/\*.*?\*/")


def recorded(folder: Path, case: dict[str, Any]) -> set[str] | None:
    """The places where the recorded outcome has an error; None without an outcome for base R4."""
    if "expected_base" not in case:
        return None
    outcome = json.loads((folder / "outcomes" / case["expected_base"]).read_text())
    return {
        _COMMENT.sub("", place)
        for issue in outcome.get("issue", [])
        if issue["severity"] in ("error", "fatal")
        for place in issue.get("expression", [""])
    }


def ours(
    definitions: conformance.Definitions, folder: Path, case: dict[str, Any], now: datetime
) -> set[str]:
    try:
        resource = fhir.decode((folder / "files" / case["file"]).read_bytes())
        loaded = with_supporting(definitions, folder, case["supporting"])
        found = loaded.check(resource, now=now)
    except Refusal as refusal:
        found = list(refusal.issues)
    return {one.expression for one in found if one.severity in ("error", "fatal")}


def with_supporting(
    definitions: conformance.Definitions, folder: Path, names: list[str]
) -> conformance.Definitions:
    """The definitions, and those that a case brings along."""
    if not names:
        return definitions
    more = conformance.Definitions()
    for package in definitions.packages:
        more.add(package)
    for name in names:
        if name.endswith(".json"):
            try:
                more.add((folder / "files" / name).read_bytes())
            except Refusal:
                continue  # an example that is to be looked up, and no definition
    return more


def differences(definitions: conformance.Definitions, folder: Path, now: datetime) -> Iterator[str]:
    """The names of the cases with another verdict."""
    for case in json.loads((folder / "manifest.json").read_text())["cases"]:
        wanted = recorded(folder, case)
        if wanted is not None and bool(wanted) != bool(ours(definitions, folder, case, now)):
            yield case["name"]


if __name__ == "__main__":
    loaded, at = conformance.load(conformance.folder()), datetime.now(UTC)
    sys.stdout.write("\n".join(differences(loaded, Path(sys.argv[1]), at)) + "\n")
