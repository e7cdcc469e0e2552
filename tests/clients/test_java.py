"""Java's own client, and HAPI's from Maven Central, unchanged, against the running server."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "hapi"
FETCH_SECONDS = 300
SAID = {
    "open": "t3 t1 t0 north rosa",
    "not": "t3 t1 t0",
    "pages": "t3 t2 t1 t0",
    "total": "4",
    "back": "t1",
    "posted": "t2",
    "get with _search": "t2",
    "some ids": "t3 t0",
    "escaped": "t3 t0",
    "by url": "t1 north",
    "has": "rosa",
    "missing": "t3",
    "revinclude": "north t0 t1 t2 t3",
    "elements": "SUBSETTED",
    "counted": "4",
    "fresh": "t1",
    "strict": "400",
    "format": "t1",
    "created": "true 1",
    "updated": "2",
    "patched": "3",
    "patched by path": "4",
    "now": "male 2020-01-05",
    "past": "4321",
    "of the type": "2",
    "of all": "3",
    "not modified": "304",
    "faults": "0",
    "deleted": "200",
    "gone": "410",
    "none": "404",
    "once": "true false",
    "changed": "2",
    "named": "1",
    "left": "0",
    "looked": "Patient Bundle",
    "written": "200 201",
    "output": "Procedure",
    "everything": "Organization Patient Procedure Task",
}


@pytest.fixture(scope="session")
def libraries(cache):
    """HAPI's client and what it needs, 61 MiB; fetched once, and offline from then on."""
    missing = [name for name in ("java", "mvn") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} cannot be found")
    named = hashlib.sha256((HERE / "pom.xml").read_bytes()).hexdigest()[:16]
    folder = cache / f"hapi-{named}"
    with (cache / "hapi.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            making = Path(tempfile.mkdtemp(dir=cache))
            shutil.copy(HERE / "pom.xml", making)
            fetch = ["mvn", "--quiet", "--batch-mode", "-f", making / "pom.xml",
                     "dependency:copy-dependencies", "-DincludeScope=runtime",
                     f"-DoutputDirectory={making}"]  # fmt: skip
            try:
                subprocess.run(fetch, check=True, timeout=FETCH_SECONDS, capture_output=True)
            except (subprocess.SubprocessError, OSError):
                shutil.rmtree(making)
                pytest.skip("Maven cannot fetch HAPI's client now")
            making.rename(folder)
    return folder


def test_hapi(base, libraries, tmp_path):
    """Searches of every style, pages, writes, patches, history, conditions, transactions, operations."""
    line = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{libraries}/*",
            HERE / "UseHapi.java", base]  # fmt: skip

    done = subprocess.run(
        line, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
        env={**os.environ, "JAVA_TOOL_OPTIONS": ""},
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert dict(one.split("=", 1) for one in done.stdout.splitlines()) == SAID


def test_javas_own_client(base, tmp_path):
    """It asks for HTTP/2 with the first that it sends, body and all, and takes HTTP/1.1."""
    if shutil.which("java") is None:
        pytest.skip("java cannot be found")
    line = ["java", "-XX:TieredStopAtLevel=1", HERE.parent / "jdk" / "UseJdk.java", base]

    done = subprocess.run(
        line, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
        env={**os.environ, "JAVA_TOOL_OPTIONS": ""},
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        "created=201",
        "updated=200",
        "read=true",
        "large=201",
        "deleted=204",
    ]
