"""`kinbridge work`: a worker without web; as many as wanted on PostgreSQL."""

from __future__ import annotations

import asyncio
import signal

from app.cli.options import Config, Database


def work(
    database: Database = None,
    config: Config = None,
) -> None:
    """Deliver what is owed, until SIGTERM; beside `kinbridge serve --no-worker`."""
    from app.cli import running

    running.loads()
    from app import settings
    from app.flows import worklist
    from app.flows.deliver import Worker
    from app.main import open_service

    async def run() -> None:
        worker = Worker()
        service = await open_service(settings.read(config, database_url=database))
        running.loaded()
        for end in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(end, worker.stop)
        catching_up = asyncio.create_task(worklist.catch_up(service))
        await worker.run(service)
        catching_up.cancel()
        await asyncio.gather(catching_up, return_exceptions=True)
        await service.partners.close()
        await service.database.close()

    running.until_stopped(run)
