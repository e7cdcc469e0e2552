"""The service that the model of whole days lives in: on a file, or as two processes on one PostgreSQL."""

from datetime import timedelta
from functools import partial

import httpx2
import loaded
from days_world import tenants
from exchange import Exchange, Late, sqlite_rows
from starlette.testclient import TestClient

from app import settings
from app.flows.deliver import Worker
from app.main import build
from app.partners import Partners
from app.storage.tables import METADATA


class House:
    """
    Processes that can be started anew; who calls comes to any of them.

    behind      for each process by how much its clock is
    """

    def __init__(self, url, rows, folder, wire, behind, **stand_ins):
        self.wire, self.behind, self.processes, self.stand_ins = wire, behind, [], stand_ins
        self.settings = settings.read(
            database_url=url, public_url="https://exchange.localhost", max_body_bytes=200_000,
            retry_first_seconds=0.01, retry_longest_seconds=0.02, retry_give_up_seconds=3e8,
            tenants=tenants(),
        )  # fmt: skip
        self.exchange = Exchange(None, wire, folder, url, rows, tenants())
        self.exchange.set_back = any(behind)

    @classmethod
    def on_file(cls, file, wire, **stand_ins):
        rows = partial(sqlite_rows, file)
        return cls(f"sqlite:///{file}", rows, file.parent, wire, [timedelta(0)], **stand_ins)

    @classmethod
    def on_postgres(cls, server, folder, wire, **stand_ins):
        server.empty()
        behind = [timedelta(0), timedelta(hours=1)]
        return cls(server.url(), server.rows, folder, wire, behind, **stand_ins)

    def restart(self):
        self.end()
        self.processes = [self._started(by) for by in self.behind]
        self.at(0)

    def _started(self, by):
        worker = Worker()
        partners = Partners(transport=httpx2.MockTransport(self.wire))
        ours = {"partners": partners, "clock": lambda: self.exchange.clock() - by, "worker": worker}
        app = Late(lambda: build(self.settings, **ours, **loaded.stand_ins(), **self.stand_ins))
        client = TestClient(app, raise_server_exceptions=False)
        return client.__enter__(), worker

    def at(self, number):
        """Who calls comes to this process."""
        self.exchange.http, self.exchange.worker = self.processes[number]

    def end(self):
        for client, _ in self.processes:
            client.__exit__(None, None, None)
        self.processes = []

    def stored(self):
        """All that stands in the database; of a file also what nobody would read."""
        if self.exchange.database_url.startswith("sqlite"):
            return b"".join(one.read_bytes() for one in self.exchange.folder.glob("exchange.db*"))
        return b"\n".join(said for _, said in self._rows())

    def where(self, word):
        """The rows that say it; none, where it stands in the file and in no table."""
        return [(table, said) for table, said in self._rows() if word.encode() in said]

    def _rows(self):
        for table in METADATA.tables:
            for row in self.exchange.rows(f"SELECT * FROM {table}"):
                said = (one if isinstance(one, bytes) else str(one).encode() for one in row)
                yield table, b"\n".join(said)
