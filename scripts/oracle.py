"""
Holds the checker against HL7's own validator, over files and over planted defects.

    python scripts/oracle.py ORACLE [--planted] [--only NAME] PATH...

ORACLE is the command that runs HL7's validator (../shared/oracle/validate); a PATH is a resource,
a folder of them, or a FHIR package, of which the examples are taken. Each is held against the
profiles that it claims. With --planted, each rule of each profile that they claim is broken alone
in the first of them, and both are asked about that as well: some thousand files for a guide, all
in one run of the validator, three to five minutes. --only takes the profiles whose name begins so.
Prints how far it is, each verdict that differs, and how many agree; exit 1 if one differs.
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
from typing import TYPE_CHECKING, Any, Final

from app import conformance, fhir

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
EVERY = 100  # files between two lines that say how far it is

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
    return sorted(found)


def planted(
    definitions: conformance.Definitions, paths: list[Path], scratch: Path, now: datetime, only: str
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
        for url in dict.fromkeys(one.partition("|")[0] for one in claimed):
            name = url.rpartition("/")[2]
            if url in done or not name.startswith(only):
                continue
            if definitions.profiles.readable(url) is None:
                continue
            done.add(url)
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


# Planted defects that HL7's validator passes over, and why it is theirs; each is printed.
EXPLAINED: Final = {
    "SDOHCC-ObservationEthnicityOMB.too-many.Observation.component-Ethnicity": (
        "two values of the list that the slice Ethnicity is bound to, of which it allows one;"
        " HL7's validator does not tell the slices of this profile apart by their lists"
    ),
}


def errors(answer: dict[str, Any]) -> list[str]:
    """Places where HL7's validator has an error that is the resource's own."""
    return sorted(
        re.sub(r"/\*.*?\*/", "", issue.get("expression") or "")
        for issue in answer.get("issues", [])
        if issue["severity"] in ("error", "fatal")
        and not NOT_LOADED.search(f"{issue.get('messageId')} {issue['text']}")
    )


def answers(command: str, asked: list[str]) -> Iterator[dict[str, Any]]:
    """What HL7's validator says of each file, as it says it; how far it is goes to standard error."""
    with subprocess.Popen(
        [command, "--extensions", "any", "--format", "json", *asked],
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        for count, line in enumerate(running.stdout or (), 1):
            if count % EVERY == 0:
                print(f"{count} of {len(asked)}", file=sys.stderr, flush=True)
            yield json.loads(line)


def compare(
    definitions: conformance.Definitions, command: str, paths: list[Path], now: datetime
) -> Counter[str]:
    """Verdicts that agree or differ; those that differ are printed."""
    counts: Counter[str] = Counter()
    asked = {str(path.resolve()): path for path in paths}
    for answer in answers(command, list(asked)):
        path = asked[answer["file"]]
        found = definitions.check(fhir.decode(path.read_bytes()), now=now)
        ours = sorted(one.expression for one in found if one.severity in ("error", "fatal"))
        theirs = errors(answer)
        same = bool(ours) == bool(theirs)
        reason = EXPLAINED.get(path.stem.partition(".")[2], "")
        counts["agree" if same else "explained" if reason else "differ"] += 1
        counts["same places"] += same and set(ours) == set(theirs)
        if not same:
            texts = [
                one["text"][:160] for one in answer.get("issues", []) if one["severity"] == "error"
            ]
            print(f"{path.name}: HL7 {theirs} {texts[:2]}, here {ours} {reason}", flush=True)
    counts["unanswered"] = len(asked) - counts["agree"] - counts["differ"] - counts["explained"]
    return counts


def report(what: str, counts: Counter[str]) -> int:
    """Prints the agreement; returns how many are not as they should be."""
    agree, differ, explained = counts["agree"], counts["differ"], counts["explained"]
    print(
        f"{what}: {agree} of {agree + differ + explained} verdicts agree, "
        f"{explained} differ with a reason, "
        f"{counts['same places']} of them with errors at the very same places",
        flush=True,
    )
    if counts["unanswered"]:
        print(f"{what}: {counts['unanswered']} files have no answer of HL7's validator")
    return differ + counts["unanswered"] + (not agree)


def main(command: str, paths: list[Path], *, plant: bool, only: str) -> int:
    definitions = conformance.load()
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory() as scratch:
        found = files(paths, Path(scratch))
        wrong = 0
        if not only:
            wrong = report("examples", compare(definitions, command, found, now))
        if plant:
            inside = Path(scratch) / "planted"
            inside.mkdir()
            made = list(planted(definitions, found, inside, now, only))
            wrong += report("planted defects", compare(definitions, command, made, now))
    return 1 if wrong else 0


if __name__ == "__main__":
    given = sys.argv[2:]
    plant = "--planted" in given
    only = given[given.index("--only") + 1] if "--only" in given else ""
    named = [Path(one) for one in given if one not in ("--planted", "--only", only)]
    sys.exit(main(sys.argv[1], named, plant=plant, only=only))
