"""What informaticists and privacy officers edit, read and checked once: the folder mappings/."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from app.domain.completeness import Standard
from app.domain.disclosure import FACTS, Rule
from app.domain.event import Outcomes
from app.domain.instrument import Instrument
from app.domain.jurisdiction import Jurisdiction
from app.errors import MappingError

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Mappings:
    """
    Everything that is data.

    advice      {fact: what to do where it does not hold}
    """

    instruments: tuple[Instrument, ...]
    rules: tuple[Rule, ...]
    advice: dict[str, str]
    outcomes: Outcomes
    jurisdictions: dict[str, Jurisdiction]
    completeness: Standard

    def hotline(self, jurisdiction: str) -> str:
        """A sentence that names the hotline; "" where no jurisdiction is on file."""
        found = self.jurisdictions.get(jurisdiction)
        return f"If a child is in danger now, call {found.hotline} ({found.name})." if found else ""


class _Disclosure(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    facts: dict[str, str]
    rules: tuple[Rule, ...]


def load(folder: Path) -> Mappings:
    """
    Read the folder.

    raises      MappingError: a file is missing, is not TOML, or has a key or value that nobody knows;
                the text names file and key
    """
    disclosure = _read(folder / "disclosure.toml", _Disclosure)
    named = {fact for rule in disclosure.rules for fact in rule.requires}
    for unknown in sorted((named | disclosure.facts.keys()) - FACTS):
        raise MappingError(f"{folder / 'disclosure.toml'}: nobody knows the fact {unknown}")
    for silent in sorted(named - disclosure.facts.keys()):
        raise MappingError(
            f"{folder / 'disclosure.toml'}: [facts] does not say what {silent} needs"
        )
    jurisdictions = [_read(path, Jurisdiction) for path in _files(folder / "jurisdictions")]
    return Mappings(
        instruments=tuple(_read(path, Instrument) for path in _files(folder / "instruments")),
        rules=disclosure.rules,
        advice=disclosure.facts,
        outcomes=_read(folder / "outcomes.toml", Outcomes),
        jurisdictions={one.id: one for one in jurisdictions},
        completeness=_read(folder / "completeness.toml", Standard),
    )


def _files(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.toml"))
    if not found:
        raise MappingError(f"{folder}: no mapping is there")
    return found


def _read(path: Path, model: type[_Model]) -> _Model:
    try:
        data: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return TypeAdapter(model).validate_python(data)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MappingError(f"{path}: {error}") from None
    except ValidationError as error:
        faults = [
            f"{path}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)
        ]
        raise MappingError("\n".join(faults)) from None
