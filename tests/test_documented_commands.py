"""Every command that README and docs show runs as it is written, one after the other."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from serving import free_port, ready, start

ROOT = Path(__file__).parents[1]
DOCS = ["README.md", *sorted(str(one.relative_to(ROOT)) for one in ROOT.glob("docs/**/*.md"))]
# What a test cannot do, and why.
LEFT_OUT = {
    "builds or tests all of it": r"make \w|\. \.venv/bin/activate",
    "is the service that runs beside": r"kinbridge serve",
    "asks a package registry": r"kinbridge profiles (add|diff|remove) ",
    "needs a PostgreSQL of yours": r"(export )?KINBRIDGE_(DATABASE|OWNER)_URL=",
    "is what is asked over HTTP, and no command": r"(GET|PUT|POST) /",
    "is a picture": r"(Loaded|.*─)",
}
REFUSED = {  # as the text beside them says
    "kinbridge validate examples/wrong/ --fail-on warning",
    "kinbridge outbox resend 7",
}


def commands(text):
    """The lines of the blocks that name no language, without those that are left out."""
    out = re.compile("|".join(LEFT_OUT.values()))
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line for language, block in blocks if not language for line in block.splitlines()]
    return "\n".join(line for line in lines if line.strip() and not out.match(line))


@pytest.mark.parametrize("document", [one for one in DOCS if commands((ROOT / one).read_text())])
def test_what_is_shown_runs(tmp_path, document):
    """In an empty folder, with a service beside it where one is called."""
    port = free_port()
    script = commands((ROOT / document).read_text()).replace(":8000", f":{port}")
    script = script.replace("curl ", "curl -sS --fail-with-body ")
    shutil.copytree(ROOT / "fhir_profiles/kinbridge", tmp_path / "fhir_profiles/kinbridge")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    trap = "trap 'echo \"FAILED: $BASH_COMMAND\" >&2' ERR\n"
    service = start(tmp_path, "--port", str(port), log=tmp_path / "log")
    try:
        ready(f"http://127.0.0.1:{port}")
        done = subprocess.run(
            ["bash", "-c", trap + script],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    finally:
        service.kill()
        service.wait()

    failed = set(re.findall(r"^FAILED: (.*)$", done.stderr, re.MULTILINE))
    assert failed <= REFUSED, done.stderr[-3000:]
    assert document != "README.md" or failed == REFUSED
