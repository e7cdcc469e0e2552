"""`kinbridge serve`: web and worker in one process."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from app.cli.options import Config, Database

# A client, or what balances load before us, lets a connection go after 5 to 60 s without a word. Who
# let it go at the same moment as they use it again would lose their request.
_IDLE_SECONDS: Final = 75
# Between two looks for who says nothing, of which it takes four: uvicorn's ticks are of 0.1 s.
_TICKS: Final = _IDLE_SECONDS * 10 // 3


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    database: Database = None,
    config: Config = None,
    *,
    worker: Annotated[bool, typer.Option(help="Deliver what is owed, too.")] = True,
) -> None:
    """Serve the FHIR bases and deliver what is owed, until SIGTERM."""
    from app.cli import running

    running.loads()
    import structlog
    import uvicorn

    from app import settings
    from app.cli.answering import Protocol, Still
    from app.main import build

    class Server(uvicorn.Server):
        """Says where it listens, once it does; and keeps nobody who says nothing."""

        still = Still()

        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            if self.started:
                where = f"http://{self.config.host}:{self.config.port}/{{tenant}}/{{shelf}}/fhir"
                structlog.get_logger().info("serves", at=where)

        async def on_tick(self, counter: int) -> bool:
            if counter % _TICKS == 0:
                self.still.look([*self.server_state.connections])
            return await super().on_tick(counter)

    async def run() -> None:
        read = settings.read(config, host=host, port=port, database_url=database)
        app = await build(read, deliver=worker)
        running.loaded()
        server = Server(
            uvicorn.Config(
                app,
                host=read.host,
                port=read.port,
                http=Protocol,
                ws="none",
                proxy_headers=False,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=_IDLE_SECONDS,
                timeout_graceful_shutdown=20,
            )
        )
        await server.serve()

    running.until_stopped(run)
