"""Every answer that somebody can get from a tenant's shelves, for what must not be in one of them."""

from urllib.parse import quote

SEARCHES = ("_count=500&_include=*&_revinclude=*", "_summary=count", "_summary=text", "_elements=id",
            "_sort=-_lastUpdated&_count=500")  # fmt: skip


def of(exchange, tenant, elsewhere=(), only=""):
    """
    Bodies and headers of reads, versions, histories, searches and refusals on each shelf of a tenant.

    elsewhere   Type/id that stand on other shelves, asked for here as well
    only        one shelf of the tenant, where not all of them
    """
    shelves = next(one["shelves"] for one in exchange.tenants if one["id"] == tenant)
    held = []
    for shelf in (one["id"] for one in shelves if only in {"", one["id"]}):
        rows = exchange.rows(
            f"SELECT type, id, version FROM resource WHERE shelf = '{tenant}/{shelf}'"
        )
        for path, headers in asked(rows, elsewhere):
            answer = exchange.get(f"{tenant}/{shelf}/fhir/{path}", **headers)
            assert answer.status_code < 500, answer.text
            own = {name: one for name, one in answer.headers.items() if name != "x-request-id"}
            held += [answer.text, repr(own)]
    return "\n".join(held)


def asked(rows, elsewhere):
    """What is asked of a shelf, by what stands on it: paths below its base, and headers."""
    yield from (("metadata", {}), ("_history?_count=500", {}))
    for kind in sorted({row[0] for row in rows}):
        yield from ((f"{kind}?{search}", {}) for search in SEARCHES)
        yield f"{kind}/_history?_count=500", {}
    for kind, name, version in rows:
        path = f"{kind}/{name}"
        yield from ((path, {}), (f"{path}/_history?_count=500", {}))
        yield from ((f"{path}/_history/{past}", {}) for past in range(1, version + 1))
        yield path, {"If_None_Match": f'W/"{version}"'}
        if kind == "Patient":
            yield f"{path}/$everything", {}
            yield f"Task?patient={quote(path)}&_include=Task:owner:PractitionerRole", {}
        if kind == "ServiceRequest":
            yield f"ServiceRequest?_has:Task:focus:status=completed&_id={name}", {}
    for name in elsewhere:
        for rest in ("", "/_history", "/_history/1", "/$everything"):
            yield f"{name}{rest}", {}
        yield f"Task?owner={quote(name)}", {}
