"""kill -9 in the middle of writes: what was answered is there, what was not is not there in part."""

import itertools
import json
import random
import threading
import time
from collections import Counter

import httpx2
import pytest
from running import FHIR, SOAK
from serving import client

KILLS = 100 if SOAK else 2  # on each database
PARTS = 3


class Writer(threading.Thread):
    """Sends updates and transactions, one after the other, and keeps what was acknowledged."""

    def __init__(self, service, number):
        super().__init__()
        self.service, self.number = service, number
        self.newest, self.whole = {}, []
        self.sent = itertools.count(1)
        self.ended = threading.Event()

    def run(self):
        with client(timeout=10) as http:
            while not self.ended.is_set():
                try:
                    self.write(http, next(self.sent))
                except httpx2.HTTPError:
                    time.sleep(0.05)

    def write(self, http, number):
        name = f"w{self.number}-{number % 5}"
        if self.service.put(
            f"Patient/{name}", {"name": [{"family": str(number)}]}, http
        ).is_success:
            self.newest[name] = number
        mark = f"t{self.number}-{number}"
        entries = [
            {
                "request": {"method": "PUT", "url": f"Basic/{mark}-{part}"},
                "resource": {
                    "resourceType": "Basic",
                    "id": f"{mark}-{part}",
                    "code": {"text": "x"},
                },
            }
            for part in range(PARTS)
        ]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        if http.post(self.service.base, content=json.dumps(bundle), headers=FHIR).is_success:
            self.whole.append(mark)


@pytest.mark.parametrize("kills", [KILLS])
def test_what_was_answered_outlives_a_kill(service, kills):
    """Killed again and again: each 2xx stands after the restart, no transaction stands in part."""
    service.start()
    chance = random.Random(11)
    writers = [Writer(service, number) for number in range(4)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(kills):
            before = sum(len(writer.whole) for writer in writers)
            until = time.monotonic() + 20
            while (
                sum(len(writer.whole) for writer in writers) < before + 4
                and time.monotonic() < until
            ):
                time.sleep(0.02)
            time.sleep(chance.uniform(0, 0.1))
            service.kill()
            service.start()
    finally:
        for writer in writers:
            writer.ended.set()
        for writer in writers:
            writer.join()

    newest = {name: number for writer in writers for name, number in writer.newest.items()}
    whole = {mark for writer in writers for mark in writer.whole}
    assert len(whole) >= 4 * kills
    for name, number in newest.items():
        stands = httpx2.get(f"{service.base}/Patient/{name}").json()
        assert int(stands["name"][0]["family"]) >= number
    found = Counter(
        identity.rpartition("-")[0]
        for (identity,) in service.rows("SELECT id FROM resource WHERE type = 'Basic'")
    )
    assert set(found.values()) == {PARTS}
    assert whole <= set(found)
    assert service.holes() == []
