"""A FHIR server as a partner might have one: SQLite of its own, and no code of the service's."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request, Response
from fhir.resources.R4B import get_fhir_model_class

Resource = dict[str, Any]
Act = Callable[[Resource], Resource]

_MEDIA: Final = "application/fhir+json"


class Store:
    """Resources by type and id, in one table; every write is one transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(self._open()) as database, database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS resource"
                " (type TEXT, id TEXT, version INTEGER, body TEXT, PRIMARY KEY (type, id))"
            )

    def read(self, kind: str, identity: str) -> Resource | None:
        with closing(self._open()) as database:
            row = database.execute(
                "SELECT body FROM resource WHERE type = ? AND id = ?", (kind, identity)
            ).fetchone()
        return json.loads(row[0]) if row else None

    def search(self, kind: str, query: str) -> list[Resource]:
        """Those that meet every parameter; tokens only: identifier, _tag, status."""
        with closing(self._open()) as database:
            rows = database.execute("SELECT body FROM resource WHERE type = ?", (kind,)).fetchall()
        found = [json.loads(row[0]) for row in rows]
        return [one for one in found if all(_meets(one, *pair) for pair in parse_qsl(query))]

    def put(self, resource: Resource) -> None:
        """What the party's own people write, under its id."""
        url = f"{resource['resourceType']}/{resource['id']}"
        self.write([{"request": {"method": "PUT", "url": url}, "resource": resource}])

    def write(self, entries: list[Resource]) -> list[Resource]:
        """
        Everything or nothing: each PUT or POST of a transaction Bundle.

        A conditional url updates what meets it, and creates where nothing does; what meets ifNoneExist
        stays as it is.
        """
        placed = [self._place(one["request"], one["resource"]) for one in entries]
        names = {
            one.get("fullUrl", ""): f"{made['resourceType']}/{made['id']}"
            for one, made in zip(entries, placed, strict=True)
        }
        with closing(self._open()) as database, database:
            for asked, one in zip(entries, placed, strict=True):
                if asked["request"]["method"] == "POST" and "versionId" in one.get("meta", {}):
                    continue  # it stands already; what is pushed has no version
                _rewrite(one, names)
                row = database.execute(
                    "SELECT version FROM resource WHERE type = ? AND id = ?",
                    (one["resourceType"], one["id"]),
                ).fetchone()
                version = row[0] + 1 if row else 1
                one["meta"] = {**one.get("meta", {}), "versionId": str(version)}
                database.execute(
                    "INSERT OR REPLACE INTO resource VALUES (?, ?, ?, ?)",
                    (one["resourceType"], one["id"], version, json.dumps(one)),
                )
        return placed

    def _place(self, request: Resource, resource: Resource) -> Resource:
        """The resource under its id; of ifNoneExist what stands already, if it does."""
        path, _, query = request["url"].partition("?")
        kind, _, identity = path.partition("/")
        query = request.get("ifNoneExist", query)
        met = self.search(kind, query) if query else []
        if met and request["method"] == "POST":
            return met[0]
        return {**resource, "id": met[0]["id"] if met else identity or uuid.uuid4().hex}

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=10)


def _meets(resource: Resource, name: str, value: str) -> bool:
    system, bar, code = value.rpartition("|")
    if name == "status":
        return bool(resource.get("status") == value)
    if name == "identifier":
        tokens = resource.get("identifier", [])
        tokens = [(one.get("system", ""), one.get("value")) for one in _listed(tokens)]
    elif name == "_tag":
        tags = resource.get("meta", {}).get("tag", [])
        tokens = [(one.get("system", ""), one.get("code")) for one in tags]
    else:
        return False
    return any(token[1] == code and (not bar or token[0] == system) for token in tokens)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _rewrite(node: Any, names: dict[str, str]) -> None:
    if isinstance(node, dict):
        if isinstance(node.get("reference"), str) and node["reference"] in names:
            node["reference"] = names[node["reference"]]
        for child in node.values():
            _rewrite(child, names)
    elif isinstance(node, list):
        for child in node:
            _rewrite(child, names)


def build(store: Store, acts: dict[str, Act]) -> FastAPI:
    """
    The FHIR base at /fhir, and what a person at this party does at /acts/{name}.

    Whatever is written is parsed with fhir.resources first: a second opinion on what is sent.
    """
    app = FastAPI(docs_url=None, redoc_url=None)

    def fhir_json(resource: Resource, status: int = 200) -> Response:
        return Response(json.dumps(resource), status, media_type=_MEDIA)

    @app.get("/fhir/metadata")
    def metadata() -> Response:
        return fhir_json({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1",
                          "status": "active", "kind": "instance", "date": "2026-11-23",
                          "format": ["json"], "rest": [{"mode": "server"}]})  # fmt: skip

    @app.get("/fhir/{kind}")
    def search(kind: str, request: Request) -> Response:
        entries = [{"resource": one} for one in store.search(kind, request.url.query)]
        bundle = {"resourceType": "Bundle", "type": "searchset", "total": len(entries)}
        return fhir_json({**bundle, "entry": entries} if entries else bundle)

    @app.get("/fhir/{kind}/{identity}")
    def read(kind: str, identity: str) -> Response:
        found = store.read(kind, identity)
        return fhir_json(found) if found else Response(status_code=404)

    @app.post("/fhir")
    async def transaction(request: Request) -> Response:
        bundle = await request.json()
        for one in bundle["entry"]:
            kind = get_fhir_model_class(one["resource"]["resourceType"])
            kind.model_validate(one["resource"])
        made = store.write(bundle["entry"])
        answers = [{"response": {"status": "200"}, "resource": one} for one in made]
        return fhir_json(
            {"resourceType": "Bundle", "type": "transaction-response", "entry": answers}
        )

    @app.post("/acts/{name}")
    def act(name: str, wanted: Resource) -> Resource:
        return acts[name](wanted)

    return app
