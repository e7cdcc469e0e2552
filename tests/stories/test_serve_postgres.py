"""The service on PostgreSQL as its operator meets it: killed, its database gone, several of it at once."""

import asyncio
import json
import signal
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import pytest
from serving import client, free_port, ready, start

from app.storage import connection, outbox
from app.storage.database import QUEUE

FHIR = {"Content-Type": "application/fhir+json"}
WAIT_SECONDS = 30
OWED = "shelf, order_key, versions, state, owed_at, due, leased_until, attempts"


@pytest.fixture
def serve(postgres, tmp_path):
    """Start a service on the test's database; whatever still runs at the end is killed."""
    postgres.empty()
    started = []

    def begin(*arguments, port=None):
        port = port or free_port()
        started.append(
            start(tmp_path, "--port", str(port), "--database", postgres.url(), *arguments)
        )
        base = f"http://127.0.0.1:{port}"
        ready(base)
        return started[-1], base

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def put(base, identity, version, http=httpx2):
    body = {"resourceType": "Patient", "id": identity, "name": [{"family": f"v{version}"}]}
    url = f"{base}/clinic/chart/fhir/Patient/{identity}"
    return http.put(url, content=json.dumps(body), headers=FHIR, timeout=10)


def owe(postgres, shelf, versions):
    row = f"VALUES ('{shelf}', 'o', '{versions}', 'owed', 0, 0, 0, 0)"
    postgres.do("kinbridge", f"INSERT INTO outbox ({OWED}) {row}")


def wait(seen):
    until = time.monotonic() + WAIT_SECONDS
    while not seen() and time.monotonic() < until:
        time.sleep(0.05)
    assert seen()


def test_eight_writers_on_one_resource_lose_nothing_unseen(postgres, serve):
    """Two processes, eight writers, one resource: each update is a version, none is a 5xx."""
    bases = [serve()[1] for _ in range(2)]
    put(bases[0], "rosa", 0)
    answers = []

    def write(worker):
        with client() as http:
            answers.extend(
                put(bases[worker % 2], "rosa", worker * 100 + number + 1, http).status_code
                for number in range(10)
            )

    writers = [threading.Thread(target=write, args=(worker,)) for worker in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    stands = postgres.rows("SELECT version FROM resource WHERE id = 'rosa'")[0][0]
    assert set(answers) <= {200, 409}
    assert stands == 1 + answers.count(200)
    assert len(postgres.rows("SELECT * FROM version WHERE id = 'rosa'")) == stands - 1


def test_two_workers_do_not_push_the_same_at_once(postgres):
    """What one worker has claimed, no other claims, and of one referral only the oldest push is due."""
    postgres.empty()
    postgres.do(
        "kinbridge",
        """INSERT INTO outbox (shelf, order_key, versions, state, owed_at, due, leased_until, attempts)
        SELECT 'agency/support', 'order-' || n % 20, '{}', 'owed', n, n, 0, 0
        FROM generate_series(1, 40) n""",
    )

    async def claims():
        workers = [connection.connect(postgres.url()) for _ in range(4)]

        async def claim(worker):
            room = {"most": 4, "each": 4, "busy": Counter()}
            return await worker.write(
                lambda tx: outbox.claim(tx, now=1000.0, lease_seconds=30.0, **room), shelves=QUEUE
            )

        found = [
            due
            for _ in range(3)
            for one in await asyncio.gather(*map(claim, workers))
            for due in one
        ]
        for worker in workers:
            await worker.close()
        return found

    found = asyncio.run(claims())

    assert sorted(due.id for due in found) == list(range(1, 21))


def test_web_and_worker_run_apart(postgres, serve, tmp_path):
    """What a service without a worker owes, a worker without a service takes up, until it is told to stop."""
    postgres.empty()
    serve("--no-worker")
    owe(postgres, "agency/support", "{}")

    worker = start(tmp_path, "--database", postgres.url(), command="work")
    tried = "SELECT status, codes FROM attempt"
    wait(lambda: postgres.rows(tried))
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=WAIT_SECONDS)

    assert postgres.rows(tried) == [(0, "no-endpoint")]
    assert worker.returncode == 0


class Slow(ThreadingHTTPServer):
    """A partner that answers what it gets when it may."""

    def __init__(self):
        self.got, self.may_answer = [], threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler):  # noqa: N805
                self.got.append(handler.rfile.read(int(handler.headers["Content-Length"])))
                self.may_answer.wait(WAIT_SECONDS)
                handler.send_response(200)
                handler.send_header("Content-Length", "0")
                handler.end_headers()

            def log_message(handler, *_):  # noqa: N805
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


def test_who_loses_the_database_while_it_pushes_is_taken_for_dead_by_nobody(
    postgres, serve, tmp_path
):
    """A machine hangs in the middle of a push and its connections are cut: nobody begins it beside it."""
    partner = Slow()
    endpoint = f'endpoint = {{ url = "http://127.0.0.1:{partner.server_port}" }}'
    (tmp_path / "kinbridge.toml").write_text(f"""
        [[tenants]]
        id = "agency"
        name = "A"
        shelves = [
          {{ id = "support", kind = "family-support", role = "recipient" }},
          {{ id = "intake", kind = "cps-report", role = "recipient", {endpoint} }},
        ]""")
    begun = ("--config", "kinbridge.toml")
    hung, base = serve(*begun)
    task = {"resourceType": "Task", "id": "t", "status": "requested", "intent": "order"}
    put = httpx2.put(f"{base}/agency/intake/fhir/Task/t", content=json.dumps(task), headers=FHIR)
    assert put.status_code == 201
    owe(postgres, "agency/intake", '{"Task/t": 1}')
    wait(lambda: partner.got)

    hung.send_signal(signal.SIGSTOP)
    postgres.do(
        "kinbridge",
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'service'",
    )
    owe(postgres, "agency/support", "{}")
    serve(*begun)
    tried = "SELECT status, codes FROM attempt ORDER BY status"
    wait(lambda: (0, "no-endpoint") in postgres.rows(tried))  # it has looked for what is due
    hung.send_signal(signal.SIGCONT)
    wait(lambda: httpx2.get(f"{base}/health/ready").status_code == 200)  # it is connected again
    partner.may_answer.set()
    wait(lambda: len(postgres.rows(tried)) > 1)
    partner.shutdown()

    assert postgres.rows(tried) == [(0, "no-endpoint"), (200, "")]
    assert len(partner.got) == 1
