"""Options that many commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Database = Annotated[str | None, typer.Option(help="sqlite:///PATH or postgresql://…")]
Config = Annotated[Path | None, typer.Option(help="TOML file; see the README.")]
