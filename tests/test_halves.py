"""What is made keeps its profile by both of its halves, exactly where it keeps it as a whole."""

import copy
from datetime import UTC, datetime

import pytest

from app import settings
from app.domain import making, mappings, planner
from app.domain.case import Case
from app.domain.change import Caller, Change, Entry
from app.domain.halves import Halves
from app.domain.loaded import Loaded, NotLoaded, Stored
from app.domain.making import Who

NOW = datetime(2026, 11, 24, tzinfo=UTC)
LOINC = "http://loinc.org"
FRAMES = [
    {
        "effectiveDateTime": "2026-11-23T09:15:00Z",
        "derivedFrom": [{"reference": "QuestionnaireResponse/a"}],
    },
    {
        "effectiveDateTime": "2026-11-22",
        "encounter": {"reference": "Encounter/e"},
        "performer": [{"reference": "Practitioner/p"}],
        "derivedFrom": [{"reference": "QuestionnaireResponse/b"}],
    },
]
WRONG_SOURCES = [
    {"effectiveDateTime": "2026"},
    {"effectiveDateTime": "23.11.2026"},
    {"encounter": {"reference": "Patient/p"}},
    {"performer": [{"reference": "Device/d"}]},
    {"derivedFrom": [{"reference": "Patient/p"}]},
    {"hasMember": [{"reference": "Patient/p"}]},
    {"issued": "2026-11-23"},
    {"subject": {"reference": "Practitioner/p"}},
    {"subject": {}},
]
WRONG_WORDS = [
    {"category": []},
    {"category": [{"coding": [{"system": "http://example.org", "code": "survey"}]}]},
    {"code": {"text": "No code"}},
    {"dataAbsentReason": {"text": "unknown"}},
    {"interpretation": [{"coding": [{"code": 1}]}]},
    {"status": "preliminary"},
    {"valueQuantity": {"value": 1, "system": "http://example.org", "code": "x"}},
    {"value": "x"},
]


@pytest.fixture(scope="module")
def made(definitions):
    """Each answer that an instrument which ships can have, in each of two frames."""
    known = mappings.load(settings.folder("mappings"), definitions)
    found = []
    for frame in FRAMES:
        who = Who("one", {"reference": "Patient/p"})
        for instrument in known.forms.instruments:
            for question in instrument.questions:
                for option in question.answers:
                    template = known.templates.answer(instrument, question, option)
                    coding = {"system": option.system, "code": option.code}
                    said = {"valueCodeableConcept": {"coding": [coding]}}
                    found.append(making.observation(
                        template, who, "id", frame, said, verdict=option.verdict
                    ))  # fmt: skip
    return found


def whole(definitions, resource):
    found = definitions.check(resource, now=NOW)
    return [one for one in found if one.severity in {"error", "fatal"}]


def test_what_keeps_its_profile_has_no_fault(definitions, made):
    """Everything that can be made of an answer is right, as a whole and by halves."""
    halves = Halves()

    assert list(halves.faults(made, definitions, now=NOW)) == []
    assert [one for each in made for one in whole(definitions, each)] == []


@pytest.mark.parametrize("wrong", [*WRONG_SOURCES, *WRONG_WORDS], ids=str)
def test_a_fault_in_either_half_is_found_when_everything_else_was_seen(definitions, made, wrong):
    """That twenty answers were right says nothing for one that is not."""
    halves = Halves()
    assert list(halves.faults(made, definitions, now=NOW)) == []

    for one in made[:: len(made) // 7]:
        broken = {**copy.deepcopy(one), **wrong}
        found = list(halves.faults([*made, broken], definitions, now=NOW))

        assert found == whole(definitions, broken) != []
        assert list(halves.faults([broken, broken], definitions, now=NOW)) == [*found, *found]


def test_a_fault_that_both_halves_have_a_part_in_is_found(definitions, made):
    """An answer without a value is none, although a panel with members needs no value."""
    halves = Halves()
    answer = made[0]
    panel = {**answer, "hasMember": [{"reference": "Observation/a"}]}
    del panel["valueCodeableConcept"]
    empty = {key: value for key, value in panel.items() if key != "hasMember"}
    assert list(halves.faults([answer, panel], definitions, now=NOW)) == []

    found = list(halves.faults([answer, panel, empty], definitions, now=NOW))

    assert {one.rule for one in found} == {"us-core-2"}


def test_a_source_of_one_screening_vouches_for_no_other(definitions, made):
    """Who and when is looked at anew in each screening; only what is said is remembered."""
    looked = []

    class Counting:
        def check(self, resource, *, now):
            looked.append(resource)
            return definitions.check(resource, now=now)

    halves = Halves()
    for _ in range(2):
        assert list(halves.faults(made[:20], Counting(), now=NOW)) == []

    assert len(looked) > 20
    assert len(looked) < 30


# Every rule on an Observation, a request, a Provenance or a Condition as a whole, as read: none holds
# what is said against who, when and of what, but for whether it is there.
READ = frozenset(
    """
    dom-2 dom-3 dom-4 dom-5 dom-6 obs-6 obs-7 prop-1 us-core-2 SDOH-Obs-2 SDOH-Obs-3 SDOH-Obs-4 prr-1
    con-3 con-4 con-5 SDOH-Con-1 SDOH-Con-2 SDOH-Con-3 provenance-1
    """.split()
)


def test_no_rule_is_unread(definitions):
    """A rule that a new version of a guide brings is read before halves are trusted again."""
    found = set()
    for canonical in (making.RESPONSE, making.LOCAL, making.REQUEST, making.WISH,
                      making.PROPOSAL, making.PROVENANCE, making.CONDITION):  # fmt: skip
        found |= {rule.key for rule in definitions.profiles.get(canonical).root.constraints}

    assert found <= READ


def test_what_a_planner_has_held_is_not_held_again(definitions):
    """A form of ten answers costs a few whole checks, whatever profiles.toml names for R4's own types."""
    looked = []

    class Counting:
        def __getattr__(self, name):
            return getattr(definitions, name)

        def check(self, resource, **how):
            looked.append(resource)
            return definitions.check(resource, **how)

    known = mappings.load(settings.folder("mappings"), definitions)
    configured = settings.Settings()
    asked = [one for one in known.forms.by_id["prapare"].questions if one.answers][:10]
    items = [
        {"linkId": one.code, "answer": [{"valueCoding": {"system": LOINC, "code": one.answers[1].code}}]}
        for one in asked
    ]  # fmt: skip
    response = {
        "resourceType": "QuestionnaireResponse", "status": "completed", "item": items,
        "subject": {"reference": "Patient/p"}, "authored": "2026-11-23T09:15:00Z",
    }  # fmt: skip
    for _ in range(2):
        looked.clear()
        change = Change(
            configured.shelves["clinic/chart"], Caller("test"), "submit-screening",
            (Entry("POST", response),), "http://127.0.0.1", "nonce",
        )  # fmt: skip
        case = Case(change=change, loaded=Loaded(), settings=configured, mappings=known,
                    definitions=Counting(), key=b"k" * 32, now=NOW)  # fmt: skip
        plan = _planned(_planned(case, planner.arrived), planner.plan)

    assert len([put for put in plan.puts if put.held]) >= 12
    assert len(looked) <= 4


def _planned(case, step):
    """What a step makes on a shelf that has the patient and nothing else."""
    while True:
        try:
            return step(case)
        except NotLoaded as wanted:
            for want in wanted.wants:
                empty = {"waiting": (), "search": [], "awaiting": []}.get(want.kind)
                there = Stored({"resourceType": "Patient", "id": "p"}, 1)
                case.loaded.seen[want] = there if want.key == "Patient/p" else empty
