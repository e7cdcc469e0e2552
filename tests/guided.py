"""The guide's files, as its tests read them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "fhir_profiles" / "kinbridge"
NOW = datetime(2026, 11, 23, tzinfo=UTC)
DEFINITIONS = sorted(path for path in GUIDE.glob("*.json") if path.name != "package.json")
EXAMPLES = sorted((GUIDE / "examples").glob("*.json"))


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_bytes())


def definitions(kind: str) -> list[dict[str, Any]]:
    return [read(path) for path in DEFINITIONS if path.stem.startswith(f"{kind}-")]
