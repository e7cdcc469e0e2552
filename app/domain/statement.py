"""What an agency's case system says in a few words: the body of $record-event."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from app import fhir
from app.errors import Issue, Malformed
from app.fhir import Resource, listed

_SHORT: Final = 80


def _day(said: str) -> str:
    """Raises ValueError: no day of the calendar."""
    if said and not re.fullmatch(r"\d{4}-\d\d-\d\d", said):
        raise ValueError("write a day as YYYY-MM-DD")
    return str(date.fromisoformat(said)) if said else ""


def _moment(said: str) -> str:
    """Raises ValueError: neither a day nor a time with its zone."""
    if "T" not in said:
        return _day(said)
    if not re.fullmatch(r"[-0-9]{10}T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", said):
        raise ValueError("write a day, or a time as YYYY-MM-DDThh:mm:ss with its zone")
    fhir.moment(said)
    return said


# without control characters, which no FHIR string may hold; blank is nothing
Text = Annotated[
    str, StringConstraints(strip_whitespace=True, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]*$")
]
Line = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=_SHORT, pattern=r"^[^\x00-\x1f]*$")
]
Named = Annotated[Line, Field(min_length=1)]
Code = Annotated[str, StringConstraints(max_length=_SHORT, pattern=r"^([^\s]+( [^\s]+)*)?$")]
Day = Annotated[str, AfterValidator(_day)]
Moment = Annotated[str, AfterValidator(_moment)]


class Person(BaseModel):
    """A name and a telephone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Named
    phone: Line = ""


class Said(BaseModel):
    """
    The body of $record-event.

    event       as in mappings/outcomes.toml, which says what may follow what
    identifier, sequence    the agency's own for this event, by which a repetition is known
    date        of what happened, where the event has one
    disposition, services   in NCANDS's codes or ours
    to          identifier (system|value) of the authority that a report is transferred to
    contact     whom the clinic calls there, where that authority takes no part here
    question, detail, due   what is asked of the clinic, with awaiting-information
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True
    )

    event: Line
    identifier: Line = ""
    sequence: int = Field(default=0, ge=0, le=2**31 - 1)
    date: Moment = ""
    intake_number: Line = ""
    linked_case: Line = ""
    track: Literal["", "investigation", "alternative-response"] = ""
    reason: Code = ""
    disposition: Code = ""
    services: tuple[Annotated[Code, Field(min_length=1)], ...] = ()
    closed_date: Day = ""
    first_contact_date: Day = ""
    placement_date: Day = ""
    custodian: Person | None = None
    consent_authority: Person | None = None
    owner: Person | None = None
    note: Annotated[Text, Field(max_length=4000)] = ""
    to: Annotated[Line, Field(max_length=400)] = ""
    contact: Person | None = None
    question: Code = ""
    detail: Annotated[Text, Field(max_length=1000)] = ""
    due: Moment = ""


def said(body: Any) -> Said:
    """
    What was sent, as Parameters or as plain JSON.

    raises      Malformed: each part that is not understood, by its name
    """
    if not isinstance(body, dict):
        raise Malformed("Send Parameters, or an object with an event.")
    if body.get("resourceType") == "Parameters":
        body = _parameters(body)
    try:
        return Said.model_validate(body)
    except ValidationError as error:
        known = {name for name, field in Said.model_fields.items()} | {
            str(field.alias) for field in Said.model_fields.values()
        }
        raise Malformed(
            issues=tuple(
                Issue("error", "structure", _text(fault), _place(fault["loc"], known))
                for fault in error.errors(include_input=False, include_url=False)
            )
        ) from None


def _text(fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        known = ", ".join(str(field.alias) for field in Said.model_fields.values())
        return f"A member here is not known; known are {known}."
    return f"{fault['msg']}."


def _place(location: tuple[int | str, ...], known: set[str]) -> str:
    """Where it is at fault; a name that nobody knows is the sender's own word and is not repeated."""
    first = str(location[0]) if location else "body"
    return first if first in known else "body"


def _parameters(body: Resource) -> Resource:
    found: dict[str, Any] = {}
    for one in listed(body.get("parameter")):
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            raise Malformed("A parameter has a name.", expression="Parameters.parameter")
        name = to_camel(one["name"].replace("-", "_"))
        value = _parameter(one)
        if name == "services":
            found.setdefault(name, []).append(value)
        else:
            found[name] = value
    return found


def _parameter(parameter: Resource) -> Any:
    if "part" in parameter:
        parts = [one for one in listed(parameter["part"]) if isinstance(one, dict)]
        return {str(one.get("name")): _parameter(one) for one in parts}
    return next((value for name, value in parameter.items() if name.startswith("value")), None)
