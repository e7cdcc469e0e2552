"""What beside.py makes up, what it asks, and what is known to be answered differently, and why."""

from typing import Any

NAMES = "Müller MULLER Straße Æsir Łódź İstanbul ISTANBUL 山田 ﬁsher O'Brien Σίσυφος a,b a|b a$b é"
UNITS = "1_g 1000_mg 0.001_kg 5.4_mg 37_Cel 310.15_K 1_m 100_cm -3_mg 0_mg 98.6_[degF]"
DATES = "2020 2020-02 2020-02-29 2020-02-29T23:30:00-05:00 2020-03-01T00:30:00+01:00 1900"
PERIODS = ({"start": "2020"}, {"end": "2020-02-29"}, {"start": "2019", "end": "2021"})


def seen(identity: str, **more: Any) -> dict[str, Any]:
    code = {"coding": [{"system": "http://loinc.org", "code": "made-up", "display": "Made up"}]}
    return {"resourceType": "Observation", "id": identity, "status": "final", "code": code, **more}


NOBODY: dict[str, Any] = {"resourceType": "Patient", "id": "x"}
CHILD = {**NOBODY, "id": "patched", "name": [{"family": "A"}], "telecom": [{"value": "1"}]}
TWIN = {**NOBODY, "id": "twin", "identifier": [{"system": "urn:twin", "value": "1"}]}
MADE = [
    CHILD, TWIN, {**TWIN, "id": "twin2"},
    *({**NOBODY, "id": f"s{at}", "name": [{"family": one}]} for at, one in enumerate(NAMES.split())),
    *(seen(f"q{at}", valueQuantity={"value": float(one), "code": unit, "system": "http://unitsofmeasure.org"})
      for at, (one, _, unit) in enumerate(each.partition("_") for each in UNITS.split())),
    *(seen(f"d{at}", effectiveDateTime=one) for at, one in enumerate(DATES.split())),
    *(seen(f"p{at}", effectivePeriod=one) for at, one in enumerate(PERIODS)),
    seen("linked", subject={"reference": "Patient/twin"}, derivedFrom=[{"reference": "Observation/q0"}]),
]  # fmt: skip
SEARCHES = """
Patient?family=muller Patient?family=strasse Patient?family=istanbul Patient?identifier=|1
Observation?code:text=made Observation?code=made-up&_sort=_id&_count=3 Patient?name=s&name=t
Observation?code-value-quantity=made-up$gt1 Observation?subject:Patient.identifier=1&_count=2
Patient?_has:Observation:patient:code=made-up Observation?derived-from.code=made-up&_include=*
Observation?_id=linked&_include=Observation:subject&_elements=code Patient?_id=twin&_id=twin2
Patient?_id=twin&_revinclude=Observation:patient Observation?code=made-up&_sort=-date,_id
Observation?_id=linked&_revinclude=Observation:derived-from Patient?nothing=1 Patient?_id=twin,twin2
""".split()
PATCH = {"Content-Type": "application/json-patch+json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
CONDITION = "identifier=urn:twin|1"
READS = "metadata X/1 P/twin P/none P/twin/_history/1 P/twin/_history/9 P/twin/_history P/twin/$x"
BODIES = '"active":true "name":[] "a":1 "gender":"Male" "id":"a","id":"b" "birthDate":"2020-02-30"'
SUBJECTS = "Patient/twin Patient?_id=twin Patient?identifier=urn:twin|1 Nobody?name=a urn:uuid:none"
STEPS: list[tuple[Any, ...]] = [
    *(("PATCH", "Patient/patched", [{"op": op, "path": at, "value": to}], PATCH)
      for op, at, to in (("add", "/active", True), ("remove", "/telecom/0", 0), ("test", "/id", 1))),
    *((method, one.replace("P/", "Patient/")) for method in ("GET", "HEAD") for one in READS.split()),
    *(("GET", "Patient/twin", None, {"If-None-Match": one}) for one in ('W/"1"', 'W/"9"')),
    *(("PUT", "Patient/twin", TWIN, {"If-Match": one}) for one in ('W/"1"', 'W/"9"', "x")),
    ("POST", "Patient", NOBODY, {"If-None-Exist": CONDITION}),
    ("PUT", f"Patient?{CONDITION}", NOBODY), ("DELETE", f"Patient?{CONDITION}"),
    ("POST", "Patient/_search?_id=twin", b"identifier=1", FORM), ("DELETE", "Patient/none"),
    *(("POST", "", {"resourceType": "Bundle", "type": kind, "entry": [
        {"resource": seen("x", subject={"reference": one}),
         "request": {"method": "POST", "url": "Observation"}}]})
      for kind in ("transaction", "batch") for one in SUBJECTS.split()),
    *(("POST", "Patient", f'{mark}{{"resourceType":"Patient",{one}}}'.encode())
      for mark in ("", "\ufeff") for one in BODIES.split()),
]  # fmt: skip
# {how a difference is told, in "what was asked => HAPI's | ours": why it is one}
KNOWN = {
    r"=(ge|le)\d{4}(-\S*)? =>": "R4's ge and le hold where the ranges meet or lie within, HAPI's by one bound",
    r"_sort=-date": "downwards a period counts by its end, with HAPI by its beginning",
    r"quantity=(sa|eb)": "HAPI has no sa and eb of numbers",
    r"quantity=.*unitsofmeasure": "units are converted; HAPI does so where it is set up for it",
    r"quantity=(ne)?[01][.0]*[ |]": "R4: what rounds to 0 or 1 is found; HAPI asks for these exactly",
    r"(code|type)-(value|quantity)[\w-]*:missing": "a composite is there where each of its parts is",
    r"container:missing|near:missing|missing=true => 400": "a text alone is there; near is not; HAPI lacks some",
    r"(code|concept):text=": "any word of a text may begin so; HAPI looks at its first",
    r"%5C%5C": "R4: a backslash is written twice; HAPI keeps both",
    r"address(:exact)?=": "HAPI does not look at Address.text",
    r"If-Match.*=> (409|500) \| 412": "R4: 412; HAPI says 409, or stumbles",
    r"PATCH .*=> 400 \| 422|none => 200 \| 204|\$x => 400 \| 404": "R4 leaves the status open",
    r"Nobody\?name=a.* \| (200 )?400": "R4 has no such type, and the caller is told",
    r"\"(name|a|id|gender)\":": "DESIGN.md: a wrong shape is refused, a wrong code stored and reported",
    r"xef.xbb": "RFC 8259: who reads may pass over a byte order mark",
}  # fmt: skip
