"""What is owed to partners' own servers, and each try at it; deciding when is the flow's."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Float, and_, bindparam, case, func, insert, literal, or_, select, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from app.domain.plan import Owed
from app.storage.database import Reading, Tx, statement
from app.storage.tables import ATTEMPT, OUTBOX

_LOOKED_AT: Final = 500  # due pushes among which room is found for other shelves


class _Clock(FunctionElement[float]):
    """UNIX seconds by the database's clock: leases are of all processes, whatever theirs say."""

    type = Float()
    inherit_cache = True


@compiles(_Clock, "sqlite")
def _clock_of_sqlite(*_: Any, **__: Any) -> str:
    return "(julianday('now') - 2440587.5) * 86400.0"


@compiles(_Clock, "postgresql")
def _clock_of_postgres(*_: Any, **__: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


# A lease that would end much later than any that is begun now is from before the clock was set back.
_FREE: Final = or_(
    OUTBOX.c.leased_until <= _Clock(), OUTBOX.c.leased_until > _Clock() + bindparam("lease") * 2
)
_OWE: Final = statement(
    insert(OUTBOX).values(
        {column.name: bindparam(column.name) for column in OUTBOX.columns if column.name != "id"}
    )
)
_HAS_ROOM: Final = func.replace(
    bindparam("full"), literal(" ") + OUTBOX.c.shelf + " ", literal("")
) == bindparam("full")
_EARLIER = OUTBOX.alias("earlier")
_DUE: Final = statement(
    select(
        OUTBOX.c.id,
        OUTBOX.c.shelf,
        OUTBOX.c.order_key,
        OUTBOX.c.versions,
        OUTBOX.c.attempts,
        OUTBOX.c.owed_at,
    )
    .where(
        OUTBOX.c.state == "owed",
        OUTBOX.c.due <= bindparam("now"),
        _FREE,
        _HAS_ROOM,
        ~select(_EARLIER.c.id)
        .where(
            _EARLIER.c.shelf == OUTBOX.c.shelf,
            _EARLIER.c.order_key == OUTBOX.c.order_key,
            _EARLIER.c.state == "owed",
            _EARLIER.c.id < OUTBOX.c.id,
        )
        .exists(),
    )
    .order_by(OUTBOX.c.due)
    .limit(bindparam("most"))
)
_WAITS: Final = OUTBOX.c.due - bindparam("now")
_LEASED: Final = OUTBOX.c.leased_until - _Clock()
_NEXT: Final = statement(
    select(func.min(case((_WAITS > _LEASED, _WAITS), else_=_LEASED))).where(
        OUTBOX.c.state == "owed", _HAS_ROOM
    )
)
_LEASE: Final = statement(  # as it was found: another may have delivered, tried or put it off since
    update(OUTBOX)
    .where(
        OUTBOX.c.id == bindparam("row"),
        OUTBOX.c.state == "owed",
        OUTBOX.c.attempts == bindparam("attempts"),
        OUTBOX.c.due <= bindparam("now"),
        _FREE,
    )
    .values(leased_until=_Clock() + bindparam("lease"))
    .returning(OUTBOX.c.leased_until)
)
_RELEASE: Final = statement(
    update(OUTBOX).where(OUTBOX.c.state == "owed").values(leased_until=bindparam("never"))
)
_HELD: Final = and_(
    OUTBOX.c.id == bindparam("row"), OUTBOX.c.leased_until == bindparam("leased_until")
)
_SETTLE: Final = statement(
    update(OUTBOX)
    .where(_HELD)
    .values(
        state=bindparam("to"),
        due=bindparam("next"),
        leased_until=bindparam("never"),
        attempts=OUTBOX.c.attempts + 1,
    )
)
_LATER: Final = statement(
    update(OUTBOX).where(_HELD).values(due=bindparam("next"), leased_until=bindparam("never"))
)
_TRIED: Final = statement(
    insert(ATTEMPT).values({column.name: bindparam(column.name) for column in ATTEMPT.columns})
)
_FORGET: Final = statement(  # a row that is deleted would give its number to another
    update(OUTBOX)
    .where(
        OUTBOX.c.order_key == bindparam("order"),
        OUTBOX.c.state == "owed",
        OUTBOX.c.leased_until == literal(0.0),
    )
    .values(state="delivered", versions=bindparam("nothing"))
)
_HURRY: Final = statement(
    update(OUTBOX)
    .where(
        OUTBOX.c.state == "owed",
        or_(
            OUTBOX.c.due > bindparam("beyond"),
            and_(OUTBOX.c.due > bindparam("now"), OUTBOX.c.attempts == 0),
        ),
    )
    .values(due=bindparam("now"))
)
_COUNT: Final = statement(select(func.count()).where(OUTBOX.c.state == bindparam("state")))
_FAILED: Final = statement(
    select(OUTBOX.c.id, OUTBOX.c.shelf, OUTBOX.c.order_key, OUTBOX.c.attempts, OUTBOX.c.owed_at)
    .where(OUTBOX.c.state == "failed")
    .order_by(OUTBOX.c.id)
)
_RESEND: Final = statement(
    update(OUTBOX)
    .where(OUTBOX.c.id == bindparam("row"), OUTBOX.c.state == "failed")
    .values(state="owed", due=bindparam("now"), owed_at=bindparam("now"))
)


@dataclass(frozen=True, slots=True)
class Due:
    """
    One push to make.

    order           id of the exchange
    versions        {Type/id: version} on the shelf
    attempts        how many were made before
    owed_at         UNIX seconds
    leased_until    the same, by the database's clock; whose it is no longer finds another there
    """

    id: int
    shelf: str
    order: str
    versions: dict[str, int]
    attempts: int
    owed_at: float
    leased_until: float


async def owe(tx: Tx, owed: Owed, *, now: float) -> None:
    times = {"owed_at": now, "due": now, "leased_until": 0.0}
    await tx.run(
        _OWE,
        shelf=owed.shelf,
        order_key=owed.order,
        versions=json.dumps(owed.versions),
        state="owed",
        attempts=0,
        **times,
    )


async def forget(tx: Tx, order: str) -> None:
    """
    What was owed of something expunged is owed no more.

    A push that is under way ends first, so that the tombstone comes after it.
    """
    await tx.run(_FORGET, order=order, nothing="{}")


async def claim(  # noqa: PLR0913 — what bounds a claim
    tx: Tx, *, now: float, lease_seconds: float, most: int, each: int, busy: Counter[str]
) -> list[Due]:
    """
    Lease what is due: the oldest push of each order, so that order is kept within a referral.

    However much waits for a partner that does not answer, what is due to others is found behind it.

    now             UNIX seconds by which pushes are due
    lease_seconds   by the database's clock
    most            pushes in all
    each            pushes to one shelf, those that are under way (busy) counted
    """
    taken, claimed = Counter(busy), list[Due]()
    passed = None
    while passed != (full := _full(taken, each)):
        passed = full
        rows = await tx.rows(_DUE, now=now, lease=lease_seconds, most=_LOOKED_AT, full=full)
        for number, shelf, order, versions, attempts, owed_at in rows:
            if len(claimed) == most:
                return claimed
            if taken[shelf] >= each:
                continue
            # of several workers the first has it; the others find it leased, and go on to the next
            found = {"row": number, "attempts": attempts, "now": now, "lease": lease_seconds}
            for (until,) in await tx.rows(_LEASE, **found):
                taken[shelf] += 1
                named = json.loads(versions)
                claimed.append(Due(number, shelf, order, named, attempts, owed_at, until))
        if len(rows) < _LOOKED_AT:
            break
    return claimed


def _full(taken: Counter[str], each: int) -> str:
    """The shelves that have no room for another push, each between two spaces."""
    return "".join(f" {shelf} " for shelf, count in sorted(taken.items()) if count >= each)


async def settle(  # noqa: PLR0913 — an attempt is all of these
    tx: Tx, due: Due, *, state: str, next_due: float, at: float, status: int, codes: str
) -> bool:
    """
    Write down one try; False where it took so long that the push is another's now, who says how it went.

    state       delivered, failed, or owed again
    next_due    UNIX seconds of the next try
    status      HTTP status, 0 where no answer came
    codes       issue codes of the partner's OperationOutcome; no text
    """
    held = {"row": due.id, "leased_until": due.leased_until}
    if not await tx.run(_SETTLE, **held, to=state, next=next_due, never=0.0):
        return False
    number = due.attempts + 1
    await tx.run(_TRIED, outbox=due.id, number=number, at=at, status=status, codes=codes)
    return True


async def later(tx: Tx, due: Due, *, next_due: float) -> None:
    """Give one back that could not be begun; it was no try."""
    held = {"row": due.id, "leased_until": due.leased_until}
    await tx.run(_LATER, **held, next=next_due, never=0.0)


async def hurry(tx: Tx, *, now: float, beyond: float) -> int:
    """
    How much was to wait for a time that the clock was set back from; it is due now.

    beyond      UNIX seconds after which nothing would be due but for that; what was never tried is at once
    """
    return await tx.run(_HURRY, now=now, beyond=beyond)


async def release(tx: Tx) -> None:
    """Give back what the dead had leased, where nobody lives who may have leased anything."""
    await tx.run(_RELEASE, never=0.0)


async def rest(tx: Reading, *, now: float, each: int, busy: Counter[str]) -> float | None:
    """Seconds until something becomes due that has room; None where nothing is owed so."""
    rows = await tx.rows(_NEXT, now=now, full=_full(busy, each))
    found: float | None = rows[0][0]
    return found


async def failed(tx: Reading) -> list[tuple[int, str, str, int, float]]:
    """Pushes that were given up: id, shelf, exchange, attempts, owed at (UNIX seconds)."""
    return [(row[0], row[1], row[2], row[3], row[4]) for row in await tx.rows(_FAILED)]


async def resend(tx: Tx, push: int, *, now: float) -> bool:
    """Owe a push that was given up once more, its time starting anew."""
    return bool(await tx.run(_RESEND, row=push, now=now))


async def count(tx: Reading, state: str) -> int:
    """How many are owed, or failed; of those that were delivered there are ever more."""
    found: int = (await tx.rows(_COUNT, state=state))[0][0]
    return found
