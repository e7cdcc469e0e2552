"""
Holds the checker against HL7's own validator, over files, on base R4.

    python scripts/oracle.py ORACLE PATH...

ORACLE is the command that runs HL7's validator (../shared/oracle/validate); a PATH is a resource,
a folder of them, or a FHIR package, of which the examples are taken.
Prints each verdict that differs and how many agree; exit 1 if one differs that HL7's validator
has for the resource's own fault.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import tempfile
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from app import conformance, fhir

# What HL7's validator says of base R4 that is not asked here, or not of the resource itself:
# profiles that are claimed, terminology that is not loaded, extensions that are not known.
NOT_ASKED = re.compile(
    r"profile|slice|Extension_EXT_Unknown|could not be found|not be resolved|terminology"
    r"|display|Type_Specific_Checks_DT_URL_Resolve|QUESTIONNAIRE_QR|StructureDefinition/(?!.*#)",
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


def errors(answer: dict[str, Any]) -> list[str]:
    """Places where HL7's validator has an error that is asked here."""
    return sorted(
        re.sub(r"/\*.*?\*/", "", issue.get("expression") or "")
        for issue in answer.get("issues", [])
        if issue["severity"] in ("error", "fatal")
        and not NOT_ASKED.search(f"{issue.get('messageId')} {issue['text']}")
    )


def main(command: str, paths: list[Path]) -> int:
    definitions = conformance.load(conformance.folder())
    now = datetime.now(UTC)
    agreed = differed = 0
    with tempfile.TemporaryDirectory() as scratch:
        asked = {str(path.resolve()): path for path in files(paths, Path(scratch))}
        said = subprocess.run(
            [command, "--bare", "--extensions", "any", "--format", "json", *asked],
            check=False,
            capture_output=True,
            text=True,
        )
        for line in said.stdout.splitlines():
            answer = json.loads(line)
            found = definitions.check(fhir.decode(asked[answer["file"]].read_bytes()), now=now)
            ours = sorted(one.expression for one in found if one.severity in ("error", "fatal"))
            theirs = errors(answer)
            if bool(ours) == bool(theirs):
                agreed += 1
            else:
                differed += 1
                print(f"{asked[answer['file']].name}: HL7 {theirs}, here {ours}")
    print(f"{agreed} verdicts agree, {differed} differ")
    return 1 if differed or not agreed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], [Path(one) for one in sys.argv[2:]]))
