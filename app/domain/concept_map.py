"""The ConceptMaps of our guide, as they translate a code into another system's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app import fhir
from app.errors import MappingError
from app.fhir import Resource, listed


@dataclass(frozen=True, slots=True)
class ConceptMaps:
    """{(source system, target system): {code: code}}; what has no counterpart is missing."""

    tables: dict[tuple[str, str], dict[str, str]]

    def code(self, source: str, target: str, code: str) -> str:
        """The target system's code; "" where it has none."""
        return self.tables.get((source, target), {}).get(code, "")

    def into(self, target: str, coding: Resource) -> str:
        """The same for a coding of any system that is mapped to this one; its own code as it is."""
        system, code = str(coding.get("system", "")), str(coding.get("code", ""))
        if system == target:
            return code
        found = {
            mapped
            for (source, to), table in self.tables.items()
            if to == target and system in {"", source}
            if (mapped := table.get(code))
        }
        return found.pop() if len(found) == 1 else ""


def load(folder: Path) -> ConceptMaps:
    """
    Every ConceptMap-*.json of a folder.

    raises      MappingError: one that cannot be read, or a code with two counterparts
    """
    tables: dict[tuple[str, str], dict[str, str]] = {}
    for path in sorted(folder.glob("ConceptMap-*.json")):
        try:
            groups = listed(fhir.decode(path.read_bytes()).get("group"))
        except (OSError, AttributeError) as error:
            raise MappingError(f"{path}: {error}") from None
        for group in groups:
            table = tables.setdefault((group["source"], group["target"]), {})
            for element in group["element"]:
                codes = [one["code"] for one in listed(element.get("target")) if "code" in one]
                if len(codes) > 1:
                    raise MappingError(f"{path}: a code has two counterparts")
                if codes:
                    table[element["code"]] = codes[0]
    return ConceptMaps(tables)
