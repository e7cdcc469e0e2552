"""
Holds the checker against HL7's own validator, over files and over planted defects.

    python scripts/oracle.py ORACLE [--planted] PATH...

ORACLE is the command that runs HL7's validator (../shared/oracle/validate); a PATH is a resource,
a folder of them, or a FHIR package, of which the examples are taken. Each is held against the
profiles that it claims. With --planted, each rule of each profile that they claim is broken alone
in the first of them, and both are asked about that as well.
Prints each verdict that differs and how many agree; exit 1 if one differs, or if a planted defect
is found by HL7's validator and not here.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from app import conformance, fhir

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]

# Errors of HL7's validator that say what it has not loaded, and nothing of the resource.
NOT_LOADED = re.compile(
    r"could not be found|not be resolved|Extension_EXT_Unknown|Extension_EXT_Version_Invalid"
    r"|QUESTIONNAIRE_QR_ITEM_\w*VS|[#|]sdc-2\b",
    re.IGNORECASE,
)


def files(paths: list[Path], scratch: Path) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if path.suffix == ".tgz":
            found += unpacked(path, scratch)
        elif path.is_dir():
            found += sorted(path.rglob("*.json"))
        else:
            found.append(path)
    return found


def unpacked(package: Path, scratch: Path) -> list[Path]:
    found = []
    with tarfile.open(package) as archive:
        for member in archive:
            name = PurePosixPath(member.name)
            content = archive.extractfile(member)
            if "example" in name.parts and not name.name.startswith(".") and content:
                found.append(scratch / name.name)
                found[-1].write_bytes(content.read())
    return found


def planted(
    definitions: conformance.Definitions, paths: list[Path], scratch: Path, now: datetime
) -> Iterator[Path]:
    """A file for each defect of each profile that is claimed, named by profile, kind and element."""
    sys.path.insert(0, str(ROOT / "tests" / "conformance"))
    import constrained  # noqa: PLC0415 — of the tests, which need no oracle

    planter = constrained.Planter(definitions)
    done: set[str] = set()
    count = 0
    for path in paths:
        resource = fhir.decode(path.read_bytes())
        resource.pop("text", None)
        claimed = (resource.get("meta") or {}).get("profile", [])
        for url in {one.partition("|")[0] for one in claimed} - done:
            if definitions.profiles.readable(url) is None:
                continue
            done.add(url)
            name = url.rpartition("/")[2]
            root = planter.root(url)
            made = list(constrained.forbidden(root, resource, planter))
            for row, whole, spot in planter.spots(root, resource):
                found = definitions.check(spot.resource, now=now)
                if not any(one.severity == "error" for one in found):
                    made += constrained.defects(row, whole, spot, planter)
            for one in made:
                if one.severity == "error":
                    count += 1
                    label = re.sub(r"[^A-Za-z0-9.]+", "-", f"{name}.{one.kind}.{one.row}")
                    file = scratch / f"{count:05}.{label}.json"
                    file.write_bytes(fhir.encode(one.resource))
                    yield file


def errors(answer: dict[str, Any]) -> list[str]:
    """Places where HL7's validator has an error that is the resource's own."""
    return sorted(
        re.sub(r"/\*.*?\*/", "", issue.get("expression") or "")
        for issue in answer.get("issues", [])
        if issue["severity"] in ("error", "fatal")
        and not NOT_LOADED.search(f"{issue.get('messageId')} {issue['text']}")
    )


def compare(
    definitions: conformance.Definitions, command: str, paths: list[Path], now: datetime
) -> Counter[str]:
    """Verdicts that agree or differ; those that differ are printed."""
    counts: Counter[str] = Counter()
    asked = {str(path.resolve()): path for path in paths}
    said = subprocess.run(
        [command, "--extensions", "any", "--format", "json", *asked],
        check=False,
        capture_output=True,
        text=True,
    )
    for line in said.stdout.splitlines():
        answer = json.loads(line)
        path = asked[answer["file"]]
        found = definitions.check(fhir.decode(path.read_bytes()), now=now)
        ours = sorted(one.expression for one in found if one.severity in ("error", "fatal"))
        theirs = errors(answer)
        same = bool(ours) == bool(theirs)
        counts["agree" if same else "differ"] += 1
        counts["missed"] += bool(theirs) and not ours
        counts["same places"] += same and set(ours) == set(theirs)
        if not same:
            texts = [
                one["text"][:160] for one in answer.get("issues", []) if one["severity"] == "error"
            ]
            print(f"{path.name}: HL7 {theirs} {texts[:2]}, here {ours}")
    return counts


def report(what: str, counts: Counter[str]) -> None:
    agree, differ = counts["agree"], counts["differ"]
    print(
        f"{what}: {agree} of {agree + differ} verdicts agree, "
        f"{counts['same places']} of them with errors at the very same places"
    )


def main(command: str, paths: list[Path], *, plant: bool) -> int:
    definitions = conformance.load(conformance.folder())
    now = datetime.now(UTC)
    differ = 0
    with tempfile.TemporaryDirectory() as scratch:
        found = files(paths, Path(scratch))
        counts = compare(definitions, command, found, now)
        report("examples", counts)
        differ += counts["differ"] + (not counts["agree"])
        if plant:
            inside = Path(scratch) / "planted"
            inside.mkdir()
            counts = compare(
                definitions, command, list(planted(definitions, found, inside, now)), now
            )
            report("planted defects", counts)
            differ += counts["missed"] + (not counts["agree"])
    return 1 if differ else 0


if __name__ == "__main__":
    given = [one for one in sys.argv[2:] if one != "--planted"]
    sys.exit(main(sys.argv[1], [Path(one) for one in given], plant="--planted" in sys.argv))
