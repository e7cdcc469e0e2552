"""What leads from a value to its resources: which of it has a time, and what an update moves."""

import sqlite3
import tracemalloc

import anyio
import pytest
from typer.testing import CliRunner

from app.cli import app as cli
from app.fhirpath import ucum
from app.known import Known
from app.storage import entries, index, migration, spans
from app.storage.entries import ENTRY, FIELD, leads_to_few

POSTINGS = "SELECT shelf, term, updated, id, qualifier FROM posting ORDER BY 1, 2, 3, 4, 5"


def facts(*entries):
    """As a resource's row holds them."""
    return f"{ENTRY}{ENTRY.join(FIELD.join(one) for one in entries)}{ENTRY}"


@pytest.mark.parametrize(
    ("name", "value", "qualifier", "few"),
    [
        ("identifier~t", "r-17", "urn:x", True),
        ("identifier~t:of-type", "urn:x|MR|17", "", True),
        ("telecom~t", "+1-555-0100", "", True),
        ("name.family~s", "rivera", "Rivera", True),
        ("url~u", "urn:x", "", True),
        ("focus~r", "order-17", "ServiceRequest", True),
        ("status~t", "requested", "", False),
        ("owner~r", "north", "Organization", False),
        ("for~r", "rosa", "Patient", True),
        ("for~r", "rosa", None, False),
        ("for~r", "https://x.example.org/Patient/rosa", "Patient", False),
        ("requester~r", "rosa", "Patient", False),
        ("subject~r", "rosa", "Patient", False),
        ("encounter~r", "e1", "Encounter", False),
        ("owner~r:identifier", "9999999992", "urn:npi", False),
        ("questionnaire~r", "urn:x", "Task", False),
        ("questionnaire~r", "https://x.example.org/Questionnaire/a", "Observation", False),
        ("focus~r", "order-17", None, False),
    ],
)
def test_what_leads_to_few(name, value, qualifier, few):
    """Not what gathers thousands, nor a URL whatever its version is called."""
    assert leads_to_few(name, value, qualifier) is few


def test_an_update_moves_what_has_a_time_and_nothing_else():
    """The order of what gathers thousands changes; an identifier leads where it led."""
    said = facts(("+identifier~t", "r-17", "urn:x"), ("+owner~r", "north", "Organization"))

    gone, led = index.moved("a/b", "Task", "t1", ("2026-01-01", said), ("2026-01-02", said))

    term = f"Task.owner~r{FIELD}north"
    assert gone == [("a/b", term, "2026-01-01", "t1", "Organization")]
    assert led == [("a/b", term, "2026-01-02", "t1", "Organization")]


def test_an_update_of_thousands_moves_what_it_changes():
    """Compared some at a time, so that others have their turn, it is the same."""
    values = [("+identifier~t", str(number), "u") for number in range(9_000)]
    before, after = facts(*values[:6_000]), facts(*values[3_000:])

    gone, led = index.moved("a/b", "Patient", "p", ("2026-01-01", before), ("2026-01-02", after))

    term = f"Patient.identifier~t{FIELD}"
    assert [one[1] for one in gone] == [f"{term}{number}" for number in range(3_000)]
    assert [one[1] for one in led] == [f"{term}{number}" for number in range(6_000, 9_000)]


def test_an_update_moves_what_it_changes():
    """Of two identifiers the one that is another; of one millisecond nothing that is the same."""
    before = facts(("+identifier~t", "1", "u"), ("+identifier~t", "2", "u"), ("+status~t", "a", ""))
    after = facts(("+identifier~t", "1", "u"), ("+identifier~t", "3", "u"), ("+status~t", "a", ""))

    gone, led = index.moved("a/b", "Task", "t1", ("2026", before), ("2026", after))

    assert gone == [("a/b", f"Task.identifier~t{FIELD}2", "", "t1", "u")]
    assert led == [("a/b", f"Task.identifier~t{FIELD}3", "", "t1", "u")]


def test_a_long_text_that_changes_at_its_end_is_led_to_as_before():
    """The index has the beginning of it: what leads there stands, and is in neither list."""
    begins = "a" * entries.LONGEST
    before, after = (facts(("+name~s", begins + end, begins + end)) for end in "bc")

    gone, led = index.moved("a/b", "Patient", "p", ("2026-01-01", before), ("2026-01-02", after))

    assert (gone, led) == ([], [])


def test_one_of_two_that_are_led_to_alike_goes():
    """Ana and ANA are found by one row, which the other still needs."""
    before = facts(("+name~s", "ana", "Ana"), ("+name~s", "ana", "ANA"))
    after = facts(("+name~s", "ana", "Ana"))

    moved = index.moved("a/b", "Patient", "p", ("2026-01-01", before), ("2026-01-02", after))

    assert moved == ([], [])


def test_what_is_deleted_is_not_led_to():
    """Nothing stands there: every row goes."""
    said = facts(("+identifier~t", "1", "u"), ("+status~t", "requested", ""))

    gone, led = index.moved("a/b", "Task", "t1", ("2026-01-01", said), ("2026-01-02", ""))

    assert ([one[2] for one in gone], led) == (["", "2026-01-01"], [])


def test_an_index_of_before_is_moved(exchange, referred):
    """Migrations 0008 and 0011 make of an index in which all has a time the one that the service makes."""
    made = exchange.rows(POSTINGS)
    exchange.http.__exit__()
    few = [row for row in made if not row[2]]
    assert 0 < len(few) < len(made)
    undo(
        exchange.database_url,
        "UPDATE posting SET updated = (SELECT r.updated FROM resource r"
        " WHERE r.shelf = posting.shelf AND r.id = posting.id AND posting.term LIKE r.type || '.%')"
        " WHERE updated = ''",
        *BEFORE_COPIED,
        "UPDATE alembic_version SET version_num = '0007'",
    )
    assert all(row[2] for row in exchange.rows(POSTINGS))

    migrated(exchange.database_url)

    assert exchange.rows(POSTINGS) == made


# what each migration after 0008 has added
BEFORE_COPIED = (
    "DROP TABLE clock",
    "DROP TABLE assertion", "ALTER TABLE client DROP COLUMN keys",
    "DROP TABLE copied", "ALTER TABLE ledger DROP COLUMN requester",
)  # fmt: skip


def test_what_was_sent_before_is_found(exchange, referred, reported):
    """Migration 0009 knows of each open and each ended referral what the service notes when it is sent."""
    _, theirs = referred
    ended = {**theirs, "status": "rejected"}
    exchange.call("PUT", f"agency/support/fhir/Task/{theirs['id']}", ended)
    rows = "SELECT shelf, name, ended, exchange FROM copied ORDER BY shelf, name"
    noted = exchange.rows(rows)
    exchange.http.__exit__()
    assert {row[2] for row in noted} == {0, 1}
    undo(exchange.database_url, *BEFORE_COPIED, "UPDATE alembic_version SET version_num = '0008'")

    migrated(exchange.database_url)

    assert exchange.rows(rows) == noted


def test_a_purge_list_of_before_stays(exchange, reported):
    """Migration 0013 keeps what was expunged, and has room for both rows of one name."""
    row = "INSERT INTO purge VALUES ('a/b', 'Task', '1', 'x', '{}', '2026-01-01T00:00:00.000Z', 1)"
    undo(exchange.database_url, row.format("amended"))
    exchange.http.__exit__()
    undo(exchange.database_url, "UPDATE alembic_version SET version_num = '0012'")

    migrated(exchange.database_url)
    undo(exchange.database_url, row.format("expunged"))

    told = exchange.rows("SELECT why FROM purge WHERE shelf = 'a/b' ORDER BY why")
    assert told == [("amended",), ("expunged",)]


def test_names_of_before_are_found_by_plain_letters(exchange):
    """No service starts on the index of before; `kinbridge migrate` makes it anew."""
    child = {"resourceType": "Patient", "id": "an", "name": [{"family": "Đặng"}]}
    assert exchange.call("PUT", "clinic/chart/fhir/Patient/an", child).status_code == 201
    made, facts = exchange.rows(POSTINGS), exchange.rows("SELECT facts FROM resource")
    assert "Patient.name.family~s\x1fdang" in {row[1] for row in made}
    exchange.http.__exit__()
    undo(
        exchange.database_url,
        "UPDATE posting SET term = replace(term, 'dang', 'đang')",
        "UPDATE resource SET facts = replace(facts, 'dang', 'đang')",
        "UPDATE indexed SET rule = '1'",
        "UPDATE alembic_version SET version_num = '0013'",
    )
    with pytest.raises(migration.NeedsMigration):
        anyio.run(migration.check, exchange.database_url)

    migrated(exchange.database_url)

    assert exchange.rows(POSTINGS) == made
    assert exchange.rows("SELECT facts FROM resource") == facts


def migrated(url):
    done = CliRunner().invoke(
        cli, ["migrate", "--database", url], env={"KINBRIDGE_OWNER_URL": owner(url)}
    )
    assert done.exit_code == 0, done.output


def owner(url):
    return url.replace("service@", "owner@") if url.startswith("postgresql") else ""


def undo(url, *statements):
    """Statements by who owns the tables."""
    if not url.startswith("postgresql"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as database:
            for one in statements:
                database.execute(one)
        return
    import asyncpg

    async def run():
        connection = await asyncpg.connect(owner(url))
        for one in statements:
            await connection.execute(one)
        await connection.close()

    anyio.run(run)


@pytest.mark.parametrize(
    ("look", "text"),
    [
        (Known(str.upper).__getitem__, "http://example.org/{}"),
        (spans.instants, "2026-11-26T09:15:00.{}Z"),
        (ucum.unit, "{}"),
        (ucum.is_code, "{}"),
    ],
)
def test_no_text_of_a_mebibyte_is_remembered(look, text):
    """What is looked up again and again is short; what somebody sends to fill the memory is not kept."""
    tracemalloc.start()

    for number in range(20):
        look(text.format(f"{number}{'1' * 2**20}"))

    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 4 * 2**20
