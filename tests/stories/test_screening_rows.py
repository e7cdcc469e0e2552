"""Screening Observations as EHRs emit them: one by one or together, corrected, in any order."""

import json
from collections import Counter

from exchange import refused, resources

from app.domain import receive

SUBMIT = "clinic/chart/fhir/$submit-screening"
CHART = "clinic/chart/fhir"
WHEN = "2026-11-23T09:15:00Z"
FLOWSHEET = "http://open.epic.com/FHIR/StructureDefinition/observation-flowsheet-id"


def coding(code, system="http://loinc.org"):
    return {"system": system, "code": code}


def row(question, answer=None, **more):
    """One Observation, with a category entry for each code, as EHRs send it."""
    said = {"valueCodeableConcept": {"coding": [coding(answer)]}} if answer else {}
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [
            {"coding": [coding("survey", "http://terminology.hl7.org/CodeSystem/observation-category")]},
            {"coding": [coding("sdoh", "http://hl7.org/fhir/us/core/CodeSystem/us-core-category")]},
        ],
        "code": {"coding": [coding(question)]},
        "subject": {"reference": "Patient/rosa"},
        "effectiveDateTime": WHEN,
        **said,
        **more,
    }  # fmt: skip


def ours(exchange):
    """What stands that we made, by code; several of one code in a list."""
    rows = exchange.rows(
        "SELECT body FROM resource WHERE type = 'Observation' AND method <> 'DELETE'"
    )
    found = {}
    for one in (json.loads(bytes(body[0])) for body in rows):
        if one["meta"].get("source", "").startswith("https://kinbridge.example.org/"):
            found.setdefault(one["code"]["coding"][0]["code"], []).append(one)
    return found


def one(exchange, code):
    (found,) = ours(exchange)[code]
    return found


def of_whom(exchange):
    """How many of ours stand for each child."""
    every = (each for several in ours(exchange).values() for each in several)
    stand = (each for each in every if each["status"] != "entered-in-error")
    return Counter(each["subject"]["reference"] for each in stand)


def test_rows_that_come_one_by_one_become_one_screening(exchange, patient):
    """Answers of one moment belong together, however many messages they take."""
    for question, answer in (("88122-7", "LA28398-8"), ("88123-5", "LA28398-8")):
        assert (
            exchange.call("POST", f"{CHART}/Observation", row(question, answer)).status_code == 201
        )

    assert len(one(exchange, "88121-9")["hasMember"]) == 3
    result = one(exchange, "88124-3")
    assert result["valueCodeableConcept"]["coding"][0]["code"] == "LA19983-8"
    assert len(ours(exchange)) == 4


def test_a_batch_and_a_transaction_do_the_same_work(exchange, patient):
    """Most EHRs send Bundles; what is made of them does not hang on their kind."""

    def bundle(kind, minute):
        rows = [row("88122-7", "LA28398-8"), row("88123-5", "LA6729-3")]
        entries = [
            {"resource": {**one, "effectiveDateTime": f"2026-11-23T09:{minute}:00Z"},
             "request": {"method": "POST", "url": "Observation"}}
            for one in rows
        ]  # fmt: skip
        return {"resourceType": "Bundle", "type": kind, "entry": entries}

    for kind, minute in (("batch", 20), ("transaction", 21)):
        assert exchange.call("POST", CHART, bundle(kind, minute)).status_code == 200

    panels = ours(exchange)["88121-9"]
    assert [len(panel["hasMember"]) for panel in panels] == [3, 3]


def test_the_ehrs_rows_stay_as_they_came(exchange, patient):
    """What the EHR said is never rewritten; ours is another one, derived from it."""
    sent = row("88122-7", "LA28397-0", id="ehr-1", note=[{"text": "asked in the waiting room"}])

    exchange.call("PUT", f"{CHART}/Observation/ehr-1", sent)

    stored = exchange.get(f"{CHART}/Observation/ehr-1").json()
    assert {key: value for key, value in stored.items() if key != "meta"} == sent
    mine = one(exchange, "88122-7")
    assert mine["derivedFrom"] == [{"reference": "Observation/ehr-1"}]
    assert mine["id"] != "ehr-1"


def test_ours_sent_back_is_no_new_screening(exchange, patient):
    """Who reads one of ours and writes it back makes nothing of it a second time."""
    exchange.call("POST", f"{CHART}/Observation", row("88122-7", "LA28397-0"))
    mine = one(exchange, "88122-7")
    before = exchange.rows("SELECT count(*) FROM resource")

    answer = exchange.call("PUT", f"{CHART}/Observation/{mine['id']}", mine)

    assert answer.status_code == 200
    assert exchange.rows("SELECT count(*) FROM resource") == before


def test_the_same_row_twice_makes_nothing_new(exchange, patient):
    """A repeated message is answered with what it became, by content or by identifier."""
    identified = row("88123-5", "LA28398-8", identifier=[{"system": "urn:ehr", "value": "7"}])
    for sent in (row("88122-7", "LA28397-0"), identified):
        first = exchange.call("POST", f"{CHART}/Observation", sent)
        before = exchange.rows("SELECT type, id, version FROM resource ORDER BY type, id")

        again = exchange.call("POST", f"{CHART}/Observation", sent)

        assert again.json()["id"] == first.json()["id"]
        assert exchange.rows("SELECT type, id, version FROM resource ORDER BY type, id") == before


def test_a_preliminary_row_waits(exchange, patient):
    """What nobody has accepted yet makes nothing; once it is final it does."""
    sent = row("88122-7", "LA28397-0", id="ehr-1", status="preliminary")
    exchange.call("PUT", f"{CHART}/Observation/ehr-1", sent)
    assert ours(exchange) == {}

    exchange.call("PUT", f"{CHART}/Observation/ehr-1", {**sent, "status": "final"})

    assert one(exchange, "88122-7")["status"] == "final"


def test_an_amended_row_corrects_ours_and_its_result(exchange, patient):
    """The EHR's correction reaches the answer that was made of it, and the result with it."""
    exchange.call("PUT", f"{CHART}/Observation/a", row("88122-7", "LA28397-0", id="a"))
    exchange.call("PUT", f"{CHART}/Observation/b", row("88123-5", "LA28398-8", id="b"))

    amended = row("88122-7", "LA28398-8", id="a", status="amended")
    exchange.call("PUT", f"{CHART}/Observation/a", amended)

    mine, result = one(exchange, "88122-7"), one(exchange, "88124-3")
    assert (mine["status"], "interpretation" in mine) == ("corrected", False)
    assert result["status"] == "corrected"
    assert result["valueCodeableConcept"]["coding"][0]["code"] == "LA19983-8"
    assert one(exchange, "88123-5")["status"] == "final"


def test_a_patched_row_is_a_corrected_one(exchange, patient):
    """PATCH means what a PUT of the corrected row means."""
    exchange.call("PUT", f"{CHART}/Observation/a", row("88122-7", "LA28397-0", id="a"))
    path = "/valueCodeableConcept/coding/0/code"
    change = [{"op": "replace", "path": path, "value": "LA28398-8"}]

    exchange.call(
        "PATCH", f"{CHART}/Observation/a", change, Content_Type="application/json-patch+json"
    )

    assert one(exchange, "88122-7")["valueCodeableConcept"]["coding"][0]["code"] == "LA28398-8"


def test_a_withdrawn_row_withdraws_ours(exchange, patient):
    """What was entered in error, or deleted, no longer stands as an answer."""
    for name, question in (("a", "88122-7"), ("b", "88123-5")):
        exchange.call("PUT", f"{CHART}/Observation/{name}", row(question, "LA28397-0", id=name))

    wrong = row("88122-7", "LA28397-0", id="a", status="entered-in-error")
    exchange.call("PUT", f"{CHART}/Observation/a", wrong)
    exchange.call("DELETE", f"{CHART}/Observation/b")

    assert {each["status"] for several in ours(exchange).values() for each in several} == {
        "entered-in-error"
    }


def test_a_row_does_not_move_to_another_child(exchange, patient):
    """One of two answers was given the wrong child's number: not both become that child's."""
    exchange.call("PUT", f"{CHART}/Patient/leo", {"resourceType": "Patient", "id": "leo"})
    for name, question in (("a", "88122-7"), ("b", "88123-5")):
        exchange.call("PUT", f"{CHART}/Observation/{name}", row(question, "LA28397-0", id=name))

    leos = row("88122-7", "LA28397-0", id="a", subject={"reference": "Patient/leo"})
    answer = exchange.call("PUT", f"{CHART}/Observation/a", leos)

    assert refused(answer, 409)[0]["expression"] == ["Observation.subject"]
    assert of_whom(exchange) == {"Patient/rosa": 4}
    exchange.call("DELETE", f"{CHART}/Observation/a")
    exchange.call("PUT", f"{CHART}/Observation/c", {**leos, "id": "c"})
    assert one(exchange, "88123-5")["status"] == "final"
    assert of_whom(exchange) == {"Patient/rosa": 3, "Patient/leo": 3}


def test_a_row_of_another_child_among_a_group_is_read_by_itself(exchange, patient):
    """A group of Rosa's holds an answer of Leo's: hers does not become his."""
    exchange.call("PUT", f"{CHART}/Patient/leo", {"resourceType": "Patient", "id": "leo"})
    leos = row("88122-7", "LA28397-0", id="a", subject={"reference": "Patient/leo"})
    hers = row("88123-5", "LA28398-8", id="b")
    members = [{"reference": f"Observation/{name}"} for name in ("a", "b")]
    group = row("88121-9", id="g", hasMember=members)
    entries = [{"resource": each, "request": {"method": "PUT", "url": f"Observation/{each['id']}"}}
               for each in (group, hers, leos)]  # fmt: skip

    whole = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    assert exchange.call("POST", CHART, whole).status_code == 200

    assert one(exchange, "88122-7")["subject"]["reference"] == "Patient/leo"
    assert one(exchange, "88123-5")["subject"]["reference"] == "Patient/rosa"


def test_rows_of_nobody_are_each_the_childs_whose_they_turn_out_to_be(exchange, patient):
    """Two answers of one moment came without a patient, and are of two children."""
    exchange.call("PUT", f"{CHART}/Patient/leo", {"resourceType": "Patient", "id": "leo"})
    rows = [row(code, "LA28397-0", id=name) for name, code in (("a", "88122-7"), ("b", "88123-5"))]
    for each in rows:
        said = {name: what for name, what in each.items() if name != "subject"}
        exchange.call("PUT", f"{CHART}/Observation/{each['id']}", said)
    assert ours(exchange) == {}

    for each, whose in zip(rows, ("rosa", "leo"), strict=True):
        said = {**each, "subject": {"reference": f"Patient/{whose}"}}
        exchange.call("PUT", f"{CHART}/Observation/{each['id']}", said)

    assert one(exchange, "88122-7")["subject"]["reference"] == "Patient/rosa"
    assert one(exchange, "88123-5")["subject"]["reference"] == "Patient/leo"


def test_a_row_that_comes_late_is_not_the_latest(exchange, patient):
    """Out of order is settled by when the EHR issued it, not by when it arrived."""
    late = row("88122-7", "LA28397-0", id="a", issued="2026-11-23T09:16:00Z")
    new = row("88122-7", "LA28398-8", id="a", issued="2026-11-23T09:30:00Z", status="corrected")
    exchange.call("PUT", f"{CHART}/Observation/a", new)

    answer = exchange.call("PUT", f"{CHART}/Observation/a", late, Prefer="return=OperationOutcome")

    assert answer.status_code == 200
    assert "later version" in answer.json()["issue"][0]["details"]["text"]
    assert one(exchange, "88122-7")["valueCodeableConcept"]["coding"][0]["code"] == "LA28398-8"


def test_rows_of_other_instruments_make_nothing(exchange, patient):
    """PHQ-2 and AUDIT-C carry the same categories, and are no social-risk answers."""
    for question, answer in (("44250-9", "LA6571-9"), ("68518-0", "LA6270-8"), ("55757-9", None)):
        sent = row(question, answer, valueString="3") if answer is None else row(question, answer)
        assert exchange.call("POST", f"{CHART}/Observation", sent).status_code == 201

    assert ours(exchange) == {}
    answer = exchange.get(f"{CHART}/$unmapped").json()
    assert "parameter" not in answer


def test_phq_2_belongs_to_the_supplement_only_where_its_panel_says_so(exchange, patient):
    """The two questions are the supplement's when its group row holds them."""
    entries = [
        {**row("44250-9", "LA6571-9"), "id": "p1"},
        {**row("71802-3", "LA31993-1"), "id": "h1"},
        {**row("97023-6"), "id": "g", "hasMember": [{"reference": "Observation/p1"}]},
    ]
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": one} for one in entries],
    }

    resources(exchange.call("POST", SUBMIT, bundle))

    assert "interpretation" not in one(exchange, "44250-9")
    assert set(ours(exchange)) == {"44250-9", "71802-3", "96777-8", "97023-6"}


def test_a_response_and_its_own_rows_make_one_screening(exchange, patient):
    """An EHR that sends the form and the rows that it made of it has asked once."""
    response = {
        "resourceType": "QuestionnaireResponse",
        "id": "form",
        "status": "completed",
        "subject": {"reference": "Patient/rosa"},
        "authored": WHEN,
        "item": [{"linkId": "/88122-7", "answer": [{"valueCoding": coding("LA28397-0")}]}],
    }
    theirs = row(
        "88122-7",
        "LA28397-0",
        id="r",
        derivedFrom=[{"reference": "QuestionnaireResponse/form"}],
    )
    bundle = {"resourceType": "Bundle", "type": "collection",
              "entry": [{"resource": response}, {"resource": theirs}]}  # fmt: skip

    resources(exchange.call("POST", SUBMIT, bundle))

    assert one(exchange, "88122-7")["derivedFrom"] == [{"reference": "QuestionnaireResponse/form"}]


def test_a_wish_can_come_as_a_row(exchange, patient):
    """What the family wants help with may be an Observation of the EHR's too."""
    system = "https://kinbridge.example.org/fhir/CodeSystem/observation"
    domain = "http://hl7.org/fhir/us/sdoh-clinicalcare/CodeSystem/SDOHCC-CodeSystemTemporaryCodes"
    wish = row("help-wish")
    wish["code"] = {"coding": [coding("help-wish", system)]}
    wish["valueCodeableConcept"] = {"coding": [coding("food-insecurity", domain)]}

    exchange.call("POST", f"{CHART}/Observation", wish)

    made = exchange.rows("SELECT body FROM resource WHERE type = 'ServiceRequest'")
    assert json.loads(bytes(made[0][0]))["intent"] == "proposal"


def test_a_strict_door_names_every_row_that_is_at_fault(exchange, patient):
    """At the operation any fault refuses all, and each stands with its place."""
    entries = [row("88122-7", "LA33-6"), row("88123-5", "LA28398-8"), row("71802-3", "LA30190-5")]
    entries[1]["effectiveDateTime"] = "2031-01-01"
    del entries[2]["subject"]
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": one} for one in entries],
    }

    issues = refused(exchange.call("POST", SUBMIT, bundle), 422)

    assert sorted(place for issue in issues for place in issue["expression"]) == [
        "Bundle.entry[0].resource",
        "Bundle.entry[1].resource.effective",
        "Bundle.entry[2].resource.subject",
    ]
    assert exchange.rows("SELECT count(*) FROM resource WHERE type <> 'Patient'") == [(0,)]


def test_a_plain_door_keeps_what_is_at_fault_and_loses_nothing_beside_it(exchange, patient):
    """A bad row is stored with a warning, and the good one beside it is read."""
    entries = [
        {"resource": one, "request": {"method": "POST", "url": "Observation"}}
        for one in (row("88122-7", "LA33-6"), row("88123-5", "LA28397-0"))
    ]

    answer = exchange.call(
        "POST", CHART, {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    )

    assert answer.status_code == 200
    assert exchange.rows("SELECT count(*) FROM resource WHERE type = 'Observation'") == [(5,)]
    assert set(ours(exchange)) == {"88121-9", "88123-5", "88124-3"}


def test_local_rows_wait_for_the_crosswalk(exchange, patient):
    """A flowsheet code that maps nowhere is kept with its resource, and listed."""
    sent = row("x")
    sent["code"] = {"coding": [coding("tFood1", FLOWSHEET)], "text": "Food, worried"}
    sent["valueString"] = "Often true"

    answer = exchange.call("POST", f"{CHART}/Observation", sent)

    assert answer.status_code == 201
    assert ours(exchange) == {}
    (found,) = exchange.get(f"{CHART}/$unmapped").json()["parameter"]
    said = {part["name"]: next(v for k, v in part.items() if k != "name") for part in found["part"]}
    assert (said["kind"], said["system"], said["code"]) == ("question", FLOWSHEET, "tFood1")
    assert said["count"] == 1
    assert said["source"] == {"reference": f"Observation/{answer.json()['id']}"}


def test_what_came_is_looked_into_once_however_often_it_is_planned(exchange, patient, monkeypatch):
    """A planner begins again with each thing that it has to see; thirty rows do not, each time."""
    looked = Counter()
    knowing = receive._knowing  # noqa: SLF001 — how often is what is asked here

    def counted(case, entry):
        looked[entry.name] += 1
        return knowing(case, entry)

    monkeypatch.setattr(receive, "_knowing", counted)
    rows = [row(f"9{number}000-7", "LA33-6", issued=WHEN) for number in range(10)]
    rows += [row("88122-7", "LA28398-8"), row("88123-5", "LA28398-8")]
    entries = [
        {"resource": one, "request": {"method": "POST", "url": "Observation"}} for one in rows
    ]

    answer = exchange.call(
        "POST", CHART, {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    )

    assert answer.status_code == 200, answer.text
    assert len(looked) == len(rows)
    assert set(looked.values()) == {1}
