"""`python -m app.cli`: the command without its script."""

from app.cli import app

app()
