"""
What a screening of 21 answers costs: in by HTTP, mapped, each resource checked, stored with its index.

    python benchmarks/screening.py [--count 300] [--tries 3]

CPU of the server's process for each request, on SQLite, and on PostgreSQL with the database's.
Beside it where the time goes, measured in this process, and the bare storing of the same rows.
The bound is HAPI's 71.5 ms for a transaction of 30 (../shared/peers): a tenth, and a fifth.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import processes
from msgspec.structs import replace

from app import conformance, fhir, settings
from app.domain import mappings, planner
from app.domain.case import Case
from app.domain.change import Caller, Change, Entry
from app.domain.loaded import Loaded, NotLoaded, Want
from app.domain.plan import Answer, Plan, Stored
from app.storage import commits, connection, index, migration
from app.storage.parameters import Parameters
from app.storage.query import Reader

HAPI_MS = 71.5
SUBMIT = "/clinic/chart/fhir/$submit-screening"


def form(number: int, known: mappings.Mappings) -> dict[str, Any]:
    """PRAPARE, each question answered once, as the guide's form nests them."""
    instrument = known.forms.by_id["prapare"]
    items = []
    for question in instrument.questions:
        if question.type == "choice":
            first = question.answers[0]
            answer: dict[str, Any] = {"valueCoding": {"system": first.system, "code": first.code}}
        else:
            kinds = {"integer": {"valueInteger": 4}, "decimal": {"valueDecimal": 25000}}
            answer = kinds.get(question.type, {"valueString": "12 Sample Street"})
        items.append({"linkId": f"/93025-5/{question.code}", "answer": [answer]})
    return {
        "resourceType": "QuestionnaireResponse",
        "identifier": {"system": "urn:bench", "value": f"{time.time_ns()}-{number}"},
        "questionnaire": instrument.canonicals[1],
        "status": "completed",
        "subject": {"reference": "Patient/p"},
        "authored": "2026-11-23T09:15:00Z",
        "item": [{"linkId": "/93025-5", "item": items}],
    }


def called(port: int, method: str, path: str, body: Any) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(
        method, path, json.dumps(body).encode(), {"Content-Type": "application/fhir+json"}
    )
    answer = connection.getresponse()
    read = answer.read()
    connection.close()
    if answer.status >= 300:
        raise SystemExit(f"{answer.status} {read[:300]!r}")
    return read


def served(port: int, pids: list[int], known: mappings.Mappings, count: int) -> float:
    """Milliseconds of CPU for each request, of all these processes."""
    forms = [json.dumps(form(number, known)).encode() for number in range(count)]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    begun = sum(map(processes.cpu, pids))
    for body in forms:
        connection.request("POST", SUBMIT, body, {"Content-Type": "application/fhir+json"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(answer.status)
    spent = sum(map(processes.cpu, pids)) - begun
    connection.close()
    return spent / count * 1000


def best(work: Callable[[], Any], *, times: int = 100, tries: int = 5) -> float:
    """Milliseconds of CPU."""
    work()
    found = []
    for _ in range(tries):
        begun = time.process_time()
        for _ in range(times):
            work()
        found.append((time.process_time() - begun) / times * 1000)
    return min(found)


def planned(case: Case) -> Plan:
    """The plan of a case on a shelf that has the patient and nothing else."""
    step: Callable[[Case], Any] = planner.arrived
    while True:
        try:
            made = step(case)
        except NotLoaded as asked:
            case.loaded.seen.update({want: _look(want) for want in asked.wants})
            continue
        if step is planner.plan:
            return made
        case, step = made, planner.plan


def _look(want: Want) -> Any:
    if want.key == "Patient/p":
        return Stored({"resourceType": "Patient", "id": "p"}, 1)
    return {"waiting": (), "search": [], "awaiting": []}.get(want.kind)


def parts() -> dict[str, float]:
    """Where the time goes, each part alone, in milliseconds of CPU; storage as on SQLite."""
    definitions = conformance.load()
    known = mappings.load(settings.folder("mappings"), definitions)
    configured = settings.Settings()
    raw = fhir.encode(form(0, known))
    response = fhir.decode(raw)
    change = Change(
        configured.shelves["clinic/chart"], Caller("bench"), "submit-screening",
        (Entry("POST", response),), "http://127.0.0.1", "nonce",
    )  # fmt: skip

    def case() -> Case:
        return Case(change=change, loaded=Loaded(), settings=configured, mappings=known,
                    definitions=definitions, key=b"k" * 32, now=datetime.now(UTC))  # fmt: skip

    plan = planned(case())
    now = datetime.now(UTC)
    parameters = Parameters(definitions)
    made = [put.resource for put in plan.puts if put.held]
    halves = known.templates.halves

    def indexed() -> None:
        for put in plan.puts:
            key = (put.shelf, put.resource["resourceType"], "x")
            facts = index.facts(parameters, put.resource)
            index.moved(*key, ("", ""), ("2026-11-23", facts))

    checked = best(lambda: list(halves.faults(made, definitions, now=now)))
    rows = best(indexed)
    encoded = best(lambda: [fhir.encode(put.resource) for put in plan.puts])
    stored = asyncio.run(bare(plan, Reader(parameters, change.base, now)))
    print(
        f"\n{len(plan.puts)} resources stored, {len(made)} of them made and held to their profiles"
    )
    return {
        "decode the form, look at its shape": best(lambda: definitions.shape(fhir.decode(raw))),
        "read, map and plan": best(lambda: planned(case())) - checked,
        "check of each resource that is made": checked,
        "index rows of each": rows,
        "encode each": encoded,
        "SQL of the same rows": stored - rows - encoded,
    }


async def bare(plan: Plan, reader: Any, count: int = 200) -> float:
    """The commit of the same puts with other ids, by the storage alone."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'bare.db'}"
        await migration.check(url)
        opened = connection.connect(url)
        begun = time.process_time()
        for number in range(count):
            puts = tuple(
                replace(put, resource={**put.resource, "id": f"{put.resource['id']}-{number}"})
                for put in plan.puts
            )
            one = Plan(Answer(()), puts)

            async def work(tx: Any, one: Plan = one) -> Any:
                made = commits.Made(one, reader, {}, "2026-11-23T09:15:00.000Z", 0.0)
                return await commits.commit(tx, [made])

            await opened.write(work, shelves=("clinic/chart",))
        spent = (time.process_time() - begun) / count * 1000
        await opened.close()
    return spent


def main(count: int, tries: int) -> None:
    known = mappings.load(settings.folder("mappings"))
    patient = {"resourceType": "Patient", "id": "p"}
    with tempfile.TemporaryDirectory() as folder:
        with processes.kinbridge(f"sqlite:///{Path(folder) / 'bench.db'}") as (port, pid):
            called(port, "PUT", "/clinic/chart/fhir/Patient/p", patient)
            served(port, [pid], known, 50)
            alone = min(served(port, [pid], known, count) for _ in range(tries))
        bound = HAPI_MS / 10
        print(f"SQLite       {alone:6.2f} ms of CPU a request, bound {bound:.2f}")
    with processes.postgres() as server:
        with processes.kinbridge(server.url()) as (port, pid):
            called(port, "PUT", "/clinic/chart/fhir/Patient/p", patient)
            pids = [pid, server.pid]
            served(port, pids, known, 50)
            found = min(served(port, pids, known, count) for _ in range(tries))
        bound = HAPI_MS / 5
        print(
            f"PostgreSQL   {found:6.2f} ms of CPU a request, the database's in it, bound {bound:.2f}"
        )
    spent = parts()
    rest = alone - sum(spent.values())
    for name, took in {**spent, "the rest: HTTP, reads, the answer, the log": rest}.items():
        print(f"  {name:44} {took:7.3f} ms {took / alone:6.0%}")
    bare_rows = sum(list(spent.values())[3:])
    print(f"  {'bare storing of the same rows':44} {bare_rows:7.3f} ms {bare_rows / alone:6.0%}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--tries", type=int, default=3)
    asked = parser.parse_args()
    main(asked.count, asked.tries)
