"""What every flow works with; wired by hand in main.build."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from app.conformance import Definitions
from app.domain.mappings import Mappings
from app.flows.aside import Aside
from app.flows.callers import Callers
from app.flows.room import Rooms
from app.flows.turn import Turn
from app.partners import Partners
from app.settings import Settings
from app.storage.commits import Commits
from app.storage.database import Database
from app.storage.parameters import Parameters


@dataclass(frozen=True, slots=True)
class Service:
    """
    clock       aware, UTC
    chance      uniform in [0, 1), for jitter
    owed        called after a commit that owes something, with its time (UNIX seconds), so that nobody has to poll
    sent        called after a referral or report was sent: its kind, and the rule that was overridden
    turns       by shelf, of those who were overtaken by another write
    rooms       for what is large
    aside       threads for what is long
    """

    settings: Settings
    mappings: Mappings
    definitions: Definitions
    parameters: Parameters
    database: Database
    commits: Commits
    partners: Partners
    key: bytes
    clock: Callable[[], datetime]
    chance: Callable[[], float]
    callers: Callers
    owed: Callable[[float], None]
    sent: Callable[[str, str], None]
    turns: defaultdict[str, Turn] = field(default_factory=lambda: defaultdict(Turn))
    rooms: Rooms = field(default_factory=Rooms)
    aside: Aside = field(default_factory=Aside)
