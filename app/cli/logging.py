"""One JSON object a line on standard error; of an exception its type, never its text."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

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


_encode: Final = msgspec.json.Encoder(enc_hook=repr).encode


def _line(_: Any, level: str, event: Any) -> bytes:
    """One step in place of structlog's four: a line is written for each request."""
    if request := REQUEST.get():
        event["request_id"] = request
    event["level"] = level
    event["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return _encode(event)


def set_up() -> None:
    structlog.configure(
        processors=[_line],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Structured()], level=logging.WARNING, force=True)
