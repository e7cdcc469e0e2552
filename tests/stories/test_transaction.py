"""Several things in one Bundle: together, or each for itself."""

import base64
import json
import time
import uuid
from datetime import datetime

import pytest
from asking import CHART, FOUND, MRN, PATIENT, asked, bundle
from exchange import refused
from shelves import held
from test_corrections import refer

from app.sandbox import family

BASE = f"https://exchange.localhost/{CHART}"


def test_a_transaction_answers_each_entry_in_its_place(exchange, patient):
    """Create, update, conditional create, patch, delete and read, in one, each answered in order."""
    exchange.call("PUT", f"{CHART}/Patient/old", {"resourceType": "Patient", "id": "old"})
    observed = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": "urn:uuid:a"},
    }
    json_patch = base64.b64encode(
        json.dumps([{"op": "replace", "path": "/gender", "value": "other"}]).encode()
    ).decode()
    sent = bundle(
        "transaction",
        asked("GET", "Patient/rosa"),
        asked("POST", "Observation", observed),
        asked("POST", "Patient", {"resourceType": "Patient"}, fullUrl="urn:uuid:a"),
        asked(
            "PATCH",
            "Patient/rosa",
            {
                "resourceType": "Binary",
                "contentType": "application/json-patch+json",
                "data": json_patch,
            },
        ),
        asked("DELETE", "Patient/old"),
        asked(
            "PUT",
            "Patient?identifier=urn:x|1",
            {"resourceType": "Patient", "identifier": [{"system": "urn:x", "value": "1"}]},
        ),
    )

    answer = exchange.call("POST", CHART, sent)

    assert answer.status_code == 200, answer.text
    entries = answer.json()["entry"]
    assert [one["response"]["status"] for one in entries] == [
        "200 OK",
        "201 Created",
        "201 Created",
        "200 OK",
        "204 No Content",
        "201 Created",
    ]
    assert entries[0]["resource"]["gender"] == "other"
    assert (
        entries[1]["resource"]["subject"]["reference"] == f"Patient/{entries[2]['resource']['id']}"
    )
    refused(exchange.get(f"{CHART}/Patient/old"), 410)


def test_the_ids_of_what_comes_together_begin_with_its_time(exchange, patient):
    """So they lie together in every index; what follows the time nobody guesses, 0092."""
    answers = []
    for _ in range(2):
        posts = (asked("POST", "Basic", {"resourceType": "Basic"}) for _ in range(30))
        made = exchange.call("POST", CHART, bundle("transaction", *posts)).json()["entry"]
        ids = [one["resource"]["id"] for one in made]
        at = datetime.fromisoformat(made[0]["resource"]["meta"]["lastUpdated"]).timestamp()
        assert all(abs(int(one[:12], 16) / 1000 - at) < 1 for one in ids)
        assert all(len(one) == 32 for one in ids)
        assert len({one[12:] for one in ids}) == 30
        assert len({one[12:16] for one in ids}) > 20, "no count, and nothing alike"
        answers.append(ids)
    assert max(answers[0]) < min(answers[1])


def test_a_transaction_is_all_or_nothing(exchange, patient):
    """One stale entry undoes the others."""
    sent = bundle(
        "transaction",
        asked("PUT", "Patient/other", {"resourceType": "Patient", "id": "other"}),
        asked("PUT", "Patient/rosa", family.PATIENT, request={"ifMatch": 'W/"7"'}),
    )

    refused(exchange.call("POST", CHART, sent), 412)

    refused(exchange.get(f"{CHART}/Patient/other"), 404)


def test_in_a_batch_each_entry_stands_for_itself(exchange, patient):
    """What is refused has its outcome in its place; the others are done."""
    sent = bundle(
        "batch",
        asked("PUT", "Patient/other", {"resourceType": "Patient", "id": "other"}),
        asked("PUT", "Patient/rosa", family.PATIENT, request={"ifMatch": 'W/"7"'}),
        asked("GET", "Patient/none"),
        asked("BREW", "Patient/rosa"),
        asked("GET", "Patient/rosa/_history/1"),
        asked("DELETE", "Patient/rosa"),
    )

    entries = exchange.call("POST", f"{CHART}/", sent).json()["entry"]

    assert [one["response"]["status"][:3] for one in entries] == [
        "201",
        "412",
        "404",
        "422",
        "200",
        "204",
    ]
    assert entries[1]["response"]["outcome"]["issue"][0]["code"] == "conflict"


def test_two_entries_with_one_full_url_are_refused(exchange):
    """A reference could mean either, so neither is stored."""
    one = asked("POST", "Patient", {"resourceType": "Patient"}, fullUrl="urn:uuid:a")

    refused(exchange.call("POST", CHART, bundle("transaction", one, one)), 400)

    assert exchange.rows("SELECT * FROM resource") == []


def test_two_entries_for_one_resource_are_refused(exchange):
    """A transaction that writes one thing twice is not guessed at."""
    one = asked("PUT", "Patient/a", {"resourceType": "Patient", "id": "a"})

    refused(exchange.call("POST", CHART, bundle("transaction", one, one)), 400)


def test_an_empty_transaction_does_nothing(exchange):
    """Nothing asked, nothing done, and said so."""
    answer = exchange.call("POST", CHART, {"resourceType": "Bundle", "type": "transaction"})

    assert answer.json() == {"resourceType": "Bundle", "type": "transaction-response"}


def observed(subject, **more):
    made = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    return {**made, "subject": {"reference": subject}, **more}


def answered(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["entry"]


def test_a_read_that_cannot_be_answered_undoes_the_writes(exchange, patient):
    """All or nothing is of reads too: nothing is written when one of them fails."""
    made = asked("POST", "Patient", {"resourceType": "Patient"})

    for read in ("Patient/none", "Patient/rosa/_history/7", "Child/1", "Patient/rosa/nonsense/x"):
        answer = exchange.call("POST", CHART, bundle("transaction", made, asked("GET", read)))
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.json()["issue"][0]["expression"] == ["Bundle.entry[1].request.url"]

    assert exchange.rows("SELECT count(*) FROM resource") == [(1,)]


def test_a_read_sees_what_the_same_bundle_makes(exchange, patient):
    """What a PUT in the same Bundle makes can be read there; what a DELETE takes cannot."""
    child = {"resourceType": "Patient", "id": "new", "active": True}
    put, read = asked("PUT", "Patient/new", child), asked("GET", "Patient/new")
    deleted, gone = asked("DELETE", "Patient/rosa"), asked("GET", "Patient/rosa")

    entries = answered(exchange.call("POST", CHART, bundle("transaction", read, put)))
    refused(exchange.call("POST", CHART, bundle("transaction", gone, deleted)), 410)

    assert entries[0]["resource"] == entries[1]["resource"]
    assert exchange.get(PATIENT).status_code == 200


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_whatever_can_be_read_can_be_read_in_a_bundle(exchange, patient, kind):
    """A part, a version, a history, what is new, the CapabilityStatement: each as if it came alone."""
    at = patient["meta"]["lastUpdated"]
    sent = bundle(
        kind,
        asked("GET", "Patient/rosa?_elements=gender"),
        asked("GET", f"{BASE}/Patient/rosa/_history/1"),
        asked("GET", "/Patient/rosa/_history"),
        asked("GET", "Patient/rosa", request={"ifNoneMatch": 'W/"1"'}),
        asked("GET", "metadata?_summary=true"),
        asked("HEAD", "Patient/rosa"),
        *(
            asked("GET", "Patient/rosa", request={"ifModifiedSince": one})
            for one in (at, "2020-01-01T00:00:00Z")
        ),
    )

    part, version, history, known, capable, head, since, before = answered(
        exchange.call("POST", CHART, sent)
    )

    assert "name" not in part["resource"]
    assert part["fullUrl"] == f"{BASE}/Patient/rosa"
    assert version["resource"] == patient
    assert history["resource"]["total"] == 1
    assert known == since == {"response": {"status": "304 Not Modified", "etag": 'W/"1"'}}
    assert before["resource"] == patient
    assert capable["resource"]["resourceType"] == "CapabilityStatement"
    assert head == {"response": {"status": "200 OK", "etag": 'W/"1"'}}


def test_a_url_may_be_whole_and_carry_a_version(exchange, patient):
    """What HAPI's clients send after a read is an update of that resource."""
    changed = {**family.PATIENT, "gender": "other"}
    for url in (
        f"{BASE}/Patient/rosa/_history/1",
        "/Patient/rosa",
        "http://testserver/clinic/chart/fhir/Patient/rosa",
    ):
        sent = bundle("transaction", asked("PUT", url, changed))
        assert answered(exchange.call("POST", CHART, sent))[0]["resource"]["gender"] == "other"

    assert exchange.get(PATIENT).headers["etag"] == 'W/"2"'


def test_a_conditional_reference_is_what_meets_it(exchange, patient):
    """A record number in place of an id: of what stands, or of what comes in the same Bundle."""
    agency = {"resourceType": "Organization", "identifier": [{"system": "urn:x", "value": "a"}]}
    sent = bundle(
        "transaction",
        asked(
            "POST",
            "Observation",
            observed(
                f"{BASE}/Patient?{FOUND}",
                performer=[{"reference": "Organization?identifier=urn:x|a"}],
            ),
        ),
        asked("POST", "Organization", agency),
    )

    entries = answered(exchange.call("POST", CHART, sent))

    made = entries[0]["resource"]
    assert made["subject"]["reference"] == "Patient/rosa"
    assert made["performer"][0]["reference"] == f"Organization/{entries[1]['resource']['id']}"


def test_what_is_created_without_a_fullurl_is_known_by_its_id(exchange):
    """As EHRs send it, and HAPI takes it: the finding is of the child beside it."""
    child = {"resourceType": "Patient", "id": "mine"}
    sent = bundle(
        "transaction",
        asked("POST", "Observation", observed("Patient/mine")),
        asked("POST", "Patient", child),
    )

    finding, made = answered(exchange.call("POST", CHART, sent))

    assert made["resource"]["id"] != "mine"
    assert finding["resource"]["subject"]["reference"] == f"Patient/{made['resource']['id']}"


@pytest.mark.parametrize("beside", ["stands", "comes twice", "is updated"])
def test_an_id_that_may_be_anothers_is_nobodys(exchange, beside):
    """Another child may be under the id by which a reference names the one who is created: it is refused."""
    child = {"resourceType": "Patient", "id": "mine"}
    more = []
    if beside == "stands":
        exchange.call("PUT", f"{CHART}/Patient/mine", child)
    elif beside == "comes twice":
        more = [asked("POST", "Patient", {**child, "gender": "male"})]
    else:
        more = [asked("PUT", "Patient/mine", child)]
    finding = asked("POST", "Observation", observed("Patient/mine"))
    sent = bundle("transaction", finding, asked("POST", "Patient", child), *more)

    (issue,) = refused(exchange.call("POST", CHART, sent), 400)

    assert "fullUrl" in issue["details"]["text"]
    assert issue["expression"] == ["Bundle.entry[0].resource"]
    assert exchange.rows("SELECT count(*) FROM resource WHERE type = 'Observation'") == [(0,)]


@pytest.mark.parametrize(
    ("reference", "status"),
    [("Patient?identifier=urn:x|none", 412), (f"Patient?{FOUND}", 412), ("Patient?name=Rosa", 412)],
)
def test_a_conditional_reference_that_not_one_meets_is_refused(
    exchange, patient, reference, status
):
    """None, two, or a condition that is not understood: nothing is guessed, nothing stored."""
    exchange.call("PUT", f"{CHART}/Patient/twin", {**family.PATIENT, "id": "twin"})

    sent = bundle("transaction", asked("POST", "Observation", observed(reference)))
    issues = refused(exchange.call("POST", CHART, sent), status)

    assert issues[0]["expression"] == ["Bundle.entry[0].resource"]
    assert exchange.rows("SELECT count(*) FROM resource WHERE type = 'Observation'") == [(0,)]


@pytest.mark.parametrize("reference", ["Nobody?name=Rosa", "Patient?nothing=Rosa"])
def test_a_conditional_reference_that_cannot_be_asked_is_refused(exchange, patient, reference):
    """A type or a parameter that FHIR does not have: the entry's fault, and in a batch its alone."""
    wrong, sound = (asked("POST", "Observation", observed(one)) for one in (reference, PATIENT))

    refused(exchange.call("POST", CHART, bundle("transaction", sound, wrong)), 400)
    answer = exchange.call("POST", CHART, bundle("batch", wrong, sound)).json()

    assert [one["response"]["status"][:3] for one in answer["entry"]] == ["400", "201"]


def test_references_between_entries_follow_their_full_urls(exchange):
    """By urn:uuid, urn:oid, whole URL with a version, and relative to the entry's own base."""
    ehr = "https://ehr.example.org/fhir"
    child = {"resourceType": "Patient", "id": "7"}
    sent = bundle(
        "transaction",
        asked("POST", "Patient", child, fullUrl=f"{ehr}/Patient/7"),
        asked("POST", "Patient", {"resourceType": "Patient"}, fullUrl="urn:oid:1.2.3"),
        asked("POST", "Observation", observed("Patient/7"), fullUrl=f"{ehr}/Observation/1"),
        asked("POST", "Observation", observed(f"{ehr}/Patient/7/_history/3"), fullUrl="urn:uuid:o"),
        asked("POST", "Observation", observed("Patient/7"), fullUrl="urn:uuid:p"),
        asked("POST", "Observation", observed("urn:oid:1.2.3")),
    )

    entries = answered(exchange.call("POST", CHART, sent))

    names = [f"Patient/{one['resource']['id']}" for one in entries[:2]]
    subjects = [one["resource"]["subject"]["reference"] for one in entries[2:]]
    assert subjects == [names[0], names[0], "Patient/7", names[1]]


def test_links_within_a_bundle_lead_to_what_it_made(exchange):
    """An attachment's url and the narrative's links are followed as references are; a name is not."""
    scan, other = f"urn:uuid:{uuid.uuid4()}", f"urn:uuid:{uuid.uuid4()}"
    image = {"resourceType": "Binary", "contentType": "image/png", "data": "aGk="}
    link = '<div xmlns="http://www.w3.org/1999/xhtml"><a href="{}">scan</a> <i>{}</i></div>'
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "text": {"status": "generated", "div": link.format(scan, other)},
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": scan}],
        "extension": [{"url": "https://example.org/scan", "valueUrl": scan}],
        "content": [{"attachment": {"url": scan}}, {"attachment": {"url": other}}],
    }

    first, second = answered(
        exchange.call(
            "POST",
            CHART,
            bundle(
                "transaction",
                asked("POST", "Binary", image, fullUrl=scan),
                asked("POST", "DocumentReference", document),
            ),
        )
    )

    name = f"Binary/{first['resource']['id']}"
    stored = second["resource"]
    assert [one["attachment"]["url"] for one in stored["content"]] == [name, other]
    assert stored["extension"][0]["valueUrl"] == name
    assert stored["text"]["div"] == link.format(name, other)
    assert stored["identifier"][0]["value"] == scan


@pytest.mark.parametrize("base", ["", "https://ehr.example.org/fhir/"])
def test_a_document_of_another_server_keeps_its_file(exchange, base):
    """An EHR's document names its Binary as the EHR has it; what else is named so is left as it is."""
    ehr = "https://ehr.example.org/fhir"
    scan = {"resourceType": "Binary", "contentType": "image/png", "data": "aGk="}
    file = {"attachment": {"url": f"{base}Binary/5"}}
    document = {"resourceType": "DocumentReference", "status": "current", "content": [file]}
    canonical = {"resourceType": "ValueSet", "status": "draft", "url": f"{ehr}/ValueSet/1"}

    made = answered(
        exchange.call(
            "POST",
            CHART,
            bundle(
                "transaction",
                asked("POST", "Binary", scan, fullUrl=f"{ehr}/Binary/5"),
                asked("POST", "DocumentReference", document, fullUrl=f"{ehr}/DocumentReference/1"),
                asked("POST", "ValueSet", canonical, fullUrl=f"{ehr}/ValueSet/1"),
            ),
        )
    )

    name = f"Binary/{made[0]['resource']['id']}"
    assert made[1]["resource"]["content"] == [{"attachment": {"url": name}}]
    assert made[2]["resource"]["url"] == canonical["url"]


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_what_a_transaction_deletes_meets_no_condition_of_it(exchange, patient, method):
    """Deletes come first, wherever they stand: the child that is sent anew is made anew, and stands."""
    child = {"resourceType": "Patient", "identifier": [MRN]}
    url, request = (
        ("Patient", {"ifNoneExist": FOUND}) if method == "POST" else (f"Patient?{FOUND}", {})
    )
    made = asked(method, url, child, fullUrl="urn:uuid:a", request=request)
    seen = asked("POST", "Observation", observed("urn:uuid:a"))
    deleted = asked("DELETE", "Patient/rosa")

    entries = answered(exchange.call("POST", CHART, bundle("transaction", made, seen, deleted)))

    assert [one["response"]["status"][:3] for one in entries] == ["201", "201", "204"]
    [found] = exchange.get(f"{CHART}/Patient?{FOUND}").json()["entry"]
    assert found["resource"]["id"] != "rosa"
    assert (
        exchange.get(f"{CHART}/Observation?patient={found['resource']['id']}").json()["total"] == 1
    )


def test_what_a_transaction_deletes_is_not_referred_to(exchange, patient):
    """A conditional reference that only what goes away meets is met by nothing."""
    seen = asked("POST", "Observation", observed(f"Patient?{FOUND}"))

    for deleted in (asked("DELETE", "Patient/rosa"), asked("DELETE", f"Patient?{FOUND}")):
        refused(exchange.call("POST", CHART, bundle("transaction", deleted, seen)), 412)

    assert exchange.get(PATIENT).status_code == 200


@pytest.mark.parametrize(
    "entries",
    [
        [("PUT", f"Patient?{FOUND}"), ("PUT", f"Patient?{FOUND}")],
        [("POST", "Patient"), ("PUT", f"Patient?{FOUND}")],
        [("POST", "Patient"), ("POST", "Patient", {"ifNoneExist": FOUND})],
        [("POST", "Patient", {"ifNoneExist": FOUND}), ("PUT", f"Patient?{FOUND}")],
        [("PUT", "Patient/p"), ("PUT", f"Patient?{FOUND}")],
    ],
)
def test_a_condition_makes_no_second_beside_what_comes_with_it(exchange, entries):
    """One record number is one child: what would make two of one Bundle is refused, whole."""
    made = []
    for method, url, *request in entries:
        child = {"resourceType": "Patient", "identifier": [MRN]}
        child |= {"id": "p"} if url == "Patient/p" else {}
        made.append(asked(method, url, child, request=request[0] if request else {}))

    for sent in (made, made[::-1]):
        refused(exchange.call("POST", CHART, bundle("transaction", *sent)), 400)

    assert exchange.rows("SELECT count(*) FROM resource") == [(0,)]


def test_one_condition_twice_makes_one(exchange):
    """Two conditional creates of one record number in one Bundle are one child."""
    child = {"resourceType": "Patient", "identifier": [MRN]}
    create = asked("POST", "Patient", child, request={"ifNoneExist": FOUND})
    first, second = {**create, "fullUrl": "urn:uuid:a"}, {**create, "fullUrl": "urn:uuid:b"}
    seen = asked("POST", "Observation", observed("urn:uuid:b"))

    entries = answered(exchange.call("POST", CHART, bundle("transaction", first, second, seen)))

    assert entries[0]["resource"] == entries[1]["resource"]
    assert [one["response"]["status"][:3] for one in entries] == ["201", "200", "201"]
    assert (
        entries[2]["resource"]["subject"]["reference"] == f"Patient/{entries[0]['resource']['id']}"
    )


@pytest.mark.parametrize("kind", ["batch", "transaction"])
@pytest.mark.parametrize(
    ("prefer", "members"),
    [
        ("return=minimal", set()),
        ("handling=lenient; return=minimal", set()),
        ('respond-async, return="minimal"', set()),
        ("return=representation", {"resource"}),
        ("", {"resource"}),
        ("return=OperationOutcome", {"outcome"}),
    ],
)
def test_a_bundle_is_answered_as_preferred(exchange, kind, prefer, members):
    """Nothing, the resources, or what there is to say about each."""
    sent = bundle(kind, asked("POST", "Patient", {"resourceType": "Patient"}))

    (entry,) = answered(exchange.call("POST", CHART, sent, Prefer=prefer))

    found = {"resource"} & entry.keys() | {"outcome"} & entry["response"].keys()
    assert (found, entry["response"]["status"]) == (members, "201 Created")


@pytest.mark.parametrize("number", [400])
def test_a_long_transaction_is_one_change(exchange, number):
    """Hundreds of conditional creates, Tasks and updates are read for together, and written."""
    child = {"resourceType": "Patient"}
    task = {"resourceType": "Task", "status": "draft", "intent": "order"}
    identified = [
        {**child, "identifier": [{"system": "urn:x", "value": str(one)}]} for one in range(number)
    ]
    entries = [
        *(
            asked("POST", "Patient", one, request={"ifNoneExist": f"identifier=urn:x|{at}"})
            for at, one in enumerate(identified)
        ),
        *(
            asked("POST", "Task", {**task, "for": {"reference": f"Patient?identifier=urn:x|{at}"}})
            for at in range(number)
        ),
        *(asked("PUT", f"Patient/p{at}", {**child, "id": f"p{at}"}) for at in range(number)),
    ]
    sent = bundle("transaction", *entries)

    begun = time.perf_counter()
    answer = exchange.call("POST", CHART, sent, Prefer="return=minimal")

    assert len(answered(answer)) == 3 * number
    assert time.perf_counter() - begun < 20  # where each was read for alone, it was refused


def test_a_delete_that_nothing_meets_has_nothing_to_do(exchange):
    """A transaction that clears away what may not be there goes on with what it brings."""
    gone = asked("DELETE", f"Patient?{FOUND}")
    brought = asked("POST", "Patient", {"resourceType": "Patient"})

    entries = answered(exchange.call("POST", CHART, bundle("transaction", gone, brought)))

    assert [one["response"]["status"][:3] for one in entries] == ["204", "201"]


@pytest.mark.parametrize(
    "url", ["Patient/$validate", "$refer", "Patient/rosa/$validate", "Patient/_search"]
)
def test_an_operation_is_asked_for_by_itself(exchange, patient, url):
    """A batch says so in the entry's own place; the others are answered."""
    sent = bundle("batch", asked("POST", url, patient), asked("GET", "Patient/rosa"))

    refusal, read = answered(exchange.call("POST", CHART, sent))

    assert refusal["response"]["status"].startswith("422")
    (issue,) = refusal["response"]["outcome"]["issue"]
    assert issue["expression"] == ["Bundle.entry[0].request.url"]
    assert "by itself" in issue["details"]["text"]
    assert read["resource"] == patient


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_a_small_bundle_is_not_answered_without_end(exchange, patient, kind):
    """A hundred times the CapabilityStatement is more than one answer holds: the rest is refused."""
    sent = bundle(kind, *[asked("GET", "metadata")] * 100, asked("GET", "Patient/rosa"))

    answer = exchange.call("POST", CHART, sent)

    if kind == "transaction":
        (issue,) = refused(answer, 413, "too-long")
    else:
        *_, last = answered(answer)
        assert last["response"]["status"].startswith("413")
        (issue,) = last["response"]["outcome"]["issue"]
        assert len(answer.content) < 40 * 2**20
    assert issue["expression"][0].startswith("Bundle.entry[")


def accepted(exchange, *tasks):
    """The agency's Tasks, each moved on, in one transaction."""
    entries = [asked("PUT", f"Task/{one['id']}", {**one, "status": "accepted"}) for one in tasks]
    return exchange.call("POST", "agency/support/fhir", bundle("transaction", *entries))


def test_an_agency_answers_several_referrals_at_once(exchange, patient):
    """A case system sends what it has done today: each clinic's Task moves on."""
    for number in range(3):
        refer(exchange, number, "agency")
    tasks = held(exchange, "agency/support", "Task")

    assert accepted(exchange, *tasks).status_code == 200

    for shelf in ("agency/support", "clinic/chart"):
        statuses = [one["status"] for one in held(exchange, shelf, "Task")]
        assert statuses == ["accepted"] * 3, shelf
