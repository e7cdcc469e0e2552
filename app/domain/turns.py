"""Plans of one change that concern the same things: each finds what those before it have made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec.structs import replace

from app import fhir
from app.domain.case import Case
from app.domain.change import Entry
from app.domain.loaded import Loaded, NotLoaded, Want
from app.domain.plan import Exchange, Owed, Plan, Put, Stored, stamped

_OF_AN_EXCHANGE: Final = frozenset({"copied", "exchange", "opened", "sent"})


def meet(plans: Iterable[Plan]) -> bool:
    """Whether two of them change one referral, of which neither would see the other."""
    ids = [step.id for one in plans for step in one.exchanges]
    return len(ids) > len(set(ids))


class Turns:
    """
    The entries of one change, planned one after the other.

    meaning     what one of them means
    """

    def __init__(self, meaning: Callable[[Case, Entry], Plan]) -> None:
        self._meaning = meaning
        self._case: Case | None = None
        self._waits = False

    def __call__(self, case: Case, entry: Entry) -> Plan:
        """Raises NotLoaded, Refusal: as its meaning; none is planned before the one that waits."""
        if self._waits:
            raise NotLoaded(frozenset())
        case = self._case or case
        try:
            made = self._meaning(case, entry)
        except NotLoaded:
            self._waits = True
            raise
        self._case = after(case, [made])
        return made


def after(case: Case, plans: Iterable[Plan]) -> Case:
    """The case as it will be when these are done; what they put has the version that it will have."""
    seen = dict(case.loaded.seen)
    for one in plans:
        for put in one.puts:
            name = fhir.name(put.resource)
            resource = {} if put.method == "DELETE" else put.resource
            stored = Stored(resource, put.expected + 1, put.exchange, _updated(put))
            seen[Want("resource", put.shelf, name)] = stored
            held = Want("held", put.shelf, put.exchange)
            if held in seen:
                seen[held] = sorted({*seen[held], name})
        for step in one.exchanges:
            seen |= {
                want: _moved(value, step)
                for want, value in seen.items()
                if want.kind in _OF_AN_EXCHANGE
            }
            if step.version == 0:
                seen |= _opened(step, seen)
        for mark in one.receipts:
            seen[Want("receipt", mark.shelf, mark.key)] = mark
        for row in one.recorded:
            seen[Want("recorded", row.shelf, f"{row.exchange}|{row.key}")] = row
    return replace(case, loaded=Loaded(seen))


def _opened(step: Exchange, seen: dict[Want, Any]) -> dict[Want, Any]:
    """A referral that is sent by this, as those find it that speak of it."""
    sent = Want("sent", step.source, step.source_request)
    before = [one for one in seen.get(sent, ()) if one.id != step.id]
    return {
        Want("opened", step.source, step.id): step,
        Want("exchange", step.source, step.source_task): step,
        **({sent: [*before, step]} if sent in seen else {}),
    }


def _updated(put: Put) -> str:
    return str(put.resource["meta"]["lastUpdated"])


def _moved(value: Any, step: Exchange) -> Any:
    """What was read of exchanges, with this one as it is after a step; its guard is what stands."""
    if isinstance(value, list):
        return [step if one.id == step.id else one for one in value]
    return step if value is not None and value.id == step.id else value


def settled(plans: list[Plan]) -> list[Plan]:
    """
    The same plans, as one transaction can do them.

    What several put is put once, over what stands; a referral that several change is changed once.
    """
    expected: dict[tuple[str, str], int] = {}
    last: dict[str, int] = {}
    for place, one in enumerate(plans):
        for put in one.puts:
            expected.setdefault((put.shelf, fhir.name(put.resource)), put.expected)
        last |= {step.id: place for step in one.exchanges}
    return [
        replace(
            one,
            puts=tuple(
                _over(put, expected[put.shelf, fhir.name(put.resource)]) for put in one.puts
            ),
            exchanges=tuple(step for step in one.exchanges if last[step.id] == place),
            owed=tuple(_due(due, expected) for due in one.owed),
        )
        for place, one in enumerate(plans)
    ]


def _over(put: Put, expected: int) -> Put:
    if put.expected == expected:
        return put
    at = fhir.moment(_updated(put))
    resource = stamped(put.resource, version=expected + 1, now=at)
    return replace(put, resource=resource, expected=expected)


def _due(due: Owed, expected: dict[tuple[str, str], int]) -> Owed:
    """A push of what is put once has the version that it is put under."""
    versions = {
        name: expected[due.shelf, name] + 1 if (due.shelf, name) in expected else version
        for name, version in due.versions.items()
    }
    return replace(due, versions=versions)
