"""A shelf of many Tasks and what hangs on them, multiplied by the database itself from a few that were indexed."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import anyio
import asyncpg
import bodies

from app import fhir
from app.fhir import Resource
from app.storage import index
from app.storage.parameters import Parameters

SHELF: Final = "clinic/chart"
OWNED: Final = 1000  # open Tasks of the large owner, and as many that are done
OWNERS: Final = 500  # all others are spread over these
DONE: Final = ("completed", "cancelled", "rejected", "failed")
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
FIELDS: Final = ("id", "number", "owner", "child", "status", "at")
_MARK: Final = {name: f"@{name}@" for name in FIELDS}
# More memory than a service takes: the generator is no part of what is measured.
_SQLITE: Final = (
    "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-262144;"
    "PRAGMA temp_store=FILE;"
)


def _task() -> Resource:
    text = json.dumps(bodies.task(status=_MARK["status"]))
    return json.loads(  # type: ignore[no-any-return]
        text.replace(bodies.NUMBER, _MARK["number"])
        .replace("Organization/agency-3", f"Organization/{_MARK['owner']}")
        .replace("Patient/child-4", f"Patient/{_MARK['child']}")
        .replace("ServiceRequest/order-17", f"ServiceRequest/order-{_MARK['child']}")
    )


def _order() -> Resource:
    return {
        "resourceType": "ServiceRequest", "status": "active", "intent": "order",
        "code": {"text": "Food assistance"}, "authoredOn": "2026-01-05T10:00:00Z",
        "subject": {"reference": f"Patient/{_MARK['child']}"},
        "requester": {"reference": "PractitionerRole/doctor-1"},
    }  # fmt: skip


def _patient() -> Resource:
    return {
        "resourceType": "Patient", "gender": "female", "birthDate": "2020-01-05",
        "identifier": [{"system": "https://bench.example.org/mrn", "value": _MARK["child"]}],
        "name": [{"family": "Rivera", "given": ["Luz", _MARK["child"]]}],
    }  # fmt: skip


def _consent() -> Resource:
    return {
        "resourceType": "Consent", "status": "active",
        "patient": {"reference": f"Patient/{_MARK['child']}"},
        "scope": {"text": "Privacy"}, "category": [{"text": "Disclosure"}],
        "policyRule": {"text": "The family agreed to this agency."},
    }  # fmt: skip


def _procedure() -> Resource:
    return {
        "resourceType": "Procedure", "status": "completed", "code": {"text": "Food given"},
        "subject": {"reference": f"Patient/{_MARK['child']}"},
    }  # fmt: skip


def _organization() -> Resource:
    return {
        "resourceType": "Organization", "name": f"Agency {_MARK['owner']}", "active": True,
        "telecom": [{"system": "phone", "value": "+1-555-0142"}],
    }  # fmt: skip


# (resource, its id, the field of the seeds of which there is one for each value)
_MADE: Final[tuple[tuple[Resource, str, str], ...]] = (
    (_task(), _MARK["id"], "id"),
    (_patient(), _MARK["child"], "child"),
    (_order(), f"order-{_MARK['child']}", "child"),
    (_consent(), f"consent-{_MARK['child']}", "child"),
    (_procedure(), f"done-{_MARK['child']}", "child"),
    (_organization(), _MARK["owner"], "owner"),
)


def seeds(count: int) -> Iterator[tuple[str, ...]]:
    """The fields of each Task; the large owner's stand evenly among the others."""
    chance = random.Random(7)  # noqa: S311 — the same shelf each time
    every = max(count // (2 * OWNED), 1)
    large = 0
    for number in range(count):
        at = fhir.instant(START + timedelta(seconds=number))
        child = f"child-{number % max(count // 20, 1)}"
        if number % every == 0 and large < 2 * OWNED:
            large += 1
            owner, status = "large", "requested" if large % 2 else "completed"
        else:
            owner = f"o{chance.randrange(OWNERS)}"
            status = chance.choice(("requested", "accepted", "in-progress", *DONE))
        yield f"t{number:08}", f"n{number}", owner, child, status, at


def fill_sqlite(path: Path, parameters: Parameters, count: int) -> None:
    """A migrated file that nobody else has open."""
    with closing(sqlite3.connect(path, isolation_level=None)) as opened:
        opened.executescript(_SQLITE)
        opened.execute(f"CREATE TEMP TABLE seed ({', '.join(f'{one} TEXT' for one in FIELDS)})")
        opened.execute("BEGIN")
        opened.executemany("INSERT INTO seed VALUES (?, ?, ?, ?, ?, ?)", seeds(count))
        for statement in _statements(parameters, blob="CAST({} AS BLOB)"):
            opened.execute(statement)
        opened.execute("COMMIT")


def fill_postgres(url: str, parameters: Parameters, count: int) -> None:
    """
    As a server is once autovacuum has been there.

    url         of a role that row-level security does not hold
    """

    async def run() -> None:
        opened = await asyncpg.connect(url)
        try:
            await opened.execute("SET work_mem = '256MB'; SET synchronous_commit = off")
            columns = ", ".join(f'{one} text COLLATE "C"' for one in FIELDS)
            await opened.execute(f"CREATE TEMP TABLE seed ({columns})")
            await opened.copy_records_to_table("seed", records=seeds(count))
            for statement in _statements(parameters, blob="convert_to({}, 'UTF8')"):
                await opened.execute(statement)
            await opened.execute("VACUUM ANALYZE resource")
            await opened.execute("VACUUM ANALYZE posting")
            await opened.execute("CHECKPOINT")
        finally:
            await opened.close()

    anyio.run(run)


def _statements(parameters: Parameters, *, blob: str) -> Iterator[str]:
    """What makes the rows of a search's two tables, sorted: so a tree is appended to."""
    posted: list[str] = []
    for resource, identity, field in _MADE:
        kind = resource["resourceType"]
        meta = {"versionId": "1", "lastUpdated": _MARK["at"], **resource.get("meta", {})}
        whole = {"resourceType": kind, "id": identity, **resource, "meta": meta}
        facts, body = index.facts(parameters, whole), fhir.encode(whole).decode()
        each = f"(SELECT {field}, min(at) AS at FROM seed GROUP BY {field}) AS each"
        source = "seed" if field == "id" else each
        made = [_quoted(SHELF), _quoted(kind), _filled(identity), "1", "at", "'POST'", "''"]
        made += [_filled(facts), blob.format(_filled(body))]
        columns = "shelf, type, id, version, updated, method, exchange, facts, body"
        yield f"INSERT INTO resource ({columns}) SELECT {', '.join(made)} FROM {source} ORDER BY 3"
        posted += [
            f"SELECT {_filled(term)}, {_filled(when)}, {_filled(named)}, {_filled(qualifier)} FROM {source}"
            for _, term, when, named, qualifier in index.moved(
                SHELF, kind, identity, ("", ""), (_MARK["at"], facts)
            )[1]
        ]
    yield (
        "INSERT INTO posting (shelf, term, updated, id, qualifier)"
        f" SELECT {_quoted(SHELF)}, every.* FROM ({' UNION ALL '.join(posted)}) AS every"
        " ORDER BY 2, 3, 4, 5"
    )


def _filled(template: str) -> str:
    """SQL that writes a seed's fields into a template."""
    made = _quoted(template)
    for name, mark in _MARK.items():
        if mark in template:
            made = f"replace({made}, '{mark}', {name})"
    return made


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
