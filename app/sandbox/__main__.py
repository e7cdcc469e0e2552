"""`python -m app.sandbox ehr|agency PORT DATABASE EXCHANGE`: one party, one process."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn

from app.sandbox import agency, ehr
from app.sandbox.server import Store, build

who, port, database, exchange = sys.argv[1:5]
store = Store(Path(database))
acts = {"ehr": ehr, "agency": agency}[who].acts(store, exchange)
uvicorn.run(build(store, acts), host="127.0.0.1", port=int(port), log_level="error")
