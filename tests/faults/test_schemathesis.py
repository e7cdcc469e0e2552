"""schemathesis reads the OpenAPI document and asks the service for all that it promises."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from running import SOAK
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks as promised

EXAMPLES = 200 if SOAK else 8  # for each operation, on each database
CHECKS = [
    not_a_server_error,
    promised.status_code_conformance,
    promised.content_type_conformance,
    promised.response_headers_conformance,
    promised.response_schema_conformance,
    promised.unsupported_method,
    promised.use_after_free,
]
ASKED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def document(service):
    """The OpenAPI document of a service that runs."""
    service.start()
    return schemathesis.openapi.from_url(f"http://127.0.0.1:{service.port}/openapi.json")


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_the_service_does_as_its_openapi_document_says(document, mode):
    """Each operation, with what fits it and what does not: no 5xx, no answer that is not described."""
    asked = set()
    for found in document.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy(generation_mode=mode))
        @ASKED
        def holds(case):
            asked.add((case.method, case.operation.path))
            case.call_and_validate(checks=CHECKS)

        holds()

    assert len(asked) == document.statistic.operations.total > 30
