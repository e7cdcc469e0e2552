"""
Asks HL7's own validator about the variants of tests/conformance/variants: are they as they say?

    python scripts/oracle_variants.py ORACLE [NAME]

ORACLE is the command that runs HL7's validator (../shared/oracle/validate); with NAME only the
groups whose name begins so. Our own checker is held to the same verdicts by
tests/conformance/test_variants.py. Prints each verdict that is another than the variant says, and
the reason where it gives one; exit 1 if one has no reason, or has a reason and needs none.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from app import fhir

ROOT = Path(__file__).parents[1]


def main(command: str, begins: str) -> int:
    sys.path.insert(0, str(ROOT / "tests" / "conformance"))
    import variants  # noqa: PLC0415 — of the tests, which need no oracle

    groups = [one for one in variants.groups() if one.name.startswith(begins)]
    with tempfile.TemporaryDirectory() as scratch:
        inside, loaded = Path(scratch) / "variants", Path(scratch) / "definitions"
        inside.mkdir()
        loaded.mkdir()
        for one in groups:
            for definition in one.definitions:
                file = f"{definition['resourceType']}-{definition['id']}.json"
                (loaded / file).write_bytes(fhir.encode(definition))
        asked = {}
        for count, variant in enumerate(one for group in groups for one in group.variants):
            path = inside / f"{count:05}.json"
            path.write_bytes(fhir.encode(variant.resource))
            asked[str(path)] = variant
        said = subprocess.run(
            [command, "--extensions", "any", "--format", "json",
             "--definitions", str(loaded), str(inside)],
            check=False, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        return judged(asked, [json.loads(line) for line in said.stdout.splitlines()])


def judged(asked: dict[str, object], answers: list[dict[str, object]]) -> int:
    """Prints what differs; 1 where that is not as the variants say."""
    differ = unexpected = 0
    for answer in answers:
        variant = asked[str(answer["file"])]
        same = answer["valid"] is variant.valid
        differ += not same
        unexpected += same == bool(variant.hl7)
        if not same or variant.hl7:
            texts = [
                f"{one['expression']}: {one['text'][:200]}"
                for one in answer.get("issues", [])
                if one["severity"] in ("error", "fatal")
            ]
            mark = "as said" if bool(variant.hl7) != same else "UNEXPECTED"
            print(f"{mark}: {variant.name}: HL7 {answer['valid']} {variant.hl7} {texts[:3]}")
    print(f"variants: {len(answers) - differ} of {len(asked)} verdicts agree with HL7's validator")
    return 1 if unexpected or len(answers) < len(asked) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""))
