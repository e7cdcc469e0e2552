"""The command line; a file for each group of commands."""

import typer

from app.cli import fhirpath, validate

app = typer.Typer(name="kinbridge", no_args_is_help=True, add_completion=False)


@app.callback()
def kinbridge() -> None:
    """A FHIR R4 service between health care and child welfare."""


app.command(name="fhirpath")(fhirpath.fhirpath)
app.command(name="validate")(validate.validate)
