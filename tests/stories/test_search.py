"""Search: what is asked is what is found, and nothing else."""

from decimal import Decimal
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from exchange import refused

from app import fhir

CHART = "clinic/chart/fhir"
SUPPORT = "agency/support/fhir"
CODES = "http://example.org/codes"
UCUM = "http://unitsofmeasure.org"


def put(exchange, resource, shelf=CHART):
    name = f"{resource['resourceType']}/{resource['id']}"
    answer = exchange.call("PUT", f"{shelf}/{name}", resource)
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()


def searched(exchange, query, shelf=CHART, **headers):
    answer = exchange.get(f"{shelf}/{query}", **headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(bundle, mode="match"):
    entries = bundle.get("entry", [])
    return [one["resource"]["id"] for one in entries if one["search"]["mode"] == mode]


def found(exchange, query, shelf=CHART):
    return sorted(ids(searched(exchange, query, shelf)))


def concept(code, system=CODES, **more):
    return {"coding": [{"system": system, "code": code}], **more}


TASK = {"resourceType": "Task", "intent": "order", "status": "requested"}


@pytest.fixture
def chart(exchange):
    """A child, her siblings, what was observed, and Tasks for two agencies."""
    names = {
        "rosa": {"family": "Müller", "given": ["Rosa", "Ana"]},
        "ben": {"family": "Muller-Ortiz", "given": ["Ben"]},
        "kim": {"family": "Ortiz", "given": ["Kim"]},
    }
    births = {"rosa": "2021-05-04", "ben": "2021", "kim": "2019-12-31"}
    for identity, name in names.items():
        put(exchange, {
            "resourceType": "Patient", "id": identity, "name": [name],
            "birthDate": births[identity], "active": identity != "kim",
            "identifier": [
                {"system": f"{CODES}/mrn", "value": f"mrn-{identity}",
                 "type": concept("MR", "http://terminology.hl7.org/CodeSystem/v2-0203")},
                {"value": f"bare-{identity}"},
            ],
            "telecom": [{"system": "phone", "value": f"555-{identity}"}],
        })  # fmt: skip
    for identity, kind in (("north", "cp"), ("south", "cbo")):
        put(exchange, {
            "resourceType": "Organization", "id": identity, "name": f"Agency {identity}",
            "type": [concept(kind, f"{CODES}/org", text="Child protection")],
            "identifier": [{"system": "url", "value": f"https://{identity}.example.org"}],
        })  # fmt: skip
    for number, (patient, owner, status) in enumerate(
        [("rosa", "north", "requested"), ("rosa", "south", "accepted"),
         ("ben", "north", "completed"), ("kim", "north", "in-progress")]
    ):  # fmt: skip
        put(exchange, {
            **TASK, "id": f"t{number}", "status": status,
            "for": {"reference": f"Patient/{patient}"},
            "owner": {"reference": f"Organization/{owner}"},
            "authoredOn": f"2026-0{number + 1}-10T10:00:00Z",
            "code": concept("fulfill", text="Please help"),
            "priority": "urgent" if number == 3 else "routine",
            "meta": {"profile": ["http://example.org/profile|1.0"],
                     "tag": [{"system": CODES, "code": f"tag{number % 2}"}]},
        })  # fmt: skip
    for number, amount in enumerate(["5.4", "5.44", "5.46", "7"]):
        body = fhir.encode({
            "resourceType": "Observation", "id": f"o{number}", "status": "final",
            "code": concept(f"w{number % 2}", "http://loinc.org"),
            "subject": {"reference": "Patient/rosa"},
            "effectivePeriod": {"start": f"2026-01-0{number + 1}"},
            "valueQuantity": {"value": Decimal(amount), "system": "http://unitsofmeasure.org",
                              "code": "kg", "unit": "kg"},
            "component": [
                {"code": concept("c1"), "valueCodeableConcept": concept(f"v{number}")},
                {"code": concept("c2"), "valueCodeableConcept": concept("v9")},
            ],
        })  # fmt: skip
        answer = exchange.call("PUT", f"{CHART}/Observation/o{number}", body)
        assert answer.status_code == 201, answer.text
    put(exchange, {
        "resourceType": "Condition", "id": "c0", "code": concept("d1"),
        "subject": {"reference": "Patient/kim"},
    })  # fmt: skip
    for number, version in enumerate("12", 1):
        put(exchange, {
            "resourceType": "Questionnaire", "id": f"q{number}", "status": "active",
            "url": "http://example.org/form", "version": version,
        })  # fmt: skip
    for number, canonical in enumerate(["form|2", "form", "other"]):
        put(exchange, {
            "resourceType": "QuestionnaireResponse", "id": f"a{number}", "status": "stopped",
            "questionnaire": f"http://example.org/{canonical}",
        })  # fmt: skip
    put(exchange, {
        "resourceType": "ValueSet", "id": "vs", "url": "http://example.org/vs/one",
        "status": "active", "title": "Beta",
    })  # fmt: skip
    return exchange


CASES = {
    # tokens
    "Task?status=requested": "t0",
    "Task?status=requested,accepted": "t0 t1",
    "Task?status=http://hl7.org/fhir/task-status|requested": "t0",
    "Task?status=http://example.org/other|requested": "",
    "Task?status:not=requested": "t1 t2 t3",
    "Task?status:not=requested&status:not=completed": "t1 t3",
    "Task?status=requested&status=accepted": "",
    "Task?code=fulfill": "t0 t1 t2 t3",
    f"Task?code={CODES}|fulfill&priority=urgent": "t3",
    f"Task?code={CODES}|&priority=urgent": "t3",
    "Task?code=|fulfill": "",
    "Task?code:text=help": "t0 t1 t2 t3",
    "Task?code:text=elp": "",
    "Task?code=full": "",
    f"Task?_tag={CODES}|tag1": "t1 t3",
    "Task?_profile=http://example.org/profile&priority=urgent": "t3",
    "Task?_profile=http://example.org/profile|1.0&priority=urgent": "t3",
    "Task?_profile=http://example.org/prof": "",
    f"Patient?identifier={CODES}/mrn|mrn-rosa": "rosa",
    "Patient?identifier=mrn-rosa": "rosa",
    "Patient?identifier=|bare-rosa": "rosa",
    "Patient?identifier=|mrn-rosa": "",
    f"Patient?identifier={CODES}/mrn|": "ben kim rosa",
    f"Patient?identifier={CODES}/mrn|mrn-rosa,{CODES}/mrn|mrn-kim": "kim rosa",
    "Patient?identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|MR|mrn-ben": "ben",
    "Patient?active=true": "ben rosa",
    "Patient?phone=555-kim": "kim",
    "Patient?telecom=|555-kim": "kim",
    "Patient?email=555-kim": "",
    "Patient?deceased=false": "ben kim rosa",
    "Task?status:in=http://hl7.org/fhir/ValueSet/task-status": "t0 t1 t2 t3",
    "Task?status:not-in=http://hl7.org/fhir/ValueSet/task-status": "",
    # text
    "Patient?name=mul": "ben rosa",
    "Patient?name=MÜL": "ben rosa",
    "Patient?family:exact=Müller": "rosa",
    "Patient?family:exact=Muller": "",
    "Patient?family:contains=ORTI": "ben kim",
    "Patient?given=ana": "rosa",
    "Patient?name=ana,kim": "kim rosa",
    "Patient?family=ortiz": "kim",
    # of several values one that says nothing is none
    "Patient?name=ana,": "rosa",
    "Patient?name=,ana,,": "rosa",
    "Patient?name=ana,%20": "rosa",
    "Patient?name:contains=ANA,": "rosa",
    "Patient?birthdate=2021-05-04,": "rosa",
    "Task?status=requested,": "t0",
    "Task?code:text=nothing,": "",
    "Task?subject=rosa,": "t0 t1",
    "ValueSet?url:below=http://example.org/v,": "",
    "Observation?value-quantity=5.40,": "o0",
    "Observation?component-code-value-concept=c1$v2,": "o2",
    # dates
    "Patient?birthdate=2021": "ben rosa",
    "Patient?birthdate=2021-05": "rosa",
    "Patient?birthdate=2021-05-04": "rosa",
    "Patient?birthdate=lt2021": "kim",
    "Patient?birthdate=ge2021-05": "ben rosa",
    "Patient?birthdate=ne2021-05-04": "ben kim",
    "Patient?birthdate=sa2021-05-03": "rosa",
    "Patient?birthdate=eb2020": "kim",
    "Task?authored-on=gt2026-02-01&authored-on=lt2026-04-01": "t1 t2",
    "Task?authored-on=2026-01-10T11:00:00%2B01:00": "t0",
    "Observation?date=ap2026-01-01": "o0 o1 o2 o3",
    "Observation?date=gt2030": "o0 o1 o2 o3",
    "Observation?date=sa2026-01-03": "o3",
    # quantities, by the range that their digits imply
    "Observation?value-quantity=5.4": "o0 o1",
    "Observation?value-quantity=5.40": "o0",
    "Observation?value-quantity=gt5.44": "o2 o3",
    "Observation?value-quantity=5.4|http://unitsofmeasure.org|kg": "o0 o1",
    "Observation?value-quantity=5400|http://unitsofmeasure.org|g": "o0",
    "Observation?value-quantity=5.4||kg": "o0 o1",
    "Observation?value-quantity=5.4|http://unitsofmeasure.org|m": "",
    "Observation?value-quantity=7e0": "o3",
    # composites, in one part
    "Observation?component-code-value-concept=c1$v2": "o2",
    "Observation?component-code-value-concept=c2$v2": "",
    "Observation?combo-code-value-concept=c2$v9,c1$v1": "o0 o1 o2 o3",
    "Observation?code-value-quantity=http://loinc.org|w1$gt5": "o1 o3",
    # references
    "Task?subject=rosa": "t0 t1",
    "Task?subject=Patient/rosa": "t0 t1",
    "Task?subject:Patient=rosa": "t0 t1",
    "Task?patient=rosa": "t0 t1",
    "Task?patient=Organization/rosa": "",
    "Task?subject=https://exchange.localhost/clinic/chart/fhir/Patient/rosa": "t0 t1",
    "Task?owner=Organization/north&status:not=completed": "t0 t3",
    "Task?owner=north,south&subject=rosa": "t0 t1",
    # URIs
    "ValueSet?url=http://example.org/vs/one": "vs",
    "ValueSet?url:below=http://example.org/vs": "vs",
    "ValueSet?url:below=http://example.org/v": "",
    "ValueSet?url:above=http://example.org/vs/one/more": "vs",
    # what is missing
    "Task?owner:missing=true": "",
    "Task?owner:missing=false": "t0 t1 t2 t3",
    "Task?focus:missing=true&priority=urgent": "t3",
    "Patient?gender:missing=true&name=rosa": "rosa",
    # chains
    "Task?owner:Organization.type=cp": "t0 t2 t3",
    f"Task?owner:Organization.type={CODES}/org|cp&status:not=completed": "t0 t3",
    "Task?owner.type=cbo": "t1",
    "Task?owner:Organization.identifier=https://south.example.org": "t1",
    "Task?patient.name=ortiz": "t3",
    "Task?patient.birthdate=2021": "t0 t1 t2",
    "Task?owner.name=nobody": "",
    "Patient?_has:Task:patient:status=completed": "ben",
    "Patient?_has:Task:patient:owner:Organization.type=cbo": "rosa",
    "Patient?_has:Observation:patient:code=w1": "rosa",
    "Organization?_has:Task:owner:patient.name=kim": "north",
    "Condition?subject:Patient=kim": "c0",
    "Condition?subject.name=kim": "c0",
    "Patient?_has:Condition:subject:code=d1": "kim",
    # ids and times
    "Task?_id=t1,t2": "t1 t2",
    "Task?_id=t1%5C,t2": "t1 t2",
    "Task?_id=t1,t2&_id=t2": "t2",
    "Task?_id=t1,nothing&status=accepted": "t1",
    "Task?_id=Task/t1,Patient/t2": "t1",
    "Task?_id:not=t1,Task/t2": "t0 t3",
    "Task?_id=t1,t2&_id:not=t2,nothing": "t1",
    "Task?_lastUpdated=gt2025&priority=urgent": "t3",
    "Task?_lastUpdated=lt2026-01-01": "",
    "Task?_lastUpdated=2026-11-23&priority=urgent": "t3",
    # compartments
    "Patient/rosa/Task": "t0 t1",
    "Patient/rosa/Observation?code=w0": "o0 o2",
    "Patient/ben/*": "ben t2",
}


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("Đặng", "dang"), ("Nguyễn", "NGUYEN"), ("Wałęsa", "walesa"), ("Sørensen", "Sorensen"),
        ("Ægir", "aegir"), ("Þórsdóttir", "thors"), ("Y\u0131lmaz", "yilmaz"), ("İpek", "ipek"),
        ("Strauß", "strauss"), ("O\u2019Brien", "O'Brien"), ("O'Brien", "O\u2019Brien"),
        ("Ka\u02bbahanui", "Ka'ahanui"), ("Smith\u2010Jones", "Smith-Jones"),
        ("Smith-Jones", "Smith\u2013Jones"), ("Dang", "Đặng"), ("王", "王"),
    ],
)  # fmt: skip
def test_a_name_is_found_as_it_is_typed_where_its_letters_are_on_no_key(exchange, written, asked):
    """A form that was read over the telephone, and a telephone that curls its apostrophes."""
    put(exchange, {"resourceType": "Patient", "id": "one", "name": [{"family": written}]})
    put(exchange, {"resourceType": "Patient", "id": "two", "name": [{"family": "Ortiz"}]})

    assert found(exchange, f"Patient?family={quote(asked)}") == ["one"]
    assert found(exchange, f"Patient?family:exact={quote(written)}") == ["one"]


@pytest.mark.parametrize("asked", ["37|Cel", "98.6|[degF]", "310.15|K", "37.0|Cel"])
def test_a_temperature_is_the_same_in_every_unit(exchange, asked):
    """Degrees that begin elsewhere are converted as well: a fever is found, however it was read."""
    for number, (value, unit) in enumerate([(37, "Cel"), (98.6, "[degF]"), (310.15, "K")]):
        put(exchange, {
            "resourceType": "Observation", "id": f"t{number}", "status": "final",
            "code": concept("temperature"),
            "valueQuantity": {"value": value, "system": UCUM, "code": unit},
        })  # fmt: skip
    value, unit = asked.split("|")

    def at(prefix):
        return found(exchange, f"Observation?value-quantity={prefix}{value}|{UCUM}|{unit}")

    assert (at("eq"), at("gt"), at("lt")) == (["t0", "t1", "t2"], [], [])


def test_a_bar_that_is_escaped_is_of_the_unit(exchange):
    """As in every other value: what is escaped divides nothing."""
    measured = {"value": 3, "system": UCUM, "code": "{a|b}"}
    put(exchange, {"resourceType": "Observation", "id": "o", "status": "final",
                   "code": concept("x"), "valueQuantity": measured})  # fmt: skip

    for asked in (rf"3|{UCUM}|{{a\|b}}", r"3||{a\|b}", r"3,4||{a\|b}"):
        assert found(exchange, f"Observation?value-quantity={quote(asked)}") == ["o"], asked
    assert found(exchange, r"Observation?value-quantity=3||{a\|c}") == []


def test_a_patient_on_another_server_is_the_patient_of_what_is_stored_here(exchange):
    """The URL of another server says of which type it is, so `patient` finds it as `subject` does."""
    far = "https://ehr.example.org/fhir/Patient/7"
    for identity, reference in (
        ("near", "Patient/7"), ("far", far), ("old", f"{far}/_history/2"),
        ("group", "https://ehr.example.org/fhir/Group/7"),
    ):  # fmt: skip
        put(exchange, {"resourceType": "Observation", "id": identity, "status": "final",
                       "code": concept("x"), "subject": {"reference": reference}})  # fmt: skip

    assert found(exchange, f"Observation?patient={far}") == ["far", "old"]
    assert found(exchange, f"Observation?subject:Patient={far}") == ["far", "old"]
    assert found(exchange, f"Observation?subject:Group={far}") == []
    assert found(exchange, "Observation?patient=https://ehr.example.org/fhir/Group/7") == []
    assert found(exchange, "Observation?patient:missing=true") == ["group"]
    ordered = ids(searched(exchange, "Observation?_sort=patient"))
    assert ordered[0] == "near"
    assert ordered[-1] == "group"


def test_what_is_asked_is_what_is_found(chart):
    """Every kind of parameter, with its modifiers and prefixes."""
    wrong = {}
    for query, expected in CASES.items():
        answer = chart.get(f"{CHART}/{query}")
        got = sorted(ids(answer.json())) if answer.status_code == 200 else answer.text
        if got != expected.split():
            wrong[query] = got

    assert wrong == {}


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("Task?state=requested", "state"),
        ("Task?status:nots=requested", "nots"),
        ("Task?status=", "status"),
        ("Task?authored-on=yesterday", "date"),
        ("Observation?value-quantity=much", "number"),
        ("Task?owner.colour=red", "colour"),
        ("Task?status.code=red", "status"),
        ("Patient?_has:Task:patient:colour=1", "colour"),
        ("Patient?_has:Task:status=1", "_has"),
        ("Task?_include=Task:colour", "colour"),
        ("Task?_sort=colour", "colour"),
        ("Task?_include=A", "_include"),
        ("Task?_include=Task:patient:Wolf", "_include"),
        ("Task?_revinclude=Wolf:patient", "_revinclude"),
        ("Task?_has:Wolf:patient:code=x", "_has"),
        ("Task?patient:Wolf=x", "Wolf"),
        ("Task?_count=many", "_count"),
        ("Task?_total=some", "_total"),
        *(
            (f"Task?{name}=help", name)
            for name in ("_text", "_content", "_filter", "_list", "_query")
        ),
        ("Location?near=1|1|1|km", "near"),
        ("Task?_contained=true", "_contained"),
        ("Task?_containedType=contained", "_containedType"),
        ("Task?code:above=1", "above"),
        ("Condition?code:below=1", "below"),
        ("Task?patient:above=rosa", "above"),
        ("Task?patient:below=rosa", "below"),
        ("Task?_page=AAAA", "_page"),
        ("Task?_id:text=t1", "modifier :text"),
        ("Task?_include:recursive=Task:patient", "modifier :recursive"),
        ("Task?_lastUpdated:missing=true", "modifier :missing"),
        ("Task?authored-on=2026-01-10T25:00:00Z", "A date"),
        ("Task?authored-on=2026-01-10T10:00:00%2B99:99", "A date"),
        ("Task?authored-on=%D9%A2%D9%A0%D9%A2%D9%A6", "A date"),  # Arabic digits
        ("Task?code:in=http://example.org/nowhere", "value set"),
        ("Task?code:below=1", "below"),
        ("Observation?component-code-value-concept=c1", "2 values"),
        ("Observation?component-code-value-concept=c1$", "component-code-value-concept"),
        ("Observation?code-value-string=w1$%20", "code-value-string"),
        ("QuestionnaireResponse?questionnaire.title=x", "questionnaire"),
        ("Questionnaire?_has:QuestionnaireResponse:questionnaire:status=x", "questionnaire"),
        ("Patient?name=,", "name"),
        ("Patient?name=%20", "name"),
        ("Patient?name:contains=%CC%81", "name"),
        ("Patient?identifier=|", "identifier"),
        ("Task?code:text=,%20", "code"),
        ("Task?patient.name=,", "name"),
        ("Patient?phone=phone|555-kim", "phone"),
        ("Patient?telecom=home|", "telecom"),
    ],
)
def test_what_is_not_understood_is_refused_and_named(chart, query, named):
    """A filter that is dropped would be a disclosure."""
    issues = refused(chart.get(f"{CHART}/{query}"), 400)

    assert named in issues[0]["details"]["text"]


@pytest.mark.parametrize(
    "prefer", ["handling=lenient", 'return=minimal; handling="lenient"', "Handling=Lenient"]
)
def test_a_lenient_search_says_what_it_used(chart, prefer):
    """Who asks for leniency is told which conditions were met."""
    bundle = searched(chart, "Task?state=x&status=accepted", Prefer=prefer)

    assert ids(bundle) == ["t1"]
    [own] = [one["url"] for one in bundle["link"] if one["relation"] == "self"]
    assert parse_qs(urlsplit(own).query) == {"status": ["accepted"]}


def test_a_link_is_a_url(chart):
    """A bar is no character of a URL, so the links have it as a client would send it."""
    bundle = searched(chart, f"Task?code={CODES}|fulfill&_contained=false&_count=1")

    assert bundle["entry"]
    for link in bundle["link"]:
        assert "|" not in link["url"]
        assert parse_qs(urlsplit(link["url"]).query)["code"] == [f"{CODES}|fulfill"]


def test_a_form_asks_the_same(chart):
    """POST _search, with parameters in the form, the URL or both."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for path, sent in (
        ("Task/_search", b"status=accepted"),
        ("Task/_search?status=accepted", b""),
        ("Task/_search?subject=rosa", b"status=accepted"),
        ("_search?_type=Task", b"status=accepted"),
        ("Patient/rosa/Task/_search", b"status=accepted"),
    ):
        answer = chart.call("POST", f"{CHART}/{path}", sent, **form)
        assert answer.status_code == 200, answer.text
        assert ids(answer.json()) == ["t1"]
    refused(chart.call("POST", f"{CHART}/Task/_search", {"status": "accepted"}), 415)


@pytest.mark.parametrize(
    ("query", "order"),
    [
        ("Task", "t3 t2 t1 t0"),
        ("Task?_sort=-_lastUpdated", "t3 t2 t1 t0"),
        ("Task?_sort=_lastUpdated", "t0 t1 t2 t3"),
        ("Task?_sort:desc=authored-on", "t3 t2 t1 t0"),
        ("Task?_sort:asc=priority&_sort:desc=_id", "t2 t1 t0 t3"),
        ("Task?_sort=_id", "t0 t1 t2 t3"),
        ("Task?_sort=-authored-on", "t3 t2 t1 t0"),
        ("Task?_sort=priority,-_id", "t2 t1 t0 t3"),
        ("Task?_sort=owner,-authored-on", "t3 t2 t0 t1"),
        ("Patient?_sort=family", "rosa ben kim"),
        ("Patient?_sort=-birthdate", "ben rosa kim"),
        ("Patient?_sort=gender,given", "rosa ben kim"),
        ("Observation?_sort=-value-quantity", "o3 o2 o1 o0"),
    ],
)
def test_the_order_is_the_one_that_was_asked_for(chart, query, order):
    """By one key or several; what has no value comes last; newest first where nothing is said."""
    assert ids(searched(chart, query)) == order.split()


def walk(exchange, query):
    """Every page, by following next; then back by previous."""
    pages = [searched(exchange, query)]
    while links := [o["url"] for o in pages[-1]["link"] if o["relation"] == "next"]:
        pages.append(
            exchange.http.get(urlsplit(links[0])._replace(scheme="", netloc="").geturl()).json()
        )
        assert len(pages) < 20
    back = [pages[-1]]
    while links := [o["url"] for o in back[-1]["link"] if o["relation"] == "previous"]:
        back.append(
            exchange.http.get(urlsplit(links[0])._replace(scheme="", netloc="").geturl()).json()
        )
        assert len(back) < 20
    return [ids(page) for page in pages], [ids(page) for page in reversed(back)]


@pytest.mark.parametrize(
    "query",
    [
        "Task?",
        "Task?_sort=_lastUpdated&",
        "Task?_sort=priority,-authored-on&",
        "Task?status:not=nothing&authored-on=gt2020&",
        "Task?owner=north,south&",
        "Task?_sort=focus&",
        "?_type=Task,Patient&",
        "?_type=Task,Patient&_sort=_id&",
    ],
)
def test_pages_hold_each_once_and_lead_back(chart, query):
    """Forwards and backwards the same pages, none skipped, none doubled."""
    whole = ids(searched(chart, query.rstrip("&?")))

    for size in (1, 2, 3):
        forward, backward = walk(chart, f"{query}_count={size}")
        assert [one for page in forward for one in page] == whole
        assert [one for page in backward for one in page] == whole


def test_a_walk_is_not_disturbed_by_others(chart):
    """What did not change while the pages were walked is on one of them, once."""
    first = searched(chart, "Task?_count=2")
    put(chart, {**TASK, "id": "t9"})
    put(chart, {**TASK, "id": "t3"})
    chart.call("DELETE", f"{CHART}/Task/t2")
    [onward] = [o["url"] for o in first["link"] if o["relation"] == "next"]
    second = chart.http.get(urlsplit(onward)._replace(scheme="", netloc="").geturl()).json()

    assert ids(first) == ["t3", "t2"]
    assert ids(second) == ["t1", "t0"]


def test_a_page_opens_for_its_own_search_only(chart):
    """A page's address says nothing, and cannot be made up or turned to something else."""
    first = searched(chart, "Patient?_count=1&_sort=birthdate")
    [onward] = [o["url"] for o in first["link"] if o["relation"] == "next"]
    page = parse_qs(urlsplit(onward).query)["_page"][0]

    refused(chart.get(f"{CHART}/Patient?_count=1&_sort=given&_page={page}"), 400)
    refused(chart.get(f"{SUPPORT}/Patient?_count=1&_sort=birthdate&_page={page}"), 400)
    refused(chart.get(f"{CHART}/Patient?_count=1&_sort=birthdate&_page={page[:-4]}AAAA"), 400)


def test_counting(chart):
    """_count=0 and _summary=count say how many; _total says so beside a page."""
    for query in ("Task?_count=0", "Task?_summary=count"):
        bundle = searched(chart, query)
        assert (bundle["total"], "entry" in bundle) == (4, False)
    assert searched(chart, "Task?status:not=completed&_count=0")["total"] == 3
    assert searched(chart, "Task?authored-on=gt2026-02&_count=0")["total"] == 2
    assert searched(chart, "Task?owner=north,south&_count=0")["total"] == 4
    assert searched(chart, "Task?_count=1&_total=accurate")["total"] == 4
    assert searched(chart, "Task")["total"] == 4
    assert "total" not in searched(chart, "Task?_total=none")


@pytest.mark.parametrize(
    ("query", "matches", "included"),
    [
        ("Task?_id=t0&_include=Task:owner", "t0", "north"),
        ("Task?_id=t0&_include=Task:subject&_include=Task:owner", "t0", "north rosa"),
        ("Task?_id=t0&_include=Task:subject:Patient", "t0", "rosa"),
        ("Task?_id=t0&_include=Task:subject:Group", "t0", ""),
        ("Task?_id=t0&_include=*", "t0", "north rosa"),
        ("Task?_id=t0&_include=Task:*", "t0", "north rosa"),
        ("Task?_id=t0,t2,t3&_include=Task:owner", "t0 t2 t3", "north"),
        ("Patient?_id=kim&_revinclude=Task:patient", "kim", "t3"),
        ("Patient?_id=kim&_revinclude=Task:patient&_include:iterate=Task:owner", "kim", "north t3"),
        ("Patient?_id=kim&_revinclude=*", "kim", "c0 t3"),
        (
            (
                "Organization?_id=south&_revinclude=Task:owner&_include:iterate=Task:subject"
                "&_revinclude:iterate=Observation:subject"
            ),
            "south",
            "o0 o1 o2 o3 rosa t1",
        ),
        ("Patient?_id=kim&_include=Task:owner", "kim", ""),
        ("QuestionnaireResponse?_include=QuestionnaireResponse:questionnaire", "a0 a1 a2", "q1 q2"),
        ("QuestionnaireResponse?_id=a0&_include=*", "a0", "q2"),
        ("QuestionnaireResponse?_id=a1&_include=QuestionnaireResponse:*", "a1", "q1 q2"),
        (
            "QuestionnaireResponse?_id=a0&_include=QuestionnaireResponse:questionnaire:Library",
            "a0",
            "",
        ),
        ("Questionnaire?_id=q1&_revinclude=QuestionnaireResponse:questionnaire", "q1", "a1"),
        ("Questionnaire?_id=q2&_revinclude=*", "q2", "a0 a1"),
    ],
)
def test_what_hangs_on_it_comes_along(chart, query, matches, included):
    """Includes forwards and backwards, once each, further by iterate."""
    bundle = searched(chart, query)

    assert sorted(ids(bundle)) == matches.split()
    assert sorted(ids(bundle, "include")) == included.split()


def test_several_types_stand_in_one_order(exchange):
    """Each type has the date of its own: an encounter's period, when something was observed."""
    for identity, date in (("a", "2026-01-02"), ("b", "2026-01-04")):
        put(exchange, {"resourceType": "Encounter", "id": f"e{identity}", "status": "finished",
                       "class": {"code": "AMB"}, "period": {"start": date, "end": date}})  # fmt: skip
    for identity, date in (("a", "2026-01-01"), ("b", "2026-01-03")):
        put(exchange, {"resourceType": "Observation", "id": f"o{identity}", "status": "final",
                       "code": concept("x"), "effectiveDateTime": date})  # fmt: skip

    for asked, order in (("date", "oa ea ob eb"), ("-date", "eb ob ea oa")):
        query = f"?_type=Encounter,Observation&_sort={asked}"
        assert ids(searched(exchange, query)) == order.split()
        pages = [order.split()[:3], order.split()[3:]]
        assert walk(exchange, f"{query}&_count=3") == (pages, pages)
    put(exchange, {"resourceType": "Patient", "id": "p"})
    lenient = searched(exchange, "?_type=Encounter,Patient&_sort=date", Prefer="handling=lenient")
    assert ids(lenient) == ["ea", "eb", "p"]


def test_all_that_is_referred_to_comes_along_from_every_type(chart):
    """Where several types are searched at once, * is the references of each of them."""
    several = "?_type=Observation,Task&_id=o0,t2&_include=*"
    assert sorted(ids(searched(chart, several), "include")) == ["ben", "north", "rosa"]
    whole = searched(chart, "Patient/ben/*?_include=*")
    assert (sorted(ids(whole)), ids(whole, "include")) == (["ben", "t2"], ["north"])
    one = searched(chart, "Task?_id=t2&_include=Task:patient&_include:iterate=Observation:*")
    assert ids(one, "include") == ["ben"]


def test_everything_of_a_patient(chart):
    """The child's record, by one call, and who is named in it; once, and of the types that are asked for."""
    bundle = searched(chart, "Patient/rosa/$everything")

    assert sorted(ids(bundle)) == ["o0", "o1", "o2", "o3", "rosa", "t0", "t1"]
    assert ids(bundle, "include") == ["north", "south"]
    some = searched(chart, "Patient/rosa/$everything?_type=Task,Organization")
    assert (ids(some), ids(some, "include")) == (["t1", "t0"], ["north", "south"])
    every = chart.get(f"{CHART}/metadata").json()["rest"][0]["resource"]
    whole = searched(
        chart, f"Patient/rosa/$everything?_type={','.join(one['type'] for one in every)}"
    )
    assert sorted(ids(whole)) == sorted(ids(bundle))
    refused(chart.get(f"{CHART}/Task?_include=*:owner"), 400)
    pages, query = [], "Patient/rosa/$everything?_count=4"
    while query:
        pages.append(searched(chart, query))
        query = next((link["url"].partition("/fhir/")[2] for link in pages[-1]["link"]
                      if link["relation"] == "next"), "")  # fmt: skip
    assert [len(ids(page)) for page in pages] == [4, 3]
    assert "rosa" not in [one for page in pages for one in ids(page, "include")]
    refused(chart.get(f"{CHART}/Patient/nobody/$everything"), 404)
    refused(chart.get(f"{CHART}/Patient/rosa/$everything?start=2020"), 422, "not-supported")


@pytest.mark.parametrize(
    ("sent", "types"),
    [
        (None, {"Patient", "Observation", "Task"}),
        ({"resourceType": "Parameters"}, {"Patient", "Observation", "Task"}),
        ({"resourceType": "Parameters", "parameter": [{"name": "_type", "valueString": "Task"}]}, {"Task"}),
        ({"resourceType": "Parameters", "parameter": [{"name": "_since", "valueInstant": "2999-01-01T00:00:00Z"}]}, set()),
    ],
)  # fmt: skip
def test_everything_is_asked_by_post_too(chart, sent, types):
    """As HAPI's client does: Parameters in the body, or none."""
    answer = chart.call("POST", f"{CHART}/Patient/rosa/$everything", sent)

    assert answer.status_code == 200, answer.text
    found = {one["resource"]["resourceType"] for one in answer.json().get("entry", [])}
    assert found >= types if types else not found
    if sent and sent.get("parameter"):
        assert found == types


def test_what_everything_does_not_take_is_refused(chart):
    """Another resource than Parameters, or a parameter that is not known."""
    path = f"{CHART}/Patient/rosa/$everything"
    odd = {"resourceType": "Parameters", "parameter": [{"name": "colour", "valueString": "x"}]}

    refused(chart.call("POST", path, {"resourceType": "Patient"}), 400)
    refused(chart.call("POST", path, odd), 400)


def test_what_changes_is_found_as_it_is(chart):
    """A search never finds what a resource said before, nor what is deleted."""
    put(chart, {**TASK, "id": "t0", "status": "accepted"})
    chart.call("DELETE", f"{CHART}/Task/t1")

    assert found(chart, "Task?status=requested") == []
    assert found(chart, "Task?status=accepted") == ["t0"]
    assert found(chart, "Task?subject=rosa") == []
    assert "t1" not in found(chart, "Task")


def test_another_shelf_is_never_touched(chart):
    """With twins of every id on two shelves, nothing of the other is found, counted or included."""
    for query in ("Patient", "Organization", "Task", "Observation"):
        for entry in searched(chart, query)["entry"]:
            twin = entry["resource"]
            twin["meta"] = {"tag": [{"system": CODES, "code": "twin"}]}
            put(chart, twin, SUPPORT)
    put(chart, {"resourceType": "Organization", "id": "only-there", "name": "Only there"}, SUPPORT)
    put(chart, {**TASK, "id": "stray", "owner": {"reference": "Organization/only-there"}})

    for query in (
        *CASES,
        "Task?_include=*&_revinclude=*",
        "Patient?_revinclude=Task:patient&_include:iterate=Task:owner",
        "?_type=Patient,Task,Organization",
        "Patient/rosa/$everything",
    ):
        bundle = searched(chart, query)
        twins = [
            one["fullUrl"]
            for one in bundle.get("entry", [])
            if {"system": CODES, "code": "twin"} in one["resource"]["meta"].get("tag", [])
        ]
        assert twins == [], query
        assert all("/clinic/chart/fhir/" in one["fullUrl"] for one in bundle.get("entry", []))
    assert searched(chart, "Task?_count=0")["total"] == 5
    assert found(chart, "Task?owner.name=only") == []
    assert ids(searched(chart, "Task?_id=stray&_include=*"), "include") == []
    chart.call("DELETE", f"{CHART}/Patient/rosa")
    assert found(chart, "Task?patient.name=rosa") == []
    assert found(chart, "Task?patient.name=rosa", SUPPORT) == ["t0", "t1"]


@pytest.mark.parametrize("query", ["identifier=shared", "focus=17", "focus=ServiceRequest/17"])
def test_what_has_no_time_in_the_index_comes_newest_first(exchange, query):
    """By the last update of each, page by page and back, whichever type an id alone is of."""
    for turn, number in enumerate((1, 2, 3, 4, 5, 3, 1)):
        kind = "Patient" if query == "focus=17" and number % 2 else "ServiceRequest"
        put(exchange, {
            **TASK, "id": f"t{number}", "description": f"turn {turn}",
            "identifier": [{"system": CODES, "value": "shared"}, {"value": "shared"}],
            "focus": {"reference": f"{kind}/17"},
        })  # fmt: skip

    forward, backward = walk(exchange, f"Task?{query}&_count=2")
    newest = searched(exchange, f"Task?{query}&_count=2&_total=accurate")
    since = newest["entry"][1]["resource"]["meta"]["lastUpdated"]

    assert forward == backward == [["t1", "t3"], ["t5", "t4"], ["t2"]]
    assert newest["total"] == 5
    assert ids(searched(exchange, f"Task?{query}&_sort=_lastUpdated")) == "t2 t4 t5 t3 t1".split()
    assert found(exchange, f"Task?{query}&_lastUpdated=ge{since}") == ["t1", "t3"]
    assert found(exchange, f"Task?{query}&_lastUpdated=lt{since}") == ["t2", "t4", "t5"]


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ("&".join(["_id=rosa"] * 1000), 200),
        ("&".join(["_id=rosa"] * 1001), 400),
        ("_id=" + ",".join(["rosa"] * 30_000), 200),
        ("_sort=" + ",".join(["birthdate"] * 16), 200),
        ("_sort=" + ",".join(["birthdate"] * 17), 400),
    ],
)
def test_a_search_has_so_many_parts(chart, form, status):
    """As many as anybody asks with; more is refused before it is looked at."""
    kind = {"Content_Type": "application/x-www-form-urlencoded"}

    answer = chart.call("POST", f"{CHART}/Patient/_search", form.encode(), **kind)

    assert answer.status_code == status, answer.text[:200]
