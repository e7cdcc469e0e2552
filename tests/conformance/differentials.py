"""Profiles as the tests of the checker write them: a few rows of a differential."""

BASE = "http://hl7.org/fhir/StructureDefinition/"
URL = "http://example.org/StructureDefinition/one"
SYSTEM = "http://example.org/ids"


def profile(of, *rows, url=URL, base=None, **more):
    return {
        "resourceType": "StructureDefinition",
        "url": url,
        "name": "One",
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": of,
        "baseDefinition": base or BASE + of,
        "derivation": "constraint",
        "differential": {"element": [{"path": of}, *rows]},
        **more,
    }
