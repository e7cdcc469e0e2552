"""JavaScript's clients from npm, unchanged, against the running server."""

import fcntl
import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "node"
FETCH_SECONDS = 120
SAID = {
    "fhir-kit-client": {
        "version": "4.0.1",
        "token": "/clinic/chart/token",
        "pages": "t3 t0 t3",
        "posted": "t3",
        "several": "t3 t0 north",
        "held": "t3 t2 t1 t0",
        "system": "north",
        "strict": 400,
        "changed": "female male 3",
        "past": "321",
        "first": "1",
        "everything": 1,
        "found": "male",
        "gone": 410,
        "conditional": "true Kit again",
        "transaction": "200 204",
        "batch": "200 204",
        "binary": True,
        "stale": 412,
        "validated": "code-invalid",
        "walked": "3 3 1",
        "once": "201 200",
        "refused": "404 200",
        "typed": 1,
        "all": True,
    },
    "fhirclient": {
        "release": 4,
        "pages": "t3 t2 t1 t0",
        "walked": "3 1",
        "resolved": "North Example",
        "references": "Organization/north",
        "changed": "female male 3",
        "past": "321",
        "everything": 1,
        "errors": 0,
        "headers": 'W/"3"',
        "gone": 410,
        "none": 404,
        "strict": 400,
    },
    "medplum": {
        "total": 2,
        "sorted": "t3 t0",
        "one": "rosa",
        "pages": "t3 t2 t1 t0",
        "strict": "structure",
        "changed": "female male 3",
        "past": 3,
        "first": "1",
        "severities": ["warning"],
        "gone": "deleted",
        "conditional": "true true true",
        "transaction": "200 204",
        "file": "text/plain",
    },
}


@pytest.fixture(scope="session")
def modules(cache):
    """What package.json names, 6 MiB; fetched once, and offline from then on."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        pytest.skip("node or npm cannot be found")
    named = hashlib.sha256((HERE / "package.json").read_bytes()).hexdigest()[:16]
    folder = cache / f"node-{named}"
    with (cache / "node.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            making = Path(tempfile.mkdtemp(dir=cache))
            shutil.copy(HERE / "package.json", making)
            fetch = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", making]
            try:
                subprocess.run(fetch, check=True, timeout=FETCH_SECONDS, capture_output=True)
            except (subprocess.SubprocessError, OSError):
                shutil.rmtree(making)
                pytest.skip("npm cannot fetch the clients now")
            making.rename(folder)
    return folder / "node_modules"


@pytest.mark.parametrize("client", SAID)
def test_client_from_npm(base, modules, tmp_path, client):
    """Searches, pages, every write, history, conditions and transactions, and refusals it understands."""
    (tmp_path / "node_modules").symlink_to(modules)
    script = shutil.copy(HERE / f"{client}.mjs", tmp_path)

    done = subprocess.run(
        ["node", script, base], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == SAID[client]
