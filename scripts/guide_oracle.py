"""
Holds our guide against HL7's own validator.

    python scripts/guide_oracle.py ORACLE

ORACLE is the command that runs HL7's validator (../shared/oracle/validate).
Makes the package, has HL7's validator load it, and asks it about every definition in it and every
example, good and wrong. Each must have the verdict that it claims, by HL7's validator and by our
checker. Prints what differs; exit 1 if anything does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app import conformance, fhir
from app.conformance import packing
from app.sandbox import examples

# SDOH Clinical Care's additional bindings, which our snapshots inherit: HL7's tools package, which
# defines that extension, is not beside the validator, so it says that of SDOH Clinical Care too.
NOT_LOADED = "http://hl7.org/fhir/tools/StructureDefinition/additional-binding"


def written(folder: Path, package: Path) -> dict[Path, bool]:
    """Every definition and example as a file, with whether it claims to be valid."""
    claims: dict[Path, bool] = {}

    def write(name: str, resource: dict[str, Any], *, valid: bool) -> None:
        path = folder / f"{name}.json"
        path.write_bytes(fhir.encode(resource))
        claims[path] = valid

    for name in examples.names():
        write(f"good-{name}", examples.good(name), valid=True)
    for one in examples.wrong():
        write(f"wrong-{one.id}", one.resource, valid=one.valid)
    with tarfile.open(package) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if "/example/" in member.name or content is None:
                continue
            resource = json.loads(content.read())
            if "resourceType" in resource:
                write(f"definition-{Path(member.name).stem}", resource, valid=True)
    return claims


def verdict(answer: dict[str, Any]) -> bool | None:
    """Whether HL7's validator finds it valid; None where it could not say."""
    if answer["valid"] is None:
        return None
    wrong = [one for one in answer["issues"] if one["severity"] in ("error", "fatal")]
    return all(NOT_LOADED in one["text"] for one in wrong)


def main(command: str) -> int:
    definitions = conformance.load()
    now = datetime.now(UTC)
    wrong = 0
    with tempfile.TemporaryDirectory() as scratch:
        package = Path(scratch) / "package.tgz"
        package.write_bytes(packing.pack(conformance.folder() / "kinbridge", definitions))
        claims = written(Path(scratch), package)
        said = subprocess.run(
            [command, "--package", package, "--format", "json", *claims],
            check=False,
            capture_output=True,
            text=True,
        )
        answers = [json.loads(line) for line in said.stdout.splitlines()]
        for answer in answers:
            path = Path(answer["file"])
            issues = definitions.check(fhir.decode(path.read_bytes()), now=now)
            ours = not any(one.severity in ("error", "fatal") for one in issues)
            theirs = verdict(answer)
            if claims[path] is ours and claims[path] is theirs:
                continue
            wrong += 1
            print(f"{path.name}: claims {claims[path]}, here {ours}, HL7 {theirs}")
            for issue in answer.get("issues", []):
                if issue["severity"] in ("error", "fatal"):
                    print(f"    HL7 {issue.get('expression')}: {issue['text'][:300]}")
            for one in issues:
                if one.severity in ("error", "fatal"):
                    print(f"    here {one.expression}: {one.rule}")
    unasked = len(claims) - len(answers)
    print(f"{len(answers)} verdicts, {wrong} not as claimed, {unasked} not given")
    if unasked:
        print(said.stderr[-2000:])
    return 1 if wrong or unasked else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
