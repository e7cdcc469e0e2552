"""Every table; the shelf leads each key that a caller's request can reach."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    literal_column,
    text,
)

METADATA: Final = MetaData()

# Both databases order text by its bytes; a language's order would put ".5Z" before "Z".
TEXT: Final = Text().with_variant(Text(collation="C"), "postgresql")


def _text(name: str) -> Column[str]:
    return Column(name, TEXT, nullable=False)


def of_key(updated: ColumnElement[str]) -> ColumnElement[str]:
    """
    The time of what is found by its key: with the bare column SQLite takes the index by time, and reads
    a whole shelf for it.
    """
    return updated.concat(literal_column("''"))


# The last version of a resource; method DELETE: it does not stand, and body is empty.
# exchange: the referral that it is a copy or a projection of, or "".
# facts: what a search may look at, app/storage/entries.py; "" where it does not stand.
RESOURCE: Final = Table(
    "resource",
    METADATA,
    _text("shelf"),
    _text("type"),
    _text("id"),
    Column("version", Integer, nullable=False),
    _text("updated"),
    _text("method"),
    _text("exchange"),
    Column("facts", TEXT, nullable=False, server_default=""),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("shelf", "type", "id"),
    Index("resource_by_time", "shelf", "updated", "type", "id"),
    Index("resource_by_type", "shelf", "type", "updated", "id"),
    Index(
        "resource_by_exchange", "shelf", "exchange",
        sqlite_where=text("exchange <> ''"), postgresql_where=text("exchange <> ''"),
    ),
)  # fmt: skip

# What stood there before.
VERSION: Final = Table(
    "version",
    METADATA,
    _text("shelf"),
    _text("type"),
    _text("id"),
    Column("version", Integer, nullable=False),
    _text("updated"),
    _text("method"),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("shelf", "type", "id", "version"),
    Index("version_by_time", "shelf", "updated", "type", "id", "version"),
)

# From what a search asks for to what stands and carries it, newest last; docs/decisions/0010.
# term: Type.path and value; qualifier: the system of a code, the type of a reference.
# updated: "" where a term leads to few; docs/decisions/0040.
POSTING: Final = Table(
    "posting",
    METADATA,
    _text("shelf"),
    _text("term"),
    _text("updated"),
    _text("id"),
    _text("qualifier"),
    PrimaryKeyConstraint("shelf", "term", "updated", "id", "qualifier"),
    sqlite_with_rowid=False,
)

# When something came to a shelf last: milliseconds since 1970; docs/decisions/0080.
CLOCK: Final = Table(
    "clock",
    METADATA,
    _text("shelf"),
    Column("last", BigInteger, nullable=False),
    PrimaryKeyConstraint("shelf"),
)

# Packages whose search parameters have found their way into the facts of all that stands, with the
# rule by which; and, under "", how far that has come.
INDEXED: Final = Table(
    "indexed",
    METADATA,
    _text("package"),
    _text("rule"),
    PrimaryKeyConstraint("package"),
)

# Messages taken in, by a keyed hash of the sender's identifier.
RECEIPT: Final = Table(
    "receipt",
    METADATA,
    _text("shelf"),
    _text("key"),
    _text("digest"),
    _text("result"),
    PrimaryKeyConstraint("shelf", "key"),
)

# What of a screening maps nowhere yet; `wanted` is what would map it, "key" in the plan's words.
WORKLIST: Final = Table(
    "worklist",
    METADATA,
    _text("shelf"),
    _text("source"),
    _text("kind"),
    _text("wanted"),
    _text("question"),
    _text("system"),
    _text("code"),
    _text("text"),
    PrimaryKeyConstraint("shelf", "source", "wanted"),
    Index("worklist_by_wanted", "shelf", "wanted", "source"),
)

# A tenant's own codes and words: what they are to a loaded instrument.
CROSSWALK: Final = Table(
    "crosswalk",
    METADATA,
    _text("shelf"),
    _text("wanted"),
    _text("target"),
    PrimaryKeyConstraint("shelf", "wanted"),
)

# One row a referral or report: the truth of which the Tasks are projections.
EXCHANGE: Final = Table(
    "exchange",
    METADATA,
    _text("id"),
    _text("kind"),
    _text("source"),
    _text("source_task"),
    _text("source_request"),
    _text("recipient"),
    _text("recipient_task"),
    _text("consent"),
    _text("state"),
    Column("sequence", Integer, nullable=False),
    _text("opened"),
    _text("copies"),
    _text("terms"),
    Column("due", Float, nullable=False),
    Column("version", Integer, nullable=False),
    PrimaryKeyConstraint("id"),
    Index("exchange_by_source", "source", "source_task", unique=True),
    Index("exchange_by_request", "source", "source_request"),
    Index("exchange_by_recipient", "recipient", "recipient_task", unique=True),
    Index("exchange_due", "due", "id"),
)

# Which exchanges sent what stands on a shelf, name: Type/id; docs/decisions/0047. ended: 1, nobody works
# on it any more. due: UNIX seconds when the copy is to be brought up to date, 0: it is.
COPIED: Final = Table(
    "copied",
    METADATA,
    _text("shelf"),
    _text("name"),
    Column("ended", Integer, nullable=False),
    _text("exchange"),
    Column("due", Float, nullable=False),
    PrimaryKeyConstraint("shelf", "name", "ended", "exchange"),
    Index("copied_by_exchange", "exchange"),
    Index("copied_due", "due"),
)

# Events that an agency said, each once; standing: applied, or late. Nothing of what they said.
EVENT: Final = Table(
    "event",
    METADATA,
    _text("exchange"),
    _text("shelf"),
    _text("key"),
    Column("sequence", Integer, nullable=False),
    _text("event"),
    _text("digest"),
    _text("standing"),
    _text("at"),
    PrimaryKeyConstraint("exchange", "key"),
)

# What was expunged, so that a restore of an older backup can do it again. scrubbed: from the file too.
PURGE: Final = Table(
    "purge",
    METADATA,
    _text("shelf"),
    _text("type"),
    _text("id"),
    _text("exchange"),
    _text("why"),
    _text("at"),
    Column("scrubbed", Integer, nullable=False),
    PrimaryKeyConstraint("shelf", "type", "id", "why"),
)

# What is owed to a partner's own server. state: owed, delivered, failed. Times are UNIX seconds.
OUTBOX: Final = Table(
    "outbox",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    _text("shelf"),
    _text("order_key"),
    _text("versions"),
    _text("state"),
    Column("owed_at", Float, nullable=False),
    Column("due", Float, nullable=False),
    Column("leased_until", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Index("outbox_due", "state", "due"),
    Index("outbox_order", "shelf", "order_key", "state", "id"),
)

# Each try at it; status 0: no answer came. No body is kept.
ATTEMPT: Final = Table(
    "attempt",
    METADATA,
    Column("outbox", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("status", Integer, nullable=False),
    _text("codes"),
    PrimaryKeyConstraint("outbox", "number"),
)

# The accounting of disclosures, 45 CFR 164.528(b)(2); kept six years. requester: Type/id on the shelf
# of the human who asked for it, "" where a client alone did.
LEDGER: Final = Table(
    "ledger",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    _text("at"),
    _text("exchange"),
    _text("source"),
    _text("recipient"),
    _text("recipient_name"),
    _text("subject"),
    _text("purpose"),
    _text("rule"),
    _text("basis"),
    _text("caller"),
    Column("requester", TEXT, nullable=False, server_default=""),
    _text("disclosed"),
    Index("ledger_of", "source", "subject", "at"),
)

# Who may call; the secret itself is shown once and never stored. keys: instead of one, its JWKS or
# the https URL of that, "" for none.
CLIENT: Final = Table(
    "client",
    METADATA,
    _text("id"),
    _text("shelf"),
    _text("scopes"),
    _text("digest"),
    _text("created"),
    Column("keys", TEXT, nullable=False, server_default=""),
    PrimaryKeyConstraint("id"),
)

# Assertions that were taken: each may be said once. said: a digest of its jti; until: UNIX seconds.
ASSERTION: Final = Table(
    "assertion",
    METADATA,
    _text("client"),
    _text("said"),
    Column("until", Float, nullable=False),
    PrimaryKeyConstraint("client", "said"),
    Index("assertion_until", "until"),
)

# Keys that the service made for itself.
SECRET: Final = Table(
    "secret",
    METADATA,
    _text("name"),
    Column("value", LargeBinary, nullable=False),
    PrimaryKeyConstraint("name"),
)
