"""A Task to whoever referred, on their own shelf: what was changed does not follow."""

from __future__ import annotations

from app import fhir
from app.domain import reminder
from app.domain.case import Case
from app.domain.feedback import owed
from app.domain.following import ANOTHER
from app.domain.plan import Answer, Exchange, Plan, put


def told(case: Case, exchange: Exchange, name: str, why: str) -> Plan:
    """
    Nobody reads an answer of the worker: whoever referred is told on their own shelf, once.

    name        Type/id of what does not follow
    """
    what = "another" if why.endswith(ANOTHER) else "stays"
    nothing = Plan(Answer(()))
    parent = case.loaded.resource(exchange.source, exchange.source_task)
    if parent is None or not parent.stands:
        return nothing
    to, kind = parent.resource["requester"], name.partition("/")[0]
    task = reminder.task(
        case, exchange.id, parent.resource, f"{what}-{name.replace('/', '-')}", to=to,
        text=f"{kind}: {why} Call the agency where that matters.", system=reminder.STAYS,
    )  # fmt: skip
    if case.loaded.resource(exchange.source, fhir.name(task)) is not None:
        return nothing
    puts = put(task, None, shelf=exchange.source, now=case.now, exchange=exchange.id)
    as_it_stands = (("resource", exchange.source, exchange.source_task),)  # it may be expunged now
    due = owed(case, exchange.source, exchange, puts)
    return Plan(Answer(()), puts, owed=due, stands=as_it_stands)
