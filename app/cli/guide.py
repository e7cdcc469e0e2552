"""kinbridge profiles package and examples: our own guide, for those who build against it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app import conformance
from app.cli.refusal import refuse


def package(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Folder with a package.json; our own guide where none is named."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path(
        "package.tgz"
    ),
) -> None:
    """Make an installable FHIR package, with snapshots; the same folder gives the same bytes."""
    from app.conformance import packing
    from app.errors import Refusal

    ours = conformance.folder() / "kinbridge"
    definitions = conformance.load()
    try:
        if folder is not None and folder.resolve() != ours.resolve():
            definitions.add(folder)
        raw = packing.pack(folder or ours, definitions)
    except (Refusal, OSError) as error:
        text = error.issues[0].text if isinstance(error, Refusal) else str(error)
        refuse(text)
    output.write_bytes(raw)
    typer.echo(f"{output}: {len(raw)} bytes")


def examples(
    folder: Annotated[Path, typer.Argument(help="Where to write them; made if it is not there.")],
) -> None:
    """Write the guide's examples, `good/` and `wrong/`; wrong.toml says what is wrong with each."""
    from app import fhir
    from app.sandbox import examples as known

    for kind in ("good", "wrong"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for name in known.names():
        (folder / "good" / f"{name}.json").write_bytes(fhir.encode(known.good(name)) + b"\n")
    wrong = known.wrong()
    for one in wrong:
        (folder / "wrong" / f"{one.id}.json").write_bytes(fhir.encode(one.resource) + b"\n")
    (folder / "wrong" / "wrong.toml").write_bytes((known.FOLDER / "wrong.toml").read_bytes())
    typer.echo(f"{folder}: {len(known.names())} good, {len(wrong)} wrong")
