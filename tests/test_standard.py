"""Our data file says what the domain's own table of expressions says, on reports of every shape."""

import copy
import json
import random

import pytest
from exchange import SHARED

from app import fhirpath, settings
from app.domain import mappings
from app.domain.completeness import Element
from app.domain.submission import Part, submission
from app.fhirpath import Environment

DATA = SHARED / "spec" / "data"
STANDARD = mappings.load(settings.folder("mappings")).completeness
CODES = ("unknown", "none-observed", "not-assessed", "not-applicable", "sibling", "caregiver",
         "collateral", "alleged-responsible", "neglect", "physical-abuse")  # fmt: skip


class Table:
    """completeness.json as it is written, each set bound in its turn."""

    def __init__(self, table):
        self.sets = [(one["name"], fhirpath.compile(one["fhirpath"])) for one in table["define"]]
        self.rules = [(one["id"], fhirpath.compile(one["fhirpath"])) for one in table["structural"]]
        self.elements = [
            (one, fhirpath.compile(one["fhirpath"]), fhirpath.compile(one["fhirpath_known"]))
            for one in table["elements"]
        ]
        self.allegations = fhirpath.compile(table["scoring"]["allegations"])

    def measure(self, made):
        bound, world = {}, Environment(resolve=made.resolve)
        for name, expression in self.sets:
            bound[name] = expression.items(made.bundle, variables=bound, environment=world)

        def holds(expression):
            return [one.value for one in expression.evaluate(
                made.bundle, variables=bound, environment=world)] == [True]  # fmt: skip

        codes = {one.value for one in self.allegations.evaluate(
            made.bundle, variables=bound, environment=world)}  # fmt: skip
        applies = [one for one in self.elements
                   if not one[0]["applies"] or codes & set(one[0]["applies"].split("|"))]  # fmt: skip
        total = sum(one["weight"] for one, _, _ in applies)

        def percent(place):
            met = sum(one[0]["weight"] for one in applies if holds(one[place]))
            return int(100 * met / total + 0.5)

        gaps = sorted(
            (-one["weight"], one["tier"], one["id"]) for one, met, _ in applies if not holds(met)
        )
        failed = [name for name, expression in self.rules if not holds(expression)]
        return percent(1), percent(2), failed, [one[2] for one in gaps[:3]]


def nodes(value):
    """Every object and list within a value."""
    if isinstance(value, (dict, list)):
        yield value
        for child in value.values() if isinstance(value, dict) else value:
            yield from nodes(child)


def broken(bundle, chance):
    """A report with some of it removed, doubled or said otherwise."""
    made = copy.deepcopy(bundle)
    for _ in range(chance.randint(1, 12)):
        node = chance.choice([one for one in nodes(made["entry"]) if one])
        if isinstance(node, list):
            place = chance.randrange(len(node))
            node.append(copy.deepcopy(node[place])) if chance.random() < 0.3 else node.pop(place)
            continue
        name = chance.choice(list(node))
        if name in {"resourceType", "resource"}:
            continue
        if isinstance(node[name], str) and name in {"code", "valueCode"}:
            node[name] = chance.choice(CODES)
        else:
            del node[name]
    return made


@pytest.mark.shared
@pytest.mark.parametrize("name", sorted(
    path.name for path in (DATA / "reports").glob("*.json") if path.name != "expected.json"
))  # fmt: skip
def test_the_data_file_says_what_the_table_says(name):
    """Of sixty broken variants of each sample, both numbers, every rule and the gaps are the same."""
    table = Table(json.loads((DATA / "completeness.json").read_text()))
    whole, chance = json.loads((DATA / "reports" / name).read_text()), random.Random(name)

    for _ in range(60):
        parts = [
            Part(one.get("fullUrl", ""), one["resource"])
            for one in broken(whole, chance)["entry"]
            if "resource" in one
        ]
        made = submission(parts, shelf={}.get, base="http://here")

        ours = STANDARD.measure(made, flags=frozenset())

        found = [one.id for one in ours.failed], [one.id for one in ours.gaps]
        assert (ours.completeness, ours.known, *found) == table.measure(made)


def test_the_weights_are_those_that_were_proposed():
    """89 in all, 83 where neither a child's injury nor neglect is suspected, 85 and 86 where one is."""

    def total(*codes):
        asked = [
            one for one in STANDARD.elements if not one.applies or set(codes) & set(one.applies)
        ]
        return sum(one.weight for one in asked)

    assert len(STANDARD.elements) == 44
    assert all(isinstance(one, Element) and one.gap.endswith(".") for one in STANDARD.elements)
    assert [total(), total("physical-abuse"), total("neglect"), total("physical-abuse", "neglect"),
            total("juris:race")] == [83, 85, 86, 88, 84]  # fmt: skip
