"""The steps that an agency may record, mappings/outcomes.toml."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from app.fhir import Resource, concept
from app.settings import CANONICAL, Kind

STATUS: Final = f"{CANONICAL}/CodeSystem/cps-task-status"


class Event(BaseModel):
    """A step that an agency may record; the head of mappings/outcomes.toml says what each key means."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    kind: Kind
    status: str
    business_status: str = ""
    outcome_class: str = Field(alias="class")
    after: tuple[str, ...]

    def sets(self, task: Resource) -> Resource:
        """The Task in this state."""
        task = {**task, "status": self.status}
        if self.business_status:
            task["businessStatus"] = concept(STATUS, self.business_status)
        return task
