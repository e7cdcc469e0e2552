"""
What checking costs: CPU microseconds warm, a cold start, lines a second, memory.

    python benchmarks/conformance.py [FOLDER of examples]

HL7's validator is asked about the same files, warm, where Java and ../shared/oracle are at hand.
Ratios travel, absolutes do not. Each figure is the best of several rounds, since what another
process takes is none of ours.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from app import conformance, fhir

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT.parent / "shared" / "examples" / "sdohcc-3.0.0"
ORACLE = ROOT.parent / "shared" / "oracle" / "validate"
ROUNDS = 40  # checks to warm HL7's validator up, and as many that are timed
MEASURED = (
    "Task-SDOHCC-TaskReferralManagementOrderFulfillmentCompletedExample",
    "Task-SDOHCC-TaskReferralManagementOrderFulfillmentAcceptedExample",
    "Observation-SDOHCC-ObservationResponseHungerVitalSignQuestion3Example",
    "QuestionnaireResponse-SDOHCC-QuestionnaireResponsePRAPAREExample",
    "Patient-pat-53234",
)
LINES = 100_000


def best(work: Callable[[], object], *, rounds: int = 15, times: int = 300) -> float:
    """CPU microseconds of one call, in the best round."""
    found = []
    for _ in range(rounds):
        start = time.process_time_ns()
        for _ in range(times):
            work()
        found.append((time.process_time_ns() - start) / times / 1000)
    return min(found)


def warm(folder: Path) -> None:
    """
    Shape alone, as each write asks it; with the rules of base R4; with the profiles claimed.

    Answered forms are held against their Questionnaire in the last column. Issue 4 allows a Task
    60 us at base, issue 7 a Task and a screening Observation 100 us by profile, and a PRAPARE form
    1,000 us.
    """
    definitions = conformance.load()
    for path in sorted(folder.glob("Questionnaire-*.json")):
        definitions.add(path)
    now = datetime.now(UTC)
    print(f"{'CPU us, warm':72} shape   base  whole")
    for name in MEASURED:
        one = fhir.decode((folder / f"{name}.json").read_bytes())
        figures = (
            best(lambda one=one: definitions.shape(one)),
            best(lambda one=one: definitions.check(one, now=now, claims=False)),
            best(lambda one=one: definitions.check(one, now=now)),
        )
        print(f"{name:72}" + "".join(f"{figure:6.1f} " for figure in figures))


def beside(folder: Path) -> None:
    """HL7's validator on the same files, warm, with the profiles that they claim: its processor."""
    lacks = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    if lacks or not ORACLE.exists():
        print(f"HL7's validator: skipped, since {' and '.join(lacks) or 'its runner'} is missing")
        return
    forms = [
        word for path in sorted(folder.glob("Questionnaire-*.json"))
        for word in ("--definitions", str(path))
    ]  # fmt: skip
    files = [str(folder / f"{name}.json") for name in MEASURED]
    options = ["--extensions", "any", "--format", "json", "--repeat", str(ROUNDS)]
    said = subprocess.run(
        [str(ORACLE), *options, *forms, *files], check=False, stdout=subprocess.PIPE, text=True
    )
    for line in said.stdout.splitlines():
        answer = json.loads(line)
        spent = answer["warmMillis"]["medianProcessor"] * 1000
        print(f"{Path(answer['file']).stem:72}{spent:14.0f} us, HL7's validator, warm, median")


def memory(folder: Path) -> None:
    """Every definition of the loaded guides read, and what the examples need of them compiled."""
    definitions = conformance.load()
    now = datetime.now(UTC)
    count = 0
    for _, entry in definitions.entries("StructureDefinition"):
        if entry.derivation == "constraint":
            definitions.profiles.readable(entry.url)
        elif entry.kind in ("resource", "complex-type"):
            definitions.structure(entry.type)
        count += 1
    for path in folder.glob("*.json"):
        definitions.check(fhir.decode(path.read_bytes()), now=now)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"memory: {most:.0f} MiB at most, {count} definitions read, every example checked")


def cold(folder: Path) -> None:
    path = folder / f"{MEASURED[0]}.json"
    command = [str(Path(sys.executable).parent / "kinbridge"), "validate", str(path)]
    found = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
        found.append(time.perf_counter() - start)
    print(f"cold: kinbridge validate of one file {min(found):.2f} s (best of 5)")


def lines(folder: Path) -> None:
    rows = [
        json.dumps(json.loads(path.read_bytes()), separators=(",", ":"))
        for path in sorted(folder.glob("*.json"))
    ]
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "many.ndjson"
        with path.open("w") as stream:
            for index in range(LINES):
                stream.write(rows[index % len(rows)] + "\n")
        command = [
            str(Path(sys.executable).parent / "kinbridge"),
            "validate",
            "--base",
            "--format",
            "json",
        ]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        subprocess.run([*command, str(path)], check=False, stdout=subprocess.DEVNULL)
        took = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"NDJSON: {LINES} resources of {path.name} in {took:.1f} s, {LINES / took:.0f} a second; "
        f"{spent / LINES * 1e6:.0f} us of CPU each, {2 * LINES / spent:.0f} a second on two cores"
    )


if __name__ == "__main__":
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else EXAMPLES
    warm(where)
    beside(where)
    memory(where)
    cold(where)
    lines(where)
