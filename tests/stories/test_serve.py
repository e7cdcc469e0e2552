"""The service as its operator meets it: start, health, stop, and a start that is refused."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import httpx2
import pytest
from serving import WAIT_SECONDS, free_port, ready, start


def test_a_service_without_any_setting_starts_answers_and_stops(tmp_path):
    """No file, no variable: two tenants on loopback, a warning, a clean end on SIGTERM."""
    port = free_port()
    process = start(tmp_path, "--port", str(port))
    base = f"http://127.0.0.1:{port}"
    ready(base)

    assert httpx2.get(f"{base}/health/live").json() == {"status": "ok"}
    for shelf in ("clinic/chart", "clinic/reports", "agency/support", "agency/intake"):
        said = httpx2.get(f"{base}/{shelf}/fhir/metadata").json()
        assert said["implementation"]["url"] == f"{base}/{shelf}/fhir"
    said = httpx2.get(f"{base}/metrics").text
    assert 'kinbridge_outbox{state="owed"} 0.0' in said
    assert 'state="delivered"' not in said
    process.send_signal(signal.SIGTERM)
    log, _ = process.communicate(timeout=WAIT_SECONDS)

    assert process.returncode in {0, -signal.SIGTERM}
    lines = [json.loads(line) for line in log.splitlines()]
    assert "open to everyone" in lines[0]["event"]
    requests = [line for line in lines if line["event"] == "request"]
    assert requests
    assert all(re.fullmatch(r"[0-9a-f]{32}", line["request_id"]) for line in requests)
    assert (tmp_path / "kinbridge.db").exists()


# the command beside a thread that, once it serves, says how often everything was gone through
COUNTED = """
import gc, json, os, signal, sys, threading
from serving import ready
from app.cli import app
def full():
    return gc.get_stats()[2]["collections"]
before = full()
def told():
    ready(sys.argv[-1])
    said = {"full": full() - before, "on": gc.isenabled(), "kept": gc.get_freeze_count()}
    print(json.dumps(said), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=told).start()
app(["serve", "--port", sys.argv[-1].rpartition(":")[2]])
"""


def test_a_start_looks_for_no_garbage(tmp_path):
    """What is read at a start stays; it is not gone through, then or ever again."""
    line = [sys.executable, "-c", COUNTED, f"http://127.0.0.1:{free_port()}"]
    path = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}

    done = subprocess.run(
        line, cwd=tmp_path, env=path, stdout=subprocess.PIPE, timeout=WAIT_SECONDS, check=False
    )

    said = next(json.loads(one) for one in done.stdout.splitlines() if b'"full"' in one)
    assert said["full"] <= 1  # of what came after
    assert said["on"]
    assert said["kept"] > 100_000


def test_a_connection_stays_for_longer_than_clients_keep_it(tmp_path):
    """Many let it go after five seconds of silence; who did so at the same moment would lose a request."""
    port = free_port()
    process = start(tmp_path, "--port", str(port))
    ready(f"http://127.0.0.1:{port}")
    with socket.create_connection(("127.0.0.1", port)) as line:
        for pause in (0, 6):
            time.sleep(pause)
            line.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert line.recv(4096).startswith(b"HTTP/1.1 200")
        stopped = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=WAIT_SECONDS)

    assert time.monotonic() - stopped < 5  # nobody waits for who is silent


def test_what_was_accepted_is_finished_before_the_end(tmp_path):
    """A request that is on its way when the service is told to stop gets its answer."""
    port = free_port()
    process = start(tmp_path, "--port", str(port))
    base = f"http://127.0.0.1:{port}"
    ready(base)
    body = json.dumps({"resourceType": "Patient", "id": "late"}).encode()

    with socket.create_connection(("127.0.0.1", port)) as line:
        head = f"PUT /clinic/chart/fhir/Patient/late HTTP/1.1\r\nHost: x\r\nContent-Type: application/fhir+json\r\nContent-Length: {len(body)}\r\n\r\n"
        line.sendall(head.encode() + body[:10])
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        line.sendall(body[10:])
        answer = line.recv(4096)

    process.wait(WAIT_SECONDS)
    assert answer.startswith(b"HTTP/1.1 201")
    with closing(sqlite3.connect(tmp_path / "kinbridge.db")) as database:
        assert database.execute("SELECT id FROM resource").fetchall() == [("late",)]


@pytest.mark.parametrize(
    ("arguments", "config", "said"),
    [
        (["--host", "0.0.0.0"], "", "kinbridge client add"),
        (["--config", "c.toml"], 'hots = "x"', "c.toml: hots"),
        (["--config", "c.toml"], "port = 'x'", "c.toml: port"),
        (["--config", "c.toml"], "port = ", "c.toml"),
        (["--config", "none.toml"], "", "none.toml"),
        (
            ["--config", "c.toml"],
            '[[tenants]]\nid = "A B"\nname = "x"\nshelves = []',
            "c.toml: tenants.0.id",
        ),
        (["--config", "c.toml"], 'mappings = "nowhere"', "nowhere"),
        (["--database", "mysql:///x"], "", "sqlite:///"),
    ],
)
def test_a_start_that_could_go_wrong_is_refused(tmp_path, arguments, config, said):
    """A setting that nobody knows, an open door, a missing mapping: it names file and key."""
    (tmp_path / "c.toml").write_text(config)
    process = start(tmp_path, *arguments)

    log, _ = process.communicate(timeout=WAIT_SECONDS)

    assert process.returncode == 2
    assert said in log
    assert "Traceback" not in log


@pytest.mark.parametrize("version", ["9999", None])
def test_tables_of_another_version_are_not_touched(tmp_path, version):
    """A database of a newer program, or of none of ours, refuses the start."""
    with closing(sqlite3.connect(tmp_path / "kinbridge.db")) as database, database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        if version:
            database.execute("INSERT INTO alembic_version VALUES (?)", (version,))

    process = start(tmp_path, "--port", str(free_port()))
    log, _ = process.communicate(timeout=WAIT_SECONDS)

    assert process.returncode == 2
    assert "version" in log


def test_a_mapping_with_an_unknown_key_stops_the_start(tmp_path):
    """A typing error in a mapping is found at the start, with its file and key; one in a variable is said."""
    import shutil

    from app import settings

    shutil.copytree(settings.folder("mappings"), tmp_path / "mappings")
    file = tmp_path / "mappings/disclosure.toml"
    file.write_text(file.read_text().replace("requires =", "require =", 1))

    process = start(tmp_path, KINBRIDGE_MAPPINGS=str(tmp_path / "mappings"), KINBRIDGE_DATABASE="x")
    log, _ = process.communicate(timeout=WAIT_SECONDS)

    assert process.returncode == 2
    assert "KINBRIDGE_DATABASE" in log
    assert "disclosure.toml" in log
    assert "require" in log


def test_an_empty_file_is_a_new_database(tmp_path):
    """What a start that was killed has left does not stop the next one."""
    (tmp_path / "kinbridge.db").touch()
    (tmp_path / "kinbridge.db.new").write_bytes(b"half")
    port = free_port()
    process = start(tmp_path, "--port", str(port))
    ready(f"http://127.0.0.1:{port}")

    process.terminate()
    process.communicate(timeout=WAIT_SECONDS)

    assert not (tmp_path / "kinbridge.db.new").exists()


def test_a_folder_that_cannot_be_written_refuses_the_start(tmp_path):
    """A path that cannot be is named, without a traceback."""
    (tmp_path / "file").touch()
    process = start(tmp_path, "--database", "sqlite:///file/k.db")

    log, _ = process.communicate(timeout=WAIT_SECONDS)

    assert process.returncode == 2
    assert "Traceback" not in log


def test_a_removed_database_file_is_noticed(tmp_path):
    """Nothing is acknowledged that goes into a file which is gone."""
    port = free_port()
    process = start(tmp_path, "--port", str(port))
    base = f"http://127.0.0.1:{port}"
    ready(base)
    for file in tmp_path.glob("kinbridge.db*"):
        file.unlink()

    headers = {"Content-Type": "application/fhir+json"}
    answer = httpx2.put(
        f"{base}/clinic/chart/fhir/Patient/a",
        content=b'{"resourceType":"Patient","id":"a"}',
        headers=headers,
    )
    health = httpx2.get(f"{base}/health/ready")
    asked = {"grant_type": "client_credentials", "client_id": "ehr", "client_secret": "x"}
    token = httpx2.post(f"{base}/clinic/chart/token", data=asked)

    process.kill()
    process.communicate()
    assert (answer.status_code, health.status_code, token.status_code) == (503, 503, 503)
    assert answer.json()["issue"][0]["code"] == "transient"
    assert token.json()["error"] == "temporarily_unavailable"
    assert token.headers["retry-after"] == answer.headers["retry-after"]
