"""What Prometheus reads of the requests: every one of them, and how long they took."""

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from app.api.observe import _Requests


def read(requests):
    registry = CollectorRegistry()
    registry.register(requests)
    text = generate_latest(registry).decode()
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_request_is_counted_by_method_route_and_status():
    """Nothing is there before the first."""
    requests = _Requests()
    assert read(requests) == {}

    for status in (200, 200, 404):
        requests.add("GET", "/{type}/{id}", status, 0.001)
    requests.add("PUT", "/{type}/{id}", 200, 0.001)

    found = read(requests)
    counted = {
        (dict(key[1:])["method"], dict(key[1:])["status"]): value
        for key, value in found.items()
        if key[0] == "kinbridge_requests_total"
    }
    assert counted == {("GET", "200"): 2, ("GET", "404"): 1, ("PUT", "200"): 1}


def test_a_bucket_counts_all_that_took_no_longer():
    """A bound itself is within it; what took longest is in the last alone."""
    requests = _Requests()
    for seconds in (0.001, 0.005, 0.02, 60.0):
        requests.add("GET", "/x", 200, seconds)

    found = read(requests)

    def within(bound):
        return found["kinbridge_request_seconds_bucket", ("le", bound), ("route", "/x")]

    assert [within(one) for one in ("0.005", "0.01", "0.025", "10.0", "+Inf")] == [2, 2, 3, 3, 4]
    assert found["kinbridge_request_seconds_count", ("route", "/x")] == 4
    assert found["kinbridge_request_seconds_sum", ("route", "/x")] == 60.026
