"""What every start reads, read once for all stories; none of them changes it."""

import gc
from copy import copy
from dataclasses import replace
from functools import cache
from typing import Any

from app import conformance, settings
from app.conformance import Definitions
from app.domain import mappings
from app.domain.halves import Halves
from app.domain.mappings import Mappings
from app.storage.parameters import Parameters


@cache
def definitions() -> Definitions:
    return conformance.load()


@cache
def parameters() -> Parameters:
    return Parameters(definitions())


@cache
def shipped() -> Mappings:
    made = mappings.load(settings.folder("mappings"), definitions())
    stays()
    return made


_AGAIN = iter(range(8))  # files of tests, after which all is compiled that is


def stays() -> None:
    """
    What has been loaded is not gone through in search of garbage, as in `kinbridge serve`.

    What stories let go in circles goes with the next file of tests; if it were frozen, it would stay.
    """
    gc.collect()
    if next(_AGAIN, None) is not None:
        gc.freeze()


def stand_ins() -> dict[str, Any]:
    """For a start: what is read once, and mappings of which nothing has been made yet."""
    templates = copy(shipped().templates)
    templates.halves = Halves()
    known = replace(shipped(), templates=templates)
    return {"definitions": definitions(), "parameters": parameters(), "known": known}
