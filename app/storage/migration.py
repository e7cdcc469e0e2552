"""The tables' version: checked at each start, changed by Alembic on command."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.errors import Unavailable
from app.storage.database import is_postgres
from app.storage.file import own, path_of
from app.storage.tables import LEDGER, METADATA

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_CONNECT_SECONDS: Final = 10.0
_ROLES: Final = {"42501", "42704"}  # a role may not, or there is none of that name
_LOCK: Final = 0x6B696E6D  # one migration at a time: "kinm"


class NeedsMigration(Exception):  # noqa: N818 — the start is refused, nothing went wrong
    """The tables are older or newer than this program, or its role may do more than it should."""


def newest() -> str:
    """The version that this program needs."""
    return max(file.name.split("_", 1)[0] for file in (_MIGRATIONS / "versions").glob("0*.py"))


def migrate(url: str, *, owner_url: str = "") -> None:
    """
    Make the tables, or bring them to this program's version.

    owner_url   PostgreSQL: the role that owns the tables; url names the service's role
    raises      NeedsMigration: PostgreSQL, and no role of its own for the owner; a file that is another's, or
                in a folder that is not there
                Unavailable: the database cannot be reached
    """
    import sqlalchemy  # noqa: PLC0415 — half a second that no other start should pay

    if is_postgres(url):
        asyncio.run(_migrate_postgres(url, owner_url))
        return
    path = path_of(url)
    if path.exists() and path.stat().st_size:
        version_of(path)
    if not path.parent.is_dir():
        message = (
            f"there is no folder {path.parent} for the database; make it, or mount what it is on"
        )
        raise NeedsMigration(message)
    own(path)
    engine = sqlalchemy.create_engine(url)
    _as_a_whole(engine)
    try:
        with engine.begin() as connection:
            _upgrade(connection)
    finally:
        engine.dispose()


def _as_a_whole(engine: Engine) -> None:
    """
    All of it is one transaction, as on PostgreSQL; sqlite3 begins none before it changes a table.

    source      https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#serializable-isolation-savepoints-transactional-ddl
    """
    from sqlalchemy import event  # noqa: PLC0415 — as above

    @event.listens_for(engine, "connect")
    def left_to_us(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 — as above
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def _migrate_postgres(url: str, owner_url: str) -> None:
    import asyncpg  # noqa: PLC0415 — only where it is used
    import sqlalchemy  # noqa: PLC0415
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415

    service = sqlalchemy.make_url(url).username
    owner = sqlalchemy.make_url(owner_url).username if owner_url else None
    if not service or not owner or service == owner:
        message = (
            "on PostgreSQL the tables belong to a role that the service is not:"
            " set KINBRIDGE_OWNER_URL for it, beside KINBRIDGE_DATABASE_URL for the service"
        )
        raise NeedsMigration(message)

    async def connect() -> asyncpg.Connection[Any]:
        try:
            return await asyncpg.connect(owner_url, timeout=_CONNECT_SECONDS)
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            message = f"PostgreSQL cannot be reached by KINBRIDGE_OWNER_URL: {type(error).__name__}"
            raise Unavailable(message) from error

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect)
    try:
        async with engine.begin() as connection:
            await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
            await connection.run_sync(_upgrade)
            for grant in _grants(connection.dialect.identifier_preparer.quote(service)):
                await connection.exec_driver_sql(grant)
    except (OSError, TimeoutError, asyncpg.PostgresConnectionError) as error:
        raise Unavailable(f"PostgreSQL cannot be reached: {type(error).__name__}") from error
    except sqlalchemy.exc.ProgrammingError as error:
        if getattr(error.orig, "sqlstate", "") not in _ROLES:
            raise
        message = (
            f"the tables were not made: {error.orig}; let the role of KINBRIDGE_OWNER_URL own the"
            " database, and make that of KINBRIDGE_DATABASE_URL first, as the README has it"
        )
        raise NeedsMigration(message) from None
    finally:
        await engine.dispose()


def _grants(service: str) -> list[str]:
    """What the service's role may do: all but change the tables, or the accounting."""
    kept = {LEDGER.name: "SELECT, INSERT"}
    return [
        *(
            f"GRANT {kept.get(table.name, 'SELECT, INSERT, UPDATE, DELETE')}"
            f" ON {table.name} TO {service}"
            for table in METADATA.sorted_tables
        ),
        f"GRANT SELECT ON alembic_version TO {service}",
        *(
            f"GRANT USAGE ON SEQUENCE {table.name}_id_seq TO {service}"
            for table in METADATA.sorted_tables
            if table.autoincrement_column is not None
        ),
    ]


def _make(path: Path) -> None:
    """A new file, whole or not at all: a start that is killed leaves nothing half-made."""
    beside = Path(f"{path}.new")
    try:
        beside.unlink(missing_ok=True)
        migrate(f"sqlite:///{beside}")
        beside.replace(path)
    except OSError as error:
        message = f"{path} cannot be made: {error.strerror}"
        raise NeedsMigration(message) from None


async def check(url: str) -> None:
    """
    Refuse tables of another version; a SQLite file that is not there is made.

    raises      NeedsMigration
                Unavailable: the database cannot be reached
    """
    if is_postgres(url):
        found = await _postgres_version(url)
        where = "PostgreSQL"
    else:
        path = path_of(url)
        if not path.exists() or path.stat().st_size == 0:
            _make(path)
        found = version_of(path)
        where = str(path)
    if found != newest():
        stands = found or "none"
        message = (
            f"the tables of {where} are at version {stands}, this program needs {newest()};"
            " `kinbridge migrate` changes older ones"
        )
        raise NeedsMigration(message)


def version_of(path: Path) -> str | None:
    """
    The version of a SQLite file's tables; None where none is written down.

    raises      NeedsMigration: it is no database of this program, or another user's
    """
    if not os.access(path, os.R_OK):
        message = f"{path} cannot be read by this user; it is for its owner alone"
        raise NeedsMigration(message)
    try:
        with closing(sqlite3.connect(path)) as database:
            found = database.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        message = f"{path} is no database of this program: {error}"
        raise NeedsMigration(message) from None
    return str(found[0]) if found else None


# Whoever owns a table, or bypasses policies, stands behind the second wall.
_TOO_MIGHTY: Final = """
    SELECT rolsuper OR rolbypassrls OR EXISTS (
        SELECT FROM pg_class WHERE oid = to_regclass('resource')
        AND pg_has_role(current_user, relowner, 'USAGE'))
    FROM pg_roles WHERE rolname = current_user
"""


async def _postgres_version(url: str) -> str | None:
    import asyncpg  # noqa: PLC0415 — only where it is used

    try:
        connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Unavailable(f"PostgreSQL cannot be reached: {type(error).__name__}") from error
    try:
        if await connection.fetchval(_TOO_MIGHTY):
            message = (
                "the role of KINBRIDGE_DATABASE_URL owns the tables or bypasses row-level security;"
                " give the service a role of its own and the owner's to KINBRIDGE_OWNER_URL"
            )
            raise NeedsMigration(message)
        found: Any = await connection.fetchval("SELECT version_num FROM alembic_version")
    except (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError):
        return None
    finally:
        await connection.close()
    return str(found) if found else None
