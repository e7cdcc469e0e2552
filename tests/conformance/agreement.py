"""
How far the checker agrees with the recorded outcomes of HL7's validator.

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
from app.cli.checked import as_json
from app.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "validator-agreement.md"
_URL = re.compile(r'<url value="([^"]+)"')
_COMMENT = re.compile(r"/\*.*?\*/")


def recorded(folder: Path, case: dict[str, Any], run: str = "base") -> set[str] | None:
    """The places where the recorded outcome has an error; None without an outcome."""
    if f"expected_{run}" not in case:
        return None
    outcome = json.loads((folder / "outcomes" / case[f"expected_{run}"]).read_text())
    return {
        _COMMENT.sub("", place)
        for issue in outcome.get("issue", [])
        if issue["severity"] in ("error", "fatal")
        for place in issue.get("expression", [""])
    }


def ours(
    definitions: conformance.Definitions,
    folder: Path,
    case: dict[str, Any],
    now: datetime,
    run: str = "base",
) -> set[str]:
    names, profiles = [*case["supporting"], *case.get("supporting5", ())], ()
    if run == "profile":
        names += [case["profile"], *case["profile_supporting"]]
        profiles = (url(folder / "files" / case["profile"]),)
    try:
        resource = fhir.decode((folder / "files" / case["file"]).read_bytes())
        loaded = with_supporting(definitions, folder, names)
        known = "allowed-extension-domain" not in case  # the suite's own setting for it
        found = loaded.check(resource, now=now, profiles=profiles, known_extensions=known)
    except Refusal as refusal:
        found = list(refusal.issues)
    return {one.expression for one in found if one.severity in ("error", "fatal")}


def url(definition: Path) -> str:
    text = definition.read_text()
    return _URL.search(text)[1] if definition.suffix == ".xml" else json.loads(text)["url"]


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
        if name.endswith((".json", ".xml")):
            try:
                more.add(as_json(definitions, (folder / "files" / name).read_bytes()))
            except Refusal:
                continue  # an example that is to be looked up, and no definition
    return more


def differences(definitions: conformance.Definitions, folder: Path, now: datetime) -> Iterator[str]:
    """The names of the cases with another verdict, `:profile` behind those of the second run."""
    for case in json.loads((folder / "manifest.json").read_text())["cases"]:
        for run in ("base", "profile"):
            wanted = recorded(folder, case, run)
            if wanted is not None:
                found = ours(definitions, folder, case, now, run)
                if bool(wanted) != bool(found):
                    yield case["name"] if run == "base" else f"{case['name']}:profile"


if __name__ == "__main__":
    loaded, at = conformance.load(), datetime.now(UTC)
    sys.stdout.write("\n".join(differences(loaded, Path(sys.argv[1]), at)) + "\n")
