"""What the service would make of its mappings is looked at before anybody is served."""

import asyncio
import re
import shutil

import pytest

from app import settings
from app.domain import mappings, specimens
from app.errors import MappingError
from app.main import open_service

SHIPPED = settings.folder("mappings")
# what a report's Task shows, without its intent
SHOWN = (
    """"intent", "lastModified", "owner", "priority",
  "requester", "status",
]

# 164.512(a)(1)""",
    """"lastModified", "owner", "priority", "requester", "status"]

# 164.512(a)(1)""",
)


def changed(tmp_path, file, old, new):
    """The mappings that come with the service, with one place of one file changed."""
    folder = tmp_path / "mappings"
    shutil.copytree(SHIPPED, folder)
    text = (folder / file).read_text()
    assert text.count(old) == 1
    (folder / file).write_text(text.replace(old, new))
    return folder


@pytest.mark.parametrize(
    ("file", "old", "new", "key"),
    [
        ("outcomes.toml", 'business_status = "closed"', 'business_status = "done"', "events.closed"),
        ("outcomes.toml", 'call-back = "P', 'ring-back = "P', "questions.ring-back"),
        ("outcomes.toml", 'indicated = "I', 'shown = "I', "outputs.disposition.codes.shown"),
        ("outcomes.toml", 'age-18-plus = "Of', 'adult = "Of', "reasons.screened-out.adult"),
        ("outcomes.toml", 'age-18-plus = "Of', 'age-18-plus = "\\u0001', "reasons.screened-out.age"),
        ("jurisdictions/ca.toml", 'says = "Form', 'says = "\\u0001', "written"),
        ("jurisdictions/ca.toml", 'hotline = "1', 'hotline = "\\u0001', "hotline"),
        ("disclosure.toml", *SHOWN, "rules.report-with-attestation"),
    ],
)  # fmt: skip
def test_what_would_be_made_wrong_stops_the_start(tmp_path, definitions, file, old, new, key):
    """A code that nobody knows, or a text that FHIR does not take, is named by file and key at once."""
    folder = changed(tmp_path, file, old, new)
    read = settings.read(database_url=f"sqlite:///{tmp_path / 'x.db'}", mappings=folder)

    with pytest.raises(MappingError, match=re.escape(f"{folder / file}: {key}")):
        asyncio.run(open_service(read, definitions=definitions))


@pytest.mark.parametrize(
    ("file", "old", "key"),
    [
        ("outcomes.toml", 'call-back = "Please call."', "questions.call-back"),
        ("outcomes.toml", 'duplicate = "Reported already"', "reasons.screened-out.duplicate"),
        ("jurisdictions/ca.toml", 'says = "Report at once by telephone."', "oral.says"),
    ],
)
def test_a_blank_sentence_stops_the_start(tmp_path, file, old, key):
    """Where a person is to read something, nothing is no answer."""
    blank = changed(tmp_path, file, old, old.partition('"')[0] + '" "')

    with pytest.raises(MappingError, match=re.escape(f"{blank / file}: {key}")):
        mappings.load(blank)


def test_what_is_made_of_the_shipped_mappings_conforms(definitions):
    """Every code and wording that comes with the service is looked at, on every kind of shelf."""
    shipped = mappings.load(SHIPPED, definitions)

    specimens.hold(shipped, definitions, SHIPPED)

    whole = [
        (key, one)
        for _, key, house, plan in specimens.made(shipped, definitions)
        for one in house.ours(plan)
    ]
    made = [(key, one.shelf.rpartition("/")[2], one.resource["resourceType"]) for key, one in whole]
    keys = {key for key, *_ in made}
    outcomes = shipped.outcomes
    assert {f"events.{one.id}" for one in outcomes.events} <= keys
    assert {f"questions.{one}" for one in outcomes.questions} <= keys
    assert {
        f"outputs.{one.code}.codes.{code}" for one in outcomes.outputs for code in one.codes
    } <= keys
    assert {shelf for _, shelf, _ in made} == {
        "chart", "support", "reports", "intake", "reporter", "treating",
    }  # fmt: skip
    assert {kind for *_, kind in made} == {"Bundle", "PractitionerRole", "ServiceRequest", "Task"}
    assert ("events.assigned", "intake", "PractitionerRole") in made
    onward = [one for key, one in whole if key == "events.transferred" and one.expected == 0]
    assert {one.shelf.split("/")[0] for one in onward} == {"clinic", "agency-1"}
    assert ("events.cancelled", "chart", "Task") in made


def test_a_flag_that_no_element_asks_for_stops_the_start(tmp_path):
    """A form's own question must not be lost to a slip of the pen."""
    folder = changed(tmp_path, "jurisdictions/ca.toml", 'flags = ["race"]', 'flags = ["rase"]')

    with pytest.raises(MappingError, match=r"ca\.toml: flags: no element asks for rase"):
        mappings.load(folder)
