"""What clients ask: conditions, patches, Bundles of requests."""

CHART = "clinic/chart/fhir"
PATIENT = f"{CHART}/Patient/rosa"
MRN = {"system": "https://ehr.example.org/mrn", "value": "100-42"}
FOUND = "identifier=https://ehr.example.org/mrn|100-42"


def operation(kind, **parts):
    made = [{"name": "type", "valueCode": kind}]
    for name, value in parts.items():
        key = {"path": "valueString", "name": "valueString"}.get(name, "valueInteger")
        made.append({"name": name, **(value if isinstance(value, dict) else {key: value})})
    return {"name": "operation", "part": made}


def parameters(*operations):
    return {"resourceType": "Parameters", "parameter": list(operations)}


def bundle(kind, *entries):
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def asked(method, url, resource=None, **more):
    made = {"request": {"method": method, "url": url, **more.pop("request", {})}, **more}
    return {**made, "resource": resource} if resource else made
