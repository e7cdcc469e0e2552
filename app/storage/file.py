"""The file of a SQLite database: which it is, whose it is, and who delivers from it."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import IO


def path_of(url: str) -> Path:
    """
    The file of a sqlite:///… URL.

    raises      ValueError: another database
    """
    kind, _, path = url.partition("///")
    if kind != "sqlite:" or not path:
        message = "database_url must be sqlite:///PATH or postgresql://…"
        raise ValueError(message)
    return Path(path)


def own(path: Path) -> None:
    """
    A new file for nobody but its owner: it holds health data, and the keys by which tokens are made.

    What SQLite puts beside it has its mode.

    source      findCreateFileMode, https://www.sqlite.org/src/file/src/os_unix.c
    """
    os.close(os.open(path, os.O_CREAT, 0o600))


def is_others(url: str) -> bool:
    """Whether everyone on this machine can read the file of a sqlite:///… URL; False for another database."""
    return url.startswith("sqlite:") and bool(path_of(url).stat().st_mode & stat.S_IROTH)


def sole(path: Path) -> IO[str] | None:
    """The lock of the one process that delivers from this file; None while another holds it."""
    lock = Path(f"{path}.worker").open("w", encoding="utf-8")  # noqa: SIM115 — held
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock
