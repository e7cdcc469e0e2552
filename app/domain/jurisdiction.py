"""Where a report goes by law, whom a person calls, by when, and what may be told of its outcome."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.domain.event import Sentence
from app.fhir import Resource, listed
from app.settings import Audience

# Outcome classes that a rule on file may open: A is everybody's, I, J and K nobody's.
Class = Literal["B", "C", "D", "E", "F", "G", "H"]
RECEIPT: Final = frozenset({"A"})


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Duty(_Model):
    """
    says        in a sentence
    within_hours    after the suspicion (oral) or the telephone report (written); 0: at once
    electronic  whether sending the report here discharges it
    """

    says: Sentence
    within_hours: int = Field(ge=0)
    electronic: bool = False


class Authority(_Model):
    """
    Who takes reports, and of children where.

    states      two letters, as in Address.state; counties, lower case, narrow them down
    """

    name: str
    states: tuple[str, ...] = ()
    counties: tuple[str, ...] = ()

    def takes(self, address: Resource) -> bool:
        state = str(address.get("state", "")).strip().upper()
        county = str(address.get("district", "")).strip().lower().removesuffix(" county")
        return state in self.states and (not self.counties or county in self.counties)


class Feedback(_Model):
    """
    What a statute lets one audience learn of a report's outcome, beyond its receipt.

    signed_off      who read it as counsel, and when; "" does not disclose
    mandated_only   told to those whom the law obliges to report
    on_request      told where the report asked for it, cps-feedback-request
    tracks          of the case to which it applies; none named: all
    elsewhere       classes on every other track
    """

    audience: Audience
    classes: tuple[Class, ...]
    statute: str
    signed_off: str = ""
    mandated_only: bool = False
    on_request: bool = False
    tracks: tuple[str, ...] = ()
    elsewhere: tuple[Class, ...] = ()

    def opens(self, *, mandated: bool, wanted: bool, track: str) -> frozenset[str]:
        """The classes that it opens in this case."""
        if not self.signed_off:
            return frozenset()
        if (self.mandated_only and not mandated) or (self.on_request and not wanted):
            return frozenset()
        applies = not self.tracks or track in self.tracks
        return frozenset(self.classes if applies else self.elsewhere)


class Jurisdiction(_Model):
    """One file of mappings/jurisdictions; the head of example.toml says what each key means."""

    id: str
    name: str
    hotline: Sentence
    hours: str
    flags: tuple[str, ...] = ()
    acknowledge_minutes: float = Field(default=15.0, gt=0)
    authority: Authority | None = None
    oral: Duty | None = None
    written: Duty | None = None
    feedback: tuple[Feedback, ...] = ()

    def rule(self, audience: Audience) -> Feedback | None:
        return next((one for one in self.feedback if one.audience == audience), None)

    @property
    def acknowledge(self) -> timedelta:
        return timedelta(minutes=self.acknowledge_minutes)

    def takes(self, addresses: list[Resource]) -> bool:
        return self.authority is not None and any(map(self.authority.takes, listed(addresses)))
