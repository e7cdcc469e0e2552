"""A service as a process of its own, on either database, that may be killed and starved."""

import json
import os
from dataclasses import dataclass, field

from serving import client, free_port, ready, start

SOAK = bool(os.environ.get("KINBRIDGE_SOAK"))
FHIR = {"Content-Type": "application/fhir+json"}


@dataclass
class Running:
    """The service, and what an auditor sees of its database."""

    folder: object
    url: str
    rows: object
    port: int = field(default_factory=free_port)
    process: object = None

    @property
    def base(self):
        return f"http://127.0.0.1:{self.port}/clinic/chart/fhir"

    def start(self, *arguments, **environment):
        line = ("--port", str(self.port), "--database", self.url, *arguments)
        # what nobody reads of a pipe would stop the service
        self.process = start(self.folder, *line, log=self.folder / "log", **environment)
        ready(f"http://127.0.0.1:{self.port}")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def put(self, name, resource, http=None, **headers):
        if http is None:
            with client() as once:
                return self.put(name, resource, once, **headers)
        made = {"resourceType": name.split("/")[0], "id": name.split("/")[1], **resource}
        return http.put(
            f"{self.base}/{name}", content=json.dumps(made), headers=FHIR | headers, timeout=60
        )

    def holes(self):
        """Resources whose versions are not all there, or whose identifiers are not what stands."""
        return self.rows(
            """SELECT id FROM resource r WHERE version <> 1 + (SELECT count(*) FROM version v
               WHERE v.shelf = r.shelf AND v.type = r.type AND v.id = r.id)"""
        )
