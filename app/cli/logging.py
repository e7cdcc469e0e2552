"""One JSON object a line on standard error; of an exception its type, never its text."""

from __future__ import annotations

import asyncio
import atexit
import logging
import sys
import threading
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import IO, Any, Final

import msgspec
import structlog

from app.api.observe import REQUEST


class _Structured(logging.Handler):
    """What libraries log by the standard library; a traceback could quote a value and is left out."""

    def emit(self, record: logging.LogRecord) -> None:
        fault = record.exc_info[0] if record.exc_info else None
        structlog.get_logger().log(
            record.levelno,
            record.getMessage(),
            logger=record.name,
            **({"error": fault.__name__} if fault else {}),
        )


_KEPT_SECONDS: Final = 0.1
_MOST_LINES: Final = 200
_encode: Final = msgspec.json.Encoder(enc_hook=repr).encode


def _line(_: Any, level: str, event: Any) -> bytes:
    """One step in place of structlog's four: a line is written for each request."""
    if request := REQUEST.get():
        event["request_id"] = request
    event["level"] = level
    now = time.time()
    event["timestamp"] = f"{_second(int(now))}.{int(now % 1 * 1e6):06d}Z"
    return _encode(event)


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    """UNIX seconds as ISO 8601 in UTC, without the zone."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class _Log(structlog.make_filtering_bound_logger(logging.INFO)):  # type: ignore[misc]
    """As structlog makes it; what is said of each request gets there in one step."""

    def info(self, event: str, **said: Any) -> None:
        self._logger.info(_line(None, "info", {**said, "event": event}))


class _Lines:
    """
    Lines for a file, written together: a write for each would cost as much as half a read does.

    A warning is written at once with all before it, and everything when the process ends.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lines: list[bytes] = []
        self._lock = threading.Lock()
        atexit.register(self.flush)

    def info(self, line: bytes) -> None:
        self._lines.append(line)
        if 1 < len(self._lines) < _MOST_LINES:
            return  # the first of them has seen to it that they are written
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()  # there is no loop that would come back to it
        else:
            loop.call_later(_KEPT_SECONDS if len(self._lines) == 1 else 0, self.flush)

    def warning(self, line: bytes) -> None:
        self._lines.append(line)
        self.flush()

    debug = log = msg = info
    critical = error = exception = fatal = failure = err = warning

    def flush(self) -> None:
        with self._lock:
            count = len(self._lines)
            written = b"".join(line + b"\n" for line in self._lines[:count])
            del self._lines[:count]  # other threads may have added to it
            self._file.write(written)
            self._file.flush()


def set_up() -> None:
    lines = _Lines(sys.stderr.buffer)
    structlog.configure(
        processors=[_line],
        wrapper_class=_Log,
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Structured()], level=logging.WARNING, force=True)
