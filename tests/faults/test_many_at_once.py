"""Many who want the same at once: nothing is lost unseen, nobody waits for ever."""

import itertools
import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from running import FHIR, SOAK
from serving import client

EACH = 60 if SOAK else 8  # updates of each writer
CLIENTS = 200


def at_once(number, work):
    """The work of so many threads, begun together."""
    gate = threading.Barrier(number)

    def begin(which):
        with client(timeout=60) as http:
            gate.wait()
            return work(which, http)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(begin, range(number)))


def test_with_if_match_no_update_is_lost(service):
    """Eight writers each count up what they have read: the sum is right, each loser is told so."""
    service.start()
    service.put("Basic/counter", {"code": {"text": "0"}})
    url = f"{service.base}/Basic/counter"

    def count(_, http):
        said = Counter()
        while said[200] < EACH:
            read = http.get(url)
            stands = read.json()
            stands["code"]["text"] = str(int(stands["code"]["text"]) + 1)
            guard = FHIR | {"If-Match": read.headers["etag"]}
            said[http.put(url, content=json.dumps(stands), headers=guard).status_code] += 1
        return said

    said = sum(at_once(8, count), Counter())

    assert set(said) <= {200, 412}
    assert said[412] > 0
    stands = httpx2.get(url).json()
    assert (stands["code"]["text"], stands["meta"]["versionId"]) == (
        str(8 * EACH),
        str(8 * EACH + 1),
    )
    history = httpx2.get(f"{url}/_history?_count=1000").json()["entry"]
    assert [one["resource"]["code"]["text"] for one in history] == [
        str(number) for number in range(8 * EACH, -1, -1)
    ]


def test_without_if_match_history_has_each(service):
    """Eight writers over one resource: each is taken, and is a version, to the last."""
    service.start()
    service.put("Basic/shared", {"code": {"text": "start"}})

    def write(which, http):
        sent = [f"{which}-{number}" for number in range(EACH)]
        return [
            (text, service.put("Basic/shared", {"code": {"text": text}}, http).status_code)
            for text in sent
        ]

    answers = list(itertools.chain.from_iterable(at_once(8, write)))

    assert {status for _, status in answers} == {200}
    taken = {text for text, _ in answers}
    history = httpx2.get(f"{service.base}/Basic/shared/_history?_count=1000").json()["entry"]
    assert {one["resource"]["code"]["text"] for one in history} == taken | {"start"}
    assert len(history) == len(taken) + 1


@pytest.mark.parametrize("rounds", [20 if SOAK else 1])
def test_two_hundred_clients_at_once(service, rounds):
    """Read, create, update, transactions that cross each other, history: no 5xx, no deadlock."""
    service.start()
    for number in range(4):
        service.put(f"Patient/p{number}", {})

    def entry(name):
        resource = {"resourceType": "Patient", "id": name, "active": True}
        return {"request": {"method": "PUT", "url": f"Patient/{name}"}, "resource": resource}

    def work(which, http):
        said = Counter()
        order = [f"p{number}" for number in range(4)]
        crossing = [entry(name) for name in (order if which % 2 else order[::-1])]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": crossing}
        child = json.dumps(
            {
                "resourceType": "Patient",
                "identifier": [{"system": "urn:x", "value": str(which % 7)}],
            }
        )
        once = FHIR | {"If-None-Exist": f"identifier=urn:x|{which % 7}"}
        for number in range(rounds):
            named = {"name": [{"family": f"{which}-{number}"}]}
            for answer in (
                http.get(f"{service.base}/Patient/p{which % 4}"),
                http.post(f"{service.base}/Patient", content=child, headers=once),
                service.put(f"Patient/p{which % 4}", named, http),
                http.post(service.base, content=json.dumps(bundle), headers=FHIR),
                http.get(f"{service.base}/_history?_count=5"),
            ):
                said[answer.status_code] += 1
        return said

    said = sum(at_once(CLIENTS, work), Counter())

    assert set(said) <= {200, 201, 409}, said
    assert said.total() == CLIENTS * rounds * 5
    assert service.rows("SELECT count(*) FROM resource WHERE type = 'Patient'") == [(4 + 7,)]
    assert service.holes() == []
