"""Whatever stands where an element should: the checker says so, and never falls over it."""

import copy
import json

import pytest

from app import conformance

EXAMPLES = sorted((conformance.folder() / "kinbridge" / "examples").glob("*.json"))
WRONG = (
    "x", 5, None, [], {}, [["x"]], {"resourceType": 5}, {"coding": "x"},
    {"coding": [{"system": ["x"], "code": {}}]},
)  # fmt: skip


def places(value, path=()):
    """Every place in a resource, from the outside in."""
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for key, below in members:
        yield (*path, key)
        if isinstance(below, (dict, list)):
            yield from places(below, (*path, key))


def at(resource, path):
    for key in path:
        resource = resource[key]
    return resource


@pytest.mark.parametrize("part", range(8))
def test_a_wrong_shape_is_said_and_nothing_breaks(definitions, now, part):
    """Each place of each kind once, with each of what is wrong there."""
    seen = set()
    for file in EXAMPLES:
        resource = json.loads(file.read_text())
        for path in list(places(resource)):
            kind = (resource["resourceType"], *(one for one in path if isinstance(one, str)))
            if kind in seen:
                continue
            seen.add(kind)
            if len(seen) % 8 != part:
                continue
            above, stood = at(resource, path[:-1]), at(resource, path)
            for wrong in WRONG:
                above[path[-1]] = copy.deepcopy(wrong)
                found = definitions.check(resource, now=now)
                errors = [one for one in found if one.severity in {"error", "fatal"}]
                assert errors or wrong in ("x", 5), (file.name, path, wrong)
                assert "shape" not in {one.rule for one in found}, (file.name, path, wrong)
            above[path[-1]] = stood
    assert len(seen) > 300
