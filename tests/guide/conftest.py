"""The guide as it stands in fhir_profiles/kinbridge."""

import pytest
from guided import NOW

from app import conformance


@pytest.fixture(scope="session")
def loaded():
    return conformance.load()


@pytest.fixture(scope="session")
def errors(loaded):
    """What is wrong with a resource, by its own claims: (rule, place) of each error and warning."""

    def found(resource, *severities):
        issues = loaded.check(resource, now=NOW, known_extensions=True)
        wanted = severities or ("error", "fatal")
        return [(one.rule, one.expression) for one in issues if one.severity in wanted]

    return found
