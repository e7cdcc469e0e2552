"""
Holds what screenings become against HL7's own validator, profiles and all.

    python scripts/oracle_screenings.py ORACLE

ORACLE is the command that runs it (../shared/oracle/validate); each tests/examples/*/*/given.json
is mapped as `kinbridge map` does, and every resource that would be made is checked. Its exit is ours.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from app import fhir, settings
from app.flows import preview

EXAMPLES = Path(__file__).parents[1] / "tests/examples"


def main(oracle: str) -> int:
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        for given in sorted(EXAMPLES.glob("*/*/given.json")):
            sent = fhir.decode(given.read_bytes())
            seen = preview.offline(settings.Settings(), None, "clinic/chart", sent)
            for one in seen.resources:
                if "source" in one["meta"]:  # ours; what was given is the sender's
                    count += 1
                    (Path(folder) / f"{count}.json").write_bytes(fhir.encode(one))
        print(f"{count} resources of {len(list(EXAMPLES.glob('*/*/given.json')))} examples")
        return subprocess.run([oracle, folder], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
