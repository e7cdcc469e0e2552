"""What an agency said of a referral, each event once, and what is part of a referral on a shelf."""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from msgspec.structs import asdict
from sqlalchemy import bindparam, func, literal, select, text, tuple_, update

from app.domain.plan import Recorded
from app.storage import copies
from app.storage.database import Overtaken, Reading, Tx, insert_once, statement
from app.storage.tables import EVENT, EXCHANGE, RESOURCE

_RECORD: Final = insert_once(EVENT)
_RECORDED: Final = statement(
    select(EVENT.c.sequence, EVENT.c.event, EVENT.c.digest, EVENT.c.standing).where(
        EVENT.c.exchange == bindparam("exchange"), EVENT.c.key == bindparam("key")
    )
)
_EVENTS: Final = statement(
    select(EVENT.c.key, EVENT.c.sequence, EVENT.c.event, EVENT.c.standing, EVENT.c.at)
    .where(EVENT.c.exchange == bindparam("exchange"))
    .order_by(EVENT.c.at, EVENT.c.key)
)
_HELD: Final = statement(
    select(RESOURCE.c.type, RESOURCE.c.id).where(
        RESOURCE.c.shelf == bindparam("shelf"),
        RESOURCE.c.exchange == bindparam("exchange"),
        text("exchange <> ''"),  # or it is not seen that there is an index
    )
)
_CLOSE: Final = statement(
    update(EXCHANGE)
    .where(EXCHANGE.c.id == bindparam("exchange"))
    .values(state=bindparam("to"), copies=bindparam("nothing"), due=0.0)
)
_OVERDUE: Final = statement(
    select(EXCHANGE.c.source, EXCHANGE.c.source_task, EXCHANGE.c.due, EXCHANGE.c.id)
    .where(
        tuple_(EXCHANGE.c.due, EXCHANGE.c.id) > tuple_(bindparam("since"), bindparam("after")),
        EXCHANGE.c.due <= bindparam("now"),
    )
    .order_by(EXCHANGE.c.due, EXCHANGE.c.id)
    .limit(bindparam("most"))
)
_AHEAD: Final = statement(
    select(EXCHANGE.c.source, EXCHANGE.c.source_task, EXCHANGE.c.due, EXCHANGE.c.id)
    .where(
        EXCHANGE.c.due > bindparam("now"),
        EXCHANGE.c.opened > bindparam("soon"),
        EXCHANGE.c.kind == "cps-report",
        EXCHANGE.c.state == "submitted",
    )
    .order_by(EXCHANGE.c.due, EXCHANGE.c.id)
    .limit(bindparam("most"))
)
_REPORTS: Final = statement(select(func.count()).where(EXCHANGE.c.kind == "cps-report"))
_OVERRIDDEN: Final = statement(
    select(
        EXCHANGE.c.opened, EXCHANGE.c.source, EXCHANGE.c.source_request, EXCHANGE.c.recipient,
        EXCHANGE.c.terms,
    )
    .where(EXCHANGE.c.kind == "cps-report", EXCHANGE.c.terms.contains('"override": "T'))
    .order_by(EXCHANGE.c.opened)
)  # fmt: skip
_NEXT_OVERDUE: Final = statement(
    select(func.min(EXCHANGE.c.due)).where(EXCHANGE.c.due > literal(0.0))
)


class Overdue(NamedTuple):
    """Shelf and Task of a sender that waits for something that is overdue, and its place among them."""

    source: str
    source_task: str
    due: float
    id: str


_FIRST: Final = Overdue("", "", 0.0, "~")  # what waits for nothing comes before it


async def overdue(
    tx: Reading, *, now: float, most: int, after: Overdue | None = None
) -> list[Overdue]:
    """Those that wait, the oldest first; after the last of a page the next one."""
    last = after or _FIRST
    rows = await tx.rows(_OVERDUE, now=now, most=most, since=last.due, after=last.id)
    return [Overdue(*row) for row in rows]


async def ahead(tx: Reading, *, now: float, soon: str, most: int) -> list[Overdue]:
    """Reports that wait for an acknowledgement and were sent at a time that has not come: after a FHIR instant."""
    rows = await tx.rows(_AHEAD, now=now, soon=soon, most=most)
    return [Overdue(*row) for row in rows]


async def next_overdue(tx: Reading) -> float | None:
    """UNIX seconds when something next becomes overdue; None where nothing is awaited."""
    found: float | None = (await tx.rows(_NEXT_OVERDUE))[0][0]
    return found


class Overridden(NamedTuple):
    """A report that was sent in spite of a rule; request is where the reporter's reason stands."""

    opened: str
    source: str
    request: str
    recipient: str
    rule: str


async def overridden(tx: Reading) -> tuple[list[Overridden], int]:
    """The reports that were sent in spite of a rule, the oldest first; and how many there are in all."""
    rows = await tx.rows(_OVERRIDDEN)
    (every,) = await tx.rows(_REPORTS)
    found = [(*row[:4], json.loads(row[4])["override"]) for row in rows]
    return [Overridden(*one) for one in found], every[0]


async def record(tx: Tx, row: Recorded, *, at: str) -> None:
    """Once; Overtaken where the same event was recorded at the same moment."""
    if not await tx.run(_RECORD, **asdict(row), at=at):
        raise Overtaken


async def recorded(tx: Reading, shelf: str, exchange: str, key: str) -> Recorded | None:
    rows = await tx.rows(_RECORDED, exchange=exchange, key=key)
    return Recorded(exchange, shelf, key, *rows[0]) if rows else None


async def held(tx: Reading, shelf: str, exchange: str) -> list[str]:
    """Type/id of what stands, or stood, on a shelf as part of an exchange."""
    rows = await tx.rows(_HELD, shelf=shelf, exchange=exchange)
    return sorted(f"{row[0]}/{row[1]}" for row in rows)


async def close(tx: Tx, exchange: str, state: str) -> None:
    """A restored exchange, in the state that it had come to; nothing of what it copied is known."""
    await tx.run(_CLOSE, exchange=exchange, to=state, nothing="{}")
    await copies.forget(tx, exchange)
