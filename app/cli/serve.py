"""`kinbridge serve`: web and worker in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    database: Annotated[str | None, typer.Option(help="sqlite:///PATH or postgresql://…")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file; see the README.")] = None,
    *,
    worker: Annotated[bool, typer.Option(help="Deliver what is owed, too.")] = True,
) -> None:
    """Serve the FHIR bases and deliver what is owed, until SIGTERM."""
    import uvicorn

    from app import settings
    from app.cli import running
    from app.main import build

    async def run() -> None:
        read = settings.read(config, host=host, port=port, database_url=database)
        app = await build(read, deliver=worker)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                host=read.host,
                port=read.port,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=20,
            )
        )
        await server.serve()

    running.until_stopped(run)
