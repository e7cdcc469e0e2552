"""A disk without room, a database that is gone: 503, and nothing that was acknowledged is lost."""

import os
import random
import resource
import shutil
import subprocess
import tempfile
from collections import Counter
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx2
import pytest
from exchange import sqlite_rows
from postgres import Postgres
from running import Running
from serving import client

TEXT = random.Random(3).randbytes(2500).hex()  # of which nothing can be pressed out


def fill(service, most=4000):
    """Writes until there is no room: the names that were acknowledged, and the answers."""
    stands, refused = [], []
    with client() as http:
        for number in range(most):
            answer = service.put(f"Basic/b{number}", {"code": {"text": f"{number} {TEXT}"}}, http)
            if answer.is_success:
                stands.append(number)
            else:
                refused.append(answer)
            if len(refused) == 5:
                return stands, refused
    pytest.fail("the disk does not get full")


def held(service, stands, refused, more_room):
    """What must be true of a service that has no room, and when it has room again."""
    for answer in refused:
        assert answer.status_code == 503, answer.text
        assert answer.json()["issue"][0]["code"] == "transient"
        assert "retry-after" in answer.headers
    for number in (stands[0], stands[-1]):
        read = httpx2.get(f"{service.base}/Basic/b{number}")
        assert read.json()["code"]["text"].startswith(f"{number} ")

    more_room()

    again = service.put("Basic/again", {"code": {"text": "again"}})
    assert again.status_code == 201, again.text
    found = Counter(service.rows("SELECT id, version FROM resource WHERE type = 'Basic'"))
    assert {(f"b{number}", 1) for number in stands} <= set(found)
    assert set(found) == {(f"b{number}", 1) for number in stands} | {("again", 1)}
    assert service.holes() == []


def test_a_file_that_may_not_grow_is_503(tmp_path):
    """SQLite at a limit of its file: reads go on, writes are refused, and go on when there is room."""
    path = tmp_path / "kinbridge.db"
    service = Running(tmp_path, f"sqlite:///{path}", partial(sqlite_rows, path))
    service.start()
    try:
        unlimited = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE)
        least = (3 * 2**20, unlimited[1])
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, least)

        stands, refused = fill(service)

        more = partial(resource.prlimit, service.process.pid, resource.RLIMIT_FSIZE, unlimited)
        held(service, stands, refused, more)
    finally:
        service.kill()


@contextmanager
def small_disk(megabytes):
    """A file system of a size, in memory; only root can make one, and not in every container."""
    folder = Path(tempfile.mkdtemp(prefix="kinbridge-disk-"))  # where PostgreSQL's user may look
    folder.chmod(0o755)
    line = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(line, check=False, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("a small disk needs root and the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


def test_a_full_disk_under_sqlite_is_503(tmp_path):
    """The same with a disk that is full in earnest."""
    with small_disk(4) as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(2**20))
        path = disk / "kinbridge.db"
        service = Running(tmp_path, f"sqlite:///{path}", partial(sqlite_rows, path))
        service.start()
        try:
            stands, refused = fill(service)

            held(service, stands, refused, ballast.unlink)
        finally:
            service.kill()


def test_a_full_disk_under_postgres_is_503(tmp_path, monkeypatch):
    """PostgreSQL without room for one more page, or for its log, refuses; it goes on afterwards."""
    with small_disk(160) as disk:
        disk.chmod(0o777)
        monkeypatch.setattr("tempfile.tempdir", str(disk))
        server = Postgres.made()
        service = Running(tmp_path, server.url(), server.rows)
        service.start()
        try:
            ballast = disk / "ballast"
            room = shutil.disk_usage(disk).free - 3 * 2**20
            ballast.write_bytes(bytes(max(room, 0)))
            stands, refused = fill(service)

            held(service, stands, refused, ballast.unlink)
        finally:
            service.kill()
            server.end()


def test_a_lost_database_is_503_and_nothing_is_lost(postgres, tmp_path):
    """While PostgreSQL is down callers are told to try again; when it is back all goes on."""
    postgres.empty()
    service = Running(tmp_path, postgres.url(), postgres.rows)
    service.start()
    try:
        assert service.put("Patient/rosa", {}).status_code == 201
        postgres.stop()
        try:
            refused = [service.put("Patient/rosa", {"active": True}), service.put("Patient/b", {})]
            asked = httpx2.get(f"{service.base}/Patient/rosa")
            health = httpx2.get(f"http://127.0.0.1:{service.port}/health/ready")
            alive = httpx2.get(f"http://127.0.0.1:{service.port}/health/live")
        finally:
            postgres.start()

        for answer in (*refused, asked, health):
            assert answer.status_code == 503
            assert answer.json()["issue"][0]["code"] == "transient"
        assert alive.status_code == 200
        assert httpx2.get(f"{service.base}/Patient/rosa").json()["meta"]["versionId"] == "1"
        assert httpx2.get(f"{service.base}/Patient/b").status_code == 404
        assert service.put("Patient/rosa", {"gender": "other"}).status_code == 200
    finally:
        service.kill()
