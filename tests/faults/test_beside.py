"""A probe is answered beside whatever somebody sends: one request does not stop all others."""

import json
import threading
import time

import pytest
from running import FHIR
from serving import client

# Alone on a machine it is a tenth; on the loop each of these took 2 to 19 seconds.
MOST_SECONDS = 1.0


class Probe(threading.Thread):
    """Asks whether the service lives, again and again; how long it waited at most."""

    def __init__(self, origin):
        super().__init__()
        self.url = f"{origin}/health/live"
        self.ended = threading.Event()
        self.worst_seconds = 0.0

    def run(self):
        with client(timeout=60) as http:
            while not self.ended.wait(0.01):
                begun = time.monotonic()
                http.get(self.url)
                self.worst_seconds = max(self.worst_seconds, time.monotonic() - begun)


def names():
    each = [{"family": f"Exámple{at}", "given": ["Rosa Maria"]} for at in range(90_000)]
    return "POST", "Patient", {"resourceType": "Patient", "name": each}


def identifiers():
    each = [{"system": "urn:m", "value": f"{at}"} for at in range(190_000)]
    return "PUT", "Patient/p", {"resourceType": "Patient", "id": "p", "identifier": each}


def pointers():
    return "PATCH", "Patient/p", [{"op": "test", "path": "/a" * 4_000_000, "value": 1}]


def components():
    one = {"code": {"text": "x"}, "valueInteger": 1}
    return "POST", "Observation", {
        "resourceType": "Observation", "status": "final", "code": {"text": "x"},
        "component": [one] * 140_000,
    }  # fmt: skip


def small_ones():
    made = {"resourceType": "Basic", "code": {"text": "x"}}
    entry = {"resource": made, "request": {"method": "POST", "url": "Basic"}}
    return "POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": [entry] * 20_000}


def deletions():
    entries = [{"request": {"method": "DELETE", "url": f"Basic/{at}"}} for at in range(10_000)]
    return "POST", "", {"resourceType": "Bundle", "type": "batch", "entry": entries}


def patterns():
    path = "Patient.contact.where(name.family.matches('(x+x+)+y'))"
    part = [{"name": "type", "valueCode": "delete"}, {"name": "path", "valueString": path}]
    operations = [{"name": "operation", "part": part}] * 20
    return "PATCH", "Patient/p", {"resourceType": "Parameters", "parameter": operations}


@pytest.mark.parametrize(
    "asked",
    [names, identifiers, components, small_ones, deletions, patterns, pointers],
)
def test_the_probe_is_answered_beside_it(service, asked):
    """Whoever looks whether the service lives finds that it does."""
    service.start()
    origin = service.base.partition("/clinic")[0]
    method, path, body = asked()
    probe = Probe(origin)
    with client(timeout=120) as http:
        service.put("Patient/p", {"contact": [{"name": {"family": "x" * 200}}] * 100}, http)
        probe.start()
        try:
            answer = http.request(
                method, f"{service.base}/{path}", content=json.dumps(body), headers=FHIR
            )
        finally:
            probe.ended.set()
            probe.join()

    assert answer.status_code in {200, 201, 400, 422}, answer.text[:300]
    print(f"{probe.worst_seconds * 1000:.0f} ms")
    assert probe.worst_seconds < MOST_SECONDS
