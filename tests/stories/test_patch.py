"""JSON Patch and FHIRPath Patch."""

import pytest
from asking import CHART, PATIENT, asked, bundle, operation, parameters
from exchange import refused

MAIDEN = {"extension": [{"url": "https://clinic.example.org/maiden", "valueBoolean": True}]}
BESIDE = {
    "resourceType": "Patient", "id": "c", "gender": "female", "deceasedBoolean": False,
    "_birthDate": MAIDEN, "maritalStatus": {"text": "single"},
    "name": [{"given": ["A", "B"], "_given": [None, MAIDEN]}],
}  # fmt: skip


def test_json_patch(exchange, patient):
    """RFC 6902, with its test operation and its refusals."""
    operations = [
        {"op": "test", "path": "/gender", "value": "female"},
        {"op": "replace", "path": "/gender", "value": "male"},
    ]
    media = "application/json-patch+json"

    answer = exchange.call("PATCH", PATIENT, operations, Content_Type=media)

    assert (answer.status_code, answer.json()["gender"], answer.headers["etag"]) == (
        200,
        "male",
        'W/"2"',
    )
    refused(exchange.call("PATCH", PATIENT, operations, Content_Type=media), 422)
    refused(exchange.call("PATCH", PATIENT, {"op": "x"}, Content_Type=media), 400)
    refused(exchange.call("PATCH", PATIENT, [{"op": "x", "path": "/a"}], Content_Type=media), 400)
    refused(
        exchange.call(
            "PATCH", PATIENT, [{"op": "replace", "path": "/id", "value": "b"}], Content_Type=media
        ),
        422,
    )
    refused(
        exchange.call(
            "PATCH", PATIENT, [{"op": "remove", "path": "/resourceType"}], Content_Type=media
        ),
        422,
    )
    refused(exchange.call("PATCH", f"{CHART}/Patient/none", operations, Content_Type=media), 404)
    refused(exchange.call("PATCH", PATIENT, operations, Content_Type=media, If_Match='W/"1"'), 412)
    refused(exchange.call("PATCH", PATIENT, operations, Content_Type="text/plain"), 415)


def test_what_a_json_patch_empties_goes(exchange, patient):
    """A list whose last member is removed is no more there, as FHIR has no empty ones."""
    child = {"resourceType": "Patient", "id": "c", "gender": "female",
             "name": [{"family": "A"}], "contact": [{"name": {"given": ["B"]}}]}  # fmt: skip
    exchange.call("PUT", f"{CHART}/Patient/c", child)
    operations = [
        {"op": "remove", "path": "/contact/0/name/given/0"},
        {"op": "remove", "path": "/name/0"},
        {"op": "add", "path": "/name/-", "value": {"family": "C"}},
        {"op": "add", "path": "/telecom", "value": []},
    ]

    media = "application/json-patch+json"
    made = exchange.call("PATCH", f"{CHART}/Patient/c", operations, Content_Type=media)

    assert made.status_code == 200, made.text
    assert made.json().keys() == {"resourceType", "id", "meta", "gender", "name"}
    assert made.json()["name"] == [{"family": "C"}]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (operation("add", path="Patient", name="birthDate", value={"valueDate": "2020-01-01"}), {"birthDate": "2020-01-01"}),
        (operation("add", path="Patient", name="name", value={"valueHumanName": {"family": "B"}}),
         {"name": [{"family": "A", "given": ["x", "y", "z"]}, {"family": "B"}]}),
        (operation("add", path="Patient", name="deceasedBoolean", value={"valueBoolean": False}), {"deceasedBoolean": False}),
        (operation("add", path="Patient", name="contact", value={"part": [{"name": "name", "valueHumanName": {"family": "C"}}]}),
         {"contact": [{"name": {"family": "C"}}]}),
        (operation("replace", path="Patient.name.family", value={"valueString": "C"}), {"name": [{"family": "C", "given": ["x", "y", "z"]}]}),
        (operation("replace", path="Patient.multipleBirth", value={"valueInteger": 3}), {"multipleBirthInteger": 3}),
        (operation("delete", path="Patient.name.given[1]"), {"name": [{"family": "A", "given": ["x", "z"]}]}),
        (operation("delete", path="Patient.name"), {"name": None}),
        (operation("delete", path="Patient.photo"), {}),
        (operation("insert", path="Patient.name.given", index=1, value={"valueString": "w"}), {"name": [{"family": "A", "given": ["x", "w", "y", "z"]}]}),
        (operation("move", path="Patient.name.given", source=2, destination=0), {"name": [{"family": "A", "given": ["z", "x", "y"]}]}),
    ],
)  # fmt: skip
def test_fhirpath_patch(exchange, made, expected):
    """Add, insert, delete, replace and move, each at the place that its path finds."""
    child = {
        "resourceType": "Patient",
        "id": "c",
        "multipleBirthInteger": 2,
        "name": [{"family": "A", "given": ["x", "y", "z"]}],
    }
    exchange.call("PUT", f"{CHART}/Patient/c", child)

    answer = exchange.call("PATCH", f"{CHART}/Patient/c", parameters(made))

    assert answer.status_code == 200, answer.text
    stands = answer.json()
    for name, value in {**child, **expected}.items():
        assert stands.get(name) == value


@pytest.mark.parametrize(
    ("made", "status"),
    [
        (operation("replace", path="Patient.name.given", value={"valueString": "w"}), 422),
        (operation("replace", path="Patient.nothing", value={"valueString": "w"}), 422),
        (operation("add", path="Patient", name="nonsense", value={"valueString": "w"}), 422),
        (operation("delete", path="Patient"), 422),
        (operation("insert", path="Patient.name.given", index=9, value={"valueString": "w"}), 422),
        (operation("insert", path="Patient.name.given", index=-1, value={"valueString": "w"}), 400),
        (operation("move", path="Patient.name.given", source=7, destination=0), 422),
        (operation("explode", path="Patient"), 400),
        (operation("replace", path="Patient.name.where(", value={"valueString": "w"}), 400),
        (operation("replace", path="Patient.gender"), 400),
        ({"name": "operation"}, 400),
        ("text", 400),
    ],
)
def test_a_patch_that_does_not_fit_changes_nothing(exchange, patient, made, status):
    """It is refused, and the resource stays as it was."""
    exchange.call(
        "PUT",
        f"{CHART}/Patient/c",
        {"resourceType": "Patient", "id": "c", "name": [{"given": ["x", "y"]}]},
    )
    before = exchange.get(f"{CHART}/Patient/c").content

    refused(exchange.call("PATCH", f"{CHART}/Patient/c", parameters(made)), status)

    assert exchange.get(f"{CHART}/Patient/c").content == before


def test_an_agency_answers_by_patch(exchange, referred):
    """PATCH of Task.status means the same as a PUT of the whole copy."""
    task, theirs = referred
    patch = parameters(operation("replace", path="Task.status", value={"valueCode": "accepted"}))

    answer = exchange.call("PATCH", f"agency/support/fhir/Task/{theirs['id']}", patch)

    assert answer.json()["status"] == "accepted"
    assert exchange.get(f"{CHART}/Task/{task['id']}").json()["status"] == "accepted"


@pytest.mark.parametrize(
    "media", ["application/merge-patch+json", "application/json", "application/fhir+json"]
)
def test_json_merge_patch(exchange, patient, media):
    """RFC 7396: elements by name, null for one that goes; the rest stays as it was."""
    changes = {"gender": "male", "birthDate": None, "maritalStatus": {"text": "single"}}

    answer = exchange.call("PATCH", PATIENT, changes, Content_Type=media)

    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"2"')
    left = {name: value for name, value in answer.json().items() if name != "meta"}
    kept = {n: v for n, v in patient.items() if n not in {"gender", "birthDate", "meta"}}
    assert left == {**kept, "gender": "male", "maritalStatus": {"text": "single"}}
    refused(exchange.call("PATCH", PATIENT, {"id": "b"}, Content_Type=media), 422)
    refused(exchange.call("PATCH", PATIENT, {"gander": "male"}, Content_Type=media), 400)
    refused(exchange.call("PATCH", PATIENT, "male", Content_Type=media), 400)


def test_json_patch_under_the_name_of_json(exchange, patient):
    """A list of operations is a JSON Patch, whatever JSON it is called."""
    operations = [{"op": "replace", "path": "/gender", "value": "male"}]

    answer = exchange.call("PATCH", PATIENT, operations, Content_Type="application/json")

    assert (answer.status_code, answer.json()["gender"]) == (200, "male")


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (operation("move", path="Patient.name.given", source=1, destination=0),
         {"name": [{"given": ["B", "A"], "_given": [MAIDEN, None]}]}),
        (operation("insert", path="Patient.name.given", index=0, value={"valueString": "w"}),
         {"name": [{"given": ["w", "A", "B"], "_given": [None, None, MAIDEN]}]}),
        (operation("add", path="Patient.name", name="given", value={"valueString": "w"}),
         {"name": [{"given": ["A", "B", "w"], "_given": [None, MAIDEN, None]}]}),
        (operation("replace", path="Patient.name.given[1]", value={"valueString": "w"}),
         {"name": [{"given": ["A", "w"]}]}),
        (operation("replace", path="Patient.birthDate", value={"valueDate": "2020-01-01"}),
         {"birthDate": "2020-01-01", "_birthDate": None}),
        (operation("add", path="Patient.gender", name="extension", value={"valueExtension": MAIDEN["extension"][0]}),
         {"gender": "female", "_gender": MAIDEN}),
        (operation("delete", path="Patient.name.given[1].extension"), {"name": [{"given": ["A", "B"]}]}),
        (operation("delete", path="Patient.birthDate.extension"), {"_birthDate": None}),
        (operation("delete", path="Patient.maritalStatus.text"), {"maritalStatus": None}),
        (operation("replace", path="Patient.deceased", value={"valueDateTime": "2026-01-02"}),
         {"deceasedBoolean": None, "deceasedDateTime": "2026-01-02"}),
        (operation("add", path="Patient", name="multipleBirth", value={"valueInteger": 2}), {"multipleBirthInteger": 2}),
        (operation("add", path="Patient", name="contact", value={"part": [
            {"name": "telecom", "valueContactPoint": {"value": "555-0142"}}]}),
         {"contact": [{"telecom": [{"value": "555-0142"}]}]}),
        (operation("add", path="Patient", name="language", value={"_valueCode": MAIDEN}), {"_language": MAIDEN}),
    ],
)  # fmt: skip
def test_a_patch_keeps_each_value_with_what_stands_beside_it(exchange, made, expected):
    """An extension moves with its own value; what is left empty goes; a choice follows its value."""
    exchange.call("PUT", f"{CHART}/Patient/c", BESIDE)

    answer = exchange.call("PATCH", f"{CHART}/Patient/c", parameters(made))

    assert answer.status_code == 200, answer.text
    stands = {name: value for name, value in answer.json().items() if name != "meta"}
    whole = {**BESIDE, **expected}
    assert stands == {name: value for name, value in whole.items() if value is not None}


@pytest.mark.parametrize(
    "parts",
    [
        [{"name": "path", "valueString": "Patient.gender"}, {"name": "value", "valueCode": "male"}],
        [{"name": "value", "valueDate": "2001-01-01", "valueString": "x"}],
    ],
)
@pytest.mark.usefixtures("patient")
def test_an_operation_that_can_be_read_in_two_ways_is_refused(exchange, parts):
    """Which of the two was meant is not guessed."""
    part = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "Patient.birthDate"},
        *parts,
    ]
    patch = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": part}]}

    (issue,) = refused(exchange.call("PATCH", PATIENT, patch), 400)

    assert issue["expression"] == ["Parameters.parameter[0]"]


def test_no_operation_changes_nothing(exchange):
    """As HL7's own test cases have it: Parameters, or a JSON Patch, that is empty is one that fits."""
    stood = exchange.call("PUT", f"{CHART}/Patient/c", BESIDE).json()

    for sent, media in (
        ({"resourceType": "Parameters"}, "application/fhir+json"),
        ([], "application/json-patch+json"),
    ):
        answer = exchange.call("PATCH", f"{CHART}/Patient/c", sent, Content_Type=media)
        assert answer.status_code == 200, answer.text
        assert {**answer.json(), "meta": 0} == {**stood, "meta": 0}


@pytest.mark.parametrize(
    "made",
    [
        operation("add", path="Patient", name="gender", value={"valueCode": "male"}),
        operation("add", path="Patient", name="deceased", value={"valueDateTime": "2026-01-02"}),
        operation("add", path="Patient", name="birthDate", value={"valueDate": "2020-01-01"}),
        operation("add", path="Patient", name="multipleBirth", value={"valueString": "two"}),
        operation("replace", path="Patient.deceased", value={"valueString": "yes"}),
        operation("insert", path="Patient.photo", index=0, value={"valueAttachment": {}}),
    ],
)
def test_add_is_for_what_does_not_stand_yet(exchange, made):
    """R4: add to an element that may not repeat only where there is none; the place is named."""
    exchange.call("PUT", f"{CHART}/Patient/c", BESIDE)

    (issue,) = refused(exchange.call("PATCH", f"{CHART}/Patient/c", parameters(made)), 422)

    assert issue["expression"] == ["Parameters.parameter[0]"]


@pytest.mark.parametrize(
    ("operations", "expression", "advice"),
    [
        ([{"op": "remove", "path": "/telecom/0"}, {"op": "replace", "path": "/photo/0/url", "value": "x"}],
         "Patient.photo[0].url", "Operation 1, replace: its place is not there; use add"),
        ([{"op": "test", "path": "/gender", "value": "male"}], "Patient.gender", "read the resource again"),
        ([{"op": "test", "path": "/deceasedBoolean", "value": 0}], "Patient.deceasedBoolean", "does not hold"),
        ([{"op": "add", "path": "/telecom/7", "value": {}}], "Patient.telecom[7]", "count a list from 0"),
        ([{"op": "copy", "from": "/photo", "path": "/telecom"}], "Patient.telecom", "is not there"),
        ([{"op": "move", "from": "/name", "path": "/name/0/given"}], "Patient.name[0].given", "into itself"),
    ],
)  # fmt: skip
def test_a_json_patch_that_does_not_fit_says_where(exchange, operations, expression, advice):
    """Which operation it was, of which element, and what to do; never what was tested."""
    exchange.call("PUT", f"{CHART}/Patient/c", {**BESIDE, "telecom": [{"value": "555-0142"}]})
    media = "application/json-patch+json"

    answer = exchange.call("PATCH", f"{CHART}/Patient/c", operations, Content_Type=media)

    (issue,) = refused(answer, 422)
    assert issue["expression"] == [expression]
    assert advice in issue["details"]["text"]
    assert "female" not in answer.text


@pytest.mark.parametrize(
    ("made", "status"),
    [
        ([{"op": "copy", "from": "/name", "path": "/name/-"}] * 40, 413),
        ([{"op": "copy", "from": "", "path": "/text"}] * 70, 400),
        ([{"op": "test", "path": "/id", "value": "c"}] * 10_001, 413),
        (parameters(*[operation("delete", path="Patient.photo")] * 1001), 413),
    ],
)
def test_a_small_patch_makes_nothing_huge(exchange, made, status):
    """Copies that double what stands, nesting without end, operations without end are refused."""
    exchange.call("PUT", f"{CHART}/Patient/c", BESIDE)
    media = "application/json-patch+json" if isinstance(made, list) else "application/fhir+json"

    refused(exchange.call("PATCH", f"{CHART}/Patient/c", made, Content_Type=media), status)


@pytest.mark.parametrize("part", ["/a", "/~0", "/name/0"])
def test_a_path_that_leads_nowhere_in_fhir_is_not_followed(exchange, patient, part):
    """A pointer of four million steps took three seconds, in which nobody else was answered."""
    step = {"op": "add", "path": part * 1500, "value": 1, "from": "/name"}

    for op in ("test", "copy"):
        sent = [{**step, "op": op}]
        media = {"Content_Type": "application/json-patch+json"}
        (issue,) = refused(exchange.call("PATCH", PATIENT, sent, **media), 400)
        assert "characters" in issue["details"]["text"]


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_what_was_deleted_is_gone_for_who_patches_too(exchange, patient, method):
    """410 says that the id was right; 404 that there never was such a record."""
    media = {"Content_Type": "application/merge-patch+json"}
    patch = {"gender": "male"} if method == "PATCH" else None
    exchange.call("DELETE", PATIENT)

    refused(exchange.call(method, PATIENT, patch, **media), 410, "deleted")
    refused(exchange.call(method, f"{CHART}/Patient/never", patch, **media), 404, "not-found")


def test_a_patch_of_what_was_deleted_undoes_its_transaction(exchange, patient):
    """The entry is named, and nothing of the Bundle is there."""
    exchange.call("DELETE", PATIENT)
    patch = parameters(operation("replace", path="Patient.gender", value={"valueCode": "male"}))
    sent = bundle(
        "transaction",
        asked("PUT", "Patient/new", {"resourceType": "Patient", "id": "new"}),
        asked("PATCH", "Patient/rosa", patch),
    )

    issue = refused(exchange.call("POST", CHART, sent), 410)[0]

    assert issue["expression"] == ["Bundle.entry[1]"]
    refused(exchange.get(f"{CHART}/Patient/new"), 404)


@pytest.mark.parametrize(
    ("sent", "place"),
    [
        ({"resourceType": "Patient", "active": True}, ""),
        (parameters(operation("fly", path="Patient")), ".parameter[0]"),
        ({"resourceType": "Binary", "contentType": "application/json-patch+json", "data": "e30="}, ""),
        ({"resourceType": "Binary", "contentType": "application/json-patch+json", "data": "e"}, ".data"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_a_bundle_says_which_entry_is_no_patch(exchange, patient, kind, sent, place):
    """Of fifty entries it is the second, and where in it."""
    sent = bundle(kind, asked("GET", "Patient/rosa"), asked("PATCH", "Patient/rosa", sent))

    answer = exchange.call("POST", CHART, sent).json()

    if kind == "batch":
        answer = answer["entry"][1]["response"]["outcome"]
    assert answer["issue"][0]["expression"] == [f"Bundle.entry[1].resource{place}"]
