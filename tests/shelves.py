"""The shelves that stories write to, what they send, and what then stands there."""

import json

from app.sandbox import family

REPORT = "clinic/reports/fhir/$report"
REFER = "clinic/chart/fhir/$refer"
CHART = "clinic/chart/fhir"
REPORTS = "clinic/reports/fhir"
CHILD = {"reference": "Patient/rosa"}
TENANT = f"{family.KINBRIDGE}/sid/tenant"


def coded(system, code):
    return {"coding": [{"system": system, "code": code}]}


def of(made, kind):
    return next(one["resource"] for one in made["entry"] if one["resource"]["resourceType"] == kind)


def seen(name, **more):
    """A fact that the reporter attaches."""
    made = {"resourceType": "Observation", "id": name, "status": "final", "code": {"text": name},
            "subject": CHILD, "valueString": f"said of {name}", **more}  # fmt: skip
    return {key: value for key, value in made.items() if value is not None}


def attached(bundle, *more, named=()):
    """The bundle with these in it, named by its request; or named there alone, and standing already."""
    request = of(bundle, "ServiceRequest")
    for one in more:
        url = f"https://ehr.example.org/fhir/{one['resourceType']}/{one['id']}"
        bundle["entry"].append({"fullUrl": url, "resource": one})
    names = [f"{one['resourceType']}/{one['id']}" for one in more] + list(named)
    request["supportingInfo"] = [
        *request.get("supportingInfo", []), *({"reference": one} for one in names),
    ]  # fmt: skip
    return bundle


def put(exchange, shelf, resource, **headers):
    return exchange.call(
        "PUT", f"{shelf}/{resource['resourceType']}/{resource['id']}", resource, **headers
    )


def held(exchange, shelf, kind=""):
    """What stands there, as it is stored."""
    where = f" AND type = '{kind}'" if kind else ""
    rows = exchange.rows(f"SELECT body FROM resource WHERE shelf = '{shelf}'{where}")
    return [json.loads(row[0]) for row in rows if row[0]]


def one(exchange, shelf, kind):
    (found,) = held(exchange, shelf, kind)
    return found
