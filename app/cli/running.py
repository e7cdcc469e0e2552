"""A process that serves or delivers until it is told to stop; a start that is refused says why."""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Callable, Coroutine
from typing import Any, Final

from app.cli.refusal import refuse

# malloc.h; https://man7.org/linux/man-pages/man3/mallopt.3.html
_TRIM_THRESHOLD: Final = (-1, 16 * 2**20)
_MMAP_THRESHOLD: Final = (-3, 3 * 2**16)  # what a network hands over at a time is 2**18


def until_stopped(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run it on the loop that uvicorn prefers: uvloop, where it can be had, costs half of asyncio's."""
    import structlog
    from uvicorn.loops.auto import auto_loop_factory

    from app.cli import logging
    from app.errors import MappingError, Unavailable
    from app.main import NotRegistered
    from app.settings import SettingsError, unread
    from app.storage.migration import NeedsMigration

    logging.set_up()
    if variables := unread():
        structlog.get_logger().warning("no setting is read from", variables=variables)
    _hand_back()
    try:
        with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
            runner.run(work())
    except (SettingsError, MappingError, NotRegistered, NeedsMigration, Unavailable) as refused:
        refuse(refused)
    finally:
        gc.enable()


def loads() -> None:
    """What a start reads stays: until loaded() nothing is gone through in search of garbage."""
    gc.disable()


def loaded() -> None:
    """
    From here on garbage is looked for, but not in what has been loaded.

    Nor is it once more before: that takes 0.2 s, and finds less than a MiB.
    """
    gc.freeze()
    gc.enable()


def _hand_back() -> None:
    """
    What is large goes back to the system when it is let go, where the C library is glibc.

    By itself glibc keeps as much as twice the largest block that was ever let go: after one scan of
    20 MiB the process stays 100 MiB larger. docs/decisions/0045.
    """
    if tune := getattr(ctypes.CDLL(None), "mallopt", None):
        for option in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            tune(*option)
