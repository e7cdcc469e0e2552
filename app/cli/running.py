"""A process that serves or delivers until it is told to stop; a start that is refused says why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from app.cli.refusal import refuse


def until_stopped(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run it on the loop that uvicorn prefers: uvloop, where it can be had, costs half of asyncio's."""
    from uvicorn.loops.auto import auto_loop_factory

    from app.cli import logging
    from app.errors import MappingError, Unavailable
    from app.main import NotRegistered
    from app.settings import SettingsError
    from app.storage.migration import NeedsMigration

    logging.set_up()
    try:
        with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
            runner.run(work())
    except (SettingsError, MappingError, NotRegistered, NeedsMigration, Unavailable) as refused:
        refuse(refused)
