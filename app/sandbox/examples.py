"""The examples of our guide: good ones as they go over the wire, and wrong ones that differ in one thing."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from typing import Any, Final

import jsonpatch

from app import conformance

Resource = dict[str, Any]

FOLDER: Final = conformance.folder() / "kinbridge" / "examples"


@dataclass(frozen=True, slots=True)
class Wrong:
    """A good example with one change; the head of wrong.toml says what each field means."""

    id: str
    of: str
    rule: str
    at: str
    says: str
    patch: list[Resource]
    also: tuple[str, ...] = ()
    severity: str = "error"

    @property
    def resource(self) -> Resource:
        made: Resource = jsonpatch.apply_patch(good(self.of), self.patch)
        return made

    @property
    def valid(self) -> bool:
        """Whether it is valid all the same, because the rule only warns."""
        return self.severity != "error"


def names() -> list[str]:
    """The good examples."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def good(name: str) -> Resource:
    """A good example, a new value at each call."""
    found: Resource = json.loads((FOLDER / f"{name}.json").read_bytes())
    return found


def wrong() -> list[Wrong]:
    told = tomllib.loads((FOLDER / "wrong.toml").read_text(encoding="utf-8"))
    return [Wrong(**{**one, "also": tuple(one.get("also", ()))}) for one in told["wrong"]]
