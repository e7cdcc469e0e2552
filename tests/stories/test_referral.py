"""A clinician refers a family for voluntary help; the agency's answer comes back."""

import copy
from datetime import timedelta

import pytest
from exchange import agency_task, refused, resources

from app.sandbox import family

REFER = "clinic/chart/fhir/$refer"


def bundle(**changes):
    made = family.referral("ServiceRequest/none", consented=True)
    request = made["entry"][-1]["resource"]
    for name, value in changes.items():
        if value is None:
            request.pop(name, None)
        else:
            request[name] = value
    return made


def consent_of(made):
    return next(
        one["resource"] for one in made["entry"] if one["resource"]["resourceType"] == "Consent"
    )


def test_a_referral_reaches_the_agencys_shelf(exchange, referred):
    """With the family's consent, the agency gets what it needs to help: who, what, whom to ask."""
    _, task = referred

    assert task["status"] == "requested"
    request = exchange.get(f"agency/support/fhir/{task['focus']['reference']}").json()
    child = exchange.get(f"agency/support/fhir/{task['for']['reference']}").json()
    role = exchange.get(f"agency/support/fhir/{task['requester']['reference']}").json()
    assert request["code"]["coding"][0]["code"] == "467771000124109"
    assert child["name"] == [{"family": "Example", "given": ["Rosa"]}]
    assert role["telecom"] == [{"system": "phone", "value": "555-0111"}]


def test_a_copy_has_no_trace_of_the_clinics_ids(exchange, referred):
    """No id, record number or address of the clinic's shelf is in what the agency holds."""
    held = exchange.rows("SELECT body FROM resource WHERE shelf = 'agency/support'")

    text = b"".join(row[0] for row in held)
    assert held
    for trace in (
        b"rosa",
        b"dr-lin",
        b"100-42",
        b"food-help",
        b"clinic/chart",
        b"exchange.example",
    ):
        assert trace not in text


def test_an_id_says_nothing_on_another_shelf(exchange, referred):
    """What stands on one shelf is not there on any other, under any of its names."""
    task, theirs = referred

    for path in (
        f"agency/support/fhir/Task/{task['id']}",
        f"agency/intake/fhir/Task/{theirs['id']}",
        f"clinic/chart/fhir/Task/{theirs['id']}",
        f"clinic/reports/fhir/Task/{task['id']}",
        "agency/support/fhir/Patient/rosa",
    ):
        refused(exchange.get(path), 404, "not-found")


def test_the_disclosure_is_accounted_for(exchange, referred):
    """Who received what, when, why and by which rule is written down with the disclosure."""
    rows = exchange.rows("SELECT recipient_name, subject, purpose, rule FROM ledger")

    assert rows == [("Agency", "Patient/rosa", "FSR", "referral-with-consent")]


def test_without_consent_nothing_leaves(exchange, patient):
    """A referral without the family's consent is refused, and says what to do."""
    issues = refused(
        exchange.call("POST", REFER, bundle(supportingInfo=None)), 422, "business-rule"
    )

    assert "Consent" in issues[0]["details"]["text"]
    assert exchange.rows("SELECT * FROM resource WHERE shelf LIKE 'agency/%'") == []
    assert exchange.rows("SELECT * FROM ledger") == []


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (lambda one: one.update(status="inactive"), "consent-active"),
        (lambda one: one.update(patient={"reference": "Patient/other"}), "consent-active"),
        (lambda one: one["provision"].update(type="deny"), "consent-in-force"),
        (lambda one: one["provision"].update(period={"end": "2026-11-22"}), "consent-in-force"),
        (lambda one: one["provision"].update(period={"start": "2026-11-24"}), "consent-in-force"),
        (
            lambda one: one["provision"].update(period={"start": "2026-11-23T15:30:00Z"}),
            "consent-in-force",
        ),
        (lambda one: one.update(dateTime="2026-11-26"), "consent-in-force"),
        (lambda one: one.update(dateTime="2026-11-23T20:00:00Z"), "consent-in-force"),
        (lambda one: one.update(dateTime="2027"), "consent-in-force"),
        (lambda one: one.pop("provision"), "consent-names-recipient"),
        (lambda one: one["provision"].update(type="nope"), "consent-in-force"),
        (lambda one: one["provision"].update(provision=[{"type": "deny"}]), "consent-in-force"),
        (lambda one: one["provision"].update(purpose=[{"code": "TREAT"}]), "consent-in-force"),
        (lambda one: one.update(verification=[{"verified": False}]), "consent-active"),
        (
            lambda one: one["provision"]["actor"][0]["role"]["coding"][0].update(code="AUT"),
            "consent-names-recipient",
        ),
        (
            lambda one: one["provision"]["actor"][0].update(
                reference={"reference": "Organization/x", "identifier": family.AGENCY["identifier"]}
            ),
            "consent-names-recipient",
        ),
    ],
)
def test_a_consent_that_does_not_cover_it_is_none(exchange, patient, change, fact):
    """Withdrawn, for somebody else, denied, over, not begun or for another agency: refused."""
    made = bundle()
    change(consent_of(made))

    issues = refused(exchange.call("POST", REFER, made), 422)

    assert fact in {issue["details"]["coding"][0]["code"] for issue in issues}
    assert exchange.rows("SELECT * FROM exchange") == []


@pytest.mark.parametrize("change", [
    {"dateTime": "2026-11-23T15:05:00Z"}, {"dateTime": "2026-11-23T10:05:00-05:00"},
    {"dateTime": "2026-11-24"}, {"dateTime": "2026"}, {"start": "2026-11-23T15:05:00Z"},
])  # fmt: skip
def test_a_consent_of_a_clock_that_goes_ahead_is_one(exchange, patient, change):
    """The clinic's clock is five minutes ahead, or it is tomorrow already where the family signs."""
    made = bundle()
    consent = consent_of(made)
    if "start" in change:
        consent["provision"]["period"] = change
    else:
        consent.update(change)

    assert resources(exchange.call("POST", REFER, made), "Task")


def test_a_consent_holds_to_the_end_of_its_day(exchange, patient):
    """A consent that ends today still covers today."""
    made = bundle()
    consent_of(made)["provision"]["period"] = {"start": "2026-11-23", "end": "2026-11-23"}

    assert resources(exchange.call("POST", REFER, made), "Task")


@pytest.mark.parametrize(("element", "word"), [("intent", "proposal"), ("status", "draft")])
def test_what_is_no_active_order_is_not_sent(exchange, patient, element, word):
    """What a screening proposed, or somebody is still writing, waits until a clinician orders it."""
    made = bundle(**{element: word})

    issues = refused(exchange.call("POST", REFER, made), 422, "business-rule")

    assert [one["expression"] for one in issues] == [[f"ServiceRequest.{element}"]]


def test_an_unknown_agency_gets_nothing(exchange, patient):
    """A recipient that is not registered is refused."""
    performer = [{"identifier": {"system": "urn:x", "value": "somebody"}}]

    issues = refused(exchange.call("POST", REFER, bundle(performer=performer)), 422)

    assert "registered" in issues[0]["details"]["text"]


def test_a_report_does_not_pass_as_a_referral(exchange, patient):
    """A report of maltreatment sent to the referral's door is refused, and so is the reverse."""
    report = family.report(by_device=False)
    refused(exchange.call("POST", REFER, report), 422, "business-rule")

    referral = exchange.call("POST", "clinic/reports/fhir/$report", bundle())

    refused(referral, 422, "business-rule")
    refused(exchange.call("POST", "clinic/chart/fhir/$report", report), 422, "not-supported")
    assert exchange.rows("SELECT * FROM exchange") == []


def test_the_same_referral_twice_is_one(exchange, referred):
    """A repeated order does not set an accepted Task back, and makes no second one."""
    task, theirs = referred
    exchange.call(
        "PUT", f"agency/support/fhir/Task/{theirs['id']}", {**theirs, "status": "accepted"}
    )

    again = resources(
        exchange.call("POST", REFER, bundle(basedOn=[{"reference": "ServiceRequest/none"}]))
    )

    assert again[0]["id"] == task["id"]
    assert again[0]["status"] == "accepted"
    assert len(exchange.rows("SELECT * FROM exchange")) == 1


def test_a_plain_task_refers_too(exchange, patient):
    """POST Task with a registered owner is a referral: most EHRs can do nothing else."""
    entries = [{**one, "request": {"method": "PUT", "url": f"{one['resource']['resourceType']}/{one['resource']['id']}"}}
               for one in bundle()["entry"]]  # fmt: skip
    stored = exchange.call(
        "POST",
        "clinic/chart/fhir/",
        {"resourceType": "Bundle", "type": "transaction", "entry": entries},
    )
    assert stored.json()["type"] == "transaction-response"
    task = {
        "resourceType": "Task", "status": "requested", "intent": "order",
        "focus": {"reference": "ServiceRequest/food-help"}, "for": {"reference": "Patient/rosa"},
        "requester": {"reference": "PractitionerRole/dr-lin-pediatrics"}, "owner": family.AGENCY,
    }  # fmt: skip

    answer = exchange.call("POST", "clinic/chart/fhir/Task", task)

    assert answer.status_code == 201
    assert agency_task(exchange, "support", answer.json())["status"] == "requested"


def test_the_agencys_progress_comes_back(exchange, referred):
    """Accepted, in progress, done with what was done: the clinic's Task says so."""
    task, theirs = referred
    there = f"agency/support/fhir/Task/{theirs['id']}"
    here = f"clinic/chart/fhir/Task/{task['id']}"
    done = {
        "resourceType": "Procedure", "id": "done", "status": "completed",
        "code": {"text": "Pantry application"}, "subject": theirs["for"],
        "note": [{"text": "for the agency only"}],
    }  # fmt: skip
    exchange.call("PUT", "agency/support/fhir/Procedure/done", done)
    kind = {"coding": [{"system": family.DOMAIN, "code": "resulting-activity"}]}
    output = [{"type": kind, "valueReference": {"reference": "Procedure/done"}}]

    seen = []
    for change in (
        {"status": "accepted"},
        {"status": "in-progress"},
        {"status": "completed", "output": output},
    ):
        assert exchange.call("PUT", there, {**theirs, **change}).status_code == 200
        seen.append(exchange.get(here).json())

    assert [one["status"] for one in seen] == ["accepted", "in-progress", "completed"]
    procedure = exchange.get(
        f"clinic/chart/fhir/{seen[-1]['output'][0]['valueReference']['reference']}"
    ).json()
    assert procedure["code"]["text"] == "Pantry application"
    assert procedure["subject"] == {"reference": "Patient/rosa"}
    assert "note" not in procedure


def test_a_step_that_may_not_follow_is_refused_and_the_ways_are_named(exchange, referred):
    """Nothing is completed that was not accepted; the answer says what may come next."""
    _, theirs = referred

    answer = exchange.call(
        "PUT", f"agency/support/fhir/Task/{theirs['id']}", {**theirs, "status": "completed"}
    )

    assert "accepted" in refused(answer, 409, "conflict")[0]["details"]["text"]


def test_received_is_taken_in_and_never_sent_out(exchange, referred):
    """Real clients set `received`, which the guide forbids: nothing breaks and nothing shows it."""
    task, theirs = referred

    answer = exchange.call(
        "PUT", f"agency/support/fhir/Task/{theirs['id']}", {**theirs, "status": "received"}
    )

    assert answer.status_code == 200
    assert answer.json()["status"] == "requested"
    assert exchange.get(f"clinic/chart/fhir/Task/{task['id']}").json()["status"] == "requested"


def test_an_agency_changes_only_what_is_its_own(exchange, referred):
    """A whole copy that differs elsewhere changes nothing there, and the agency is told."""
    _, theirs = referred
    changed = copy.deepcopy(
        {**theirs, "status": "accepted", "intent": "plan", "description": "mine"}
    )

    answer = exchange.call(
        "PUT", f"agency/support/fhir/Task/{theirs['id']}", changed, Prefer="return=OperationOutcome"
    )

    stayed = {i["expression"][0] for i in answer.json()["issue"] if i["code"] == "business-rule"}
    assert stayed == {"Task.intent", "Task.description"}
    stands = exchange.get(f"agency/support/fhir/Task/{theirs['id']}").json()
    assert (stands["status"], stands["intent"]) == ("accepted", "order")


def test_a_consent_that_has_ended_stops_the_way_back(exchange, referred):
    """After its last day the clinic learns nothing more about what the agency does."""
    task, theirs = referred
    consent = exchange.get("clinic/chart/fhir/Consent/rosa-food").json()
    ended = {**consent["provision"], "period": {"start": "2026-01-01", "end": "2026-11-24"}}
    exchange.call("PUT", "clinic/chart/fhir/Consent/rosa-food", {**consent, "provision": ended})
    exchange.now = exchange.now.replace(day=27)

    answer = exchange.call(
        "PUT", f"agency/support/fhir/Task/{theirs['id']}", {**theirs, "status": "accepted"},
        Prefer="return=OperationOutcome",
    )  # fmt: skip

    assert "The clinic does not learn of this" in answer.text
    assert exchange.get(f"clinic/chart/fhir/Task/{task['id']}").json()["status"] == "requested"


def test_a_copy_cannot_be_rewritten_by_its_recipient(exchange, referred):
    """The agency cannot change what the clinic said."""
    _, theirs = referred
    request = exchange.get(f"agency/support/fhir/{theirs['focus']['reference']}").json()

    refused(
        exchange.call(
            "PUT",
            f"agency/support/fhir/{theirs['focus']['reference']}",
            {**request, "priority": "stat"},
        ),
        403,
    )


def test_partner_violence_stays_behind(exchange, patient):
    """An answer about partner violence does not go along with a referral for food, and it is said."""
    observation = {
        "resourceType": "Observation", "id": "ipv", "status": "final",
        "category": [{"coding": [{"system": family.DOMAIN, "code": "intimate-partner-violence"}]}],
        "code": {"text": "x"}, "subject": {"reference": "Patient/rosa"},
    }  # fmt: skip
    exchange.call("PUT", "clinic/chart/fhir/Observation/ipv", observation)

    sent = exchange.call("POST", REFER, bundle(reasonReference=[{"reference": "Observation/ipv"}]))

    notes = resources(sent, "OperationOutcome")[0]["issue"]
    assert notes[0]["code"] == "suppressed"
    assert (
        exchange.rows(
            "SELECT * FROM resource WHERE shelf = 'agency/support' AND type = 'Observation'"
        )
        == []
    )


def test_a_modifier_extension_stops_a_referral(exchange, patient):
    """What the recipient might not understand and would have to is not sent on silently."""
    made = bundle(modifierExtension=[{"url": "urn:x", "valueBoolean": True}])

    issues = refused(exchange.call("POST", REFER, made), 422)

    assert issues[0]["expression"] == ["ServiceRequest.modifierExtension"]


def test_a_stale_version_loses(exchange, referred):
    """Of two caseworkers with the same version, the second is told to read again."""
    _, theirs = referred
    path = f"agency/support/fhir/Task/{theirs['id']}"
    assert (
        exchange.call("PUT", path, {**theirs, "status": "accepted"}, If_Match='W/"1"').status_code
        == 200
    )

    refused(
        exchange.call("PUT", path, {**theirs, "status": "rejected"}, If_Match="W/1"),
        412,
        "conflict",
    )


def everything(exchange, shelf):
    """Every byte that stands on a shelf."""
    return b"".join(
        row[0] for row in exchange.rows(f"SELECT body FROM resource WHERE shelf = '{shelf}'")
    )


def test_a_reference_in_disguise_does_not_leak(exchange, patient):
    """A reference with an extension, an id or an assigner is trimmed like any other."""
    extension = [{"url": "http://x", "valueString": "secret words"}]
    performer = {**family.AGENCY, "identifier": {
        **family.AGENCY["identifier"], "extension": extension,
        "assigner": {"reference": "Organization/ward-7", "display": "Secret ward"},
    }}  # fmt: skip
    info = [
        {"reference": "Consent/rosa-food"},
        {"reference": "https://clinic.internal/fhir/Binary/1", "id": "a"},
    ]
    subject = {"reference": "Patient/rosa", "extension": extension}

    sent = exchange.call(
        "POST", REFER, bundle(subject=subject, performer=[performer], supportingInfo=info)
    )

    assert resources(sent, "Task")
    held = everything(exchange, "agency/support")
    for trace in (b"Patient/rosa", b"clinic.internal", b"secret", b"Secret", b"ward-7"):
        assert trace not in held


def test_what_comes_back_is_trimmed_as_well(exchange, referred):
    """An agency's internal references do not reach the chart."""
    _, theirs = referred
    done = {
        "resourceType": "Procedure", "id": "done", "status": "completed", "code": {"text": "x"},
        "subject": {**theirs["for"], "extension": [{"url": "http://x", "valueString": "secret"}]},
    }  # fmt: skip
    exchange.call("PUT", "agency/support/fhir/Procedure/done", done)
    kind = {"coding": [{"system": family.DOMAIN, "code": "resulting-activity"}], "text": "secret"}
    output = [
        {"type": kind, "valueReference": {"reference": "Procedure/done", "id": "z"}},
        {
            "type": kind,
            "valueReference": {"reference": "https://agency.internal/Case/991", "id": "z"},
        },
        {"type": {"text": "note"}, "valueString": "secret"},
    ]
    path = f"agency/support/fhir/Task/{theirs['id']}"
    exchange.call("PUT", path, {**theirs, "status": "accepted"})
    answer = exchange.call("PUT", path, {**theirs, "status": "completed", "output": output})

    assert answer.status_code == 200
    held = everything(exchange, "clinic/chart")
    assert b'"Procedure"' in held
    for trace in (b"secret", b"agency.internal", theirs["for"]["reference"].encode()):
        assert trace not in held


def test_another_childs_condition_does_not_go_along(exchange, patient):
    """A sibling's record that is named by mistake stays behind, and it is said."""
    condition = {
        "resourceType": "Condition",
        "id": "sib",
        "code": {"text": "HIV"},
        "subject": {"reference": "Patient/sibling"},
    }
    exchange.call("PUT", "clinic/chart/fhir/Condition/sib", condition)

    sent = exchange.call("POST", REFER, bundle(reasonReference=[{"reference": "Condition/sib"}]))

    assert resources(sent, "OperationOutcome")[0]["issue"][0]["code"] == "suppressed"
    assert b"HIV" not in everything(exchange, "agency/support")


def test_a_labelled_answer_stays_behind(exchange, patient):
    """A sensitivity label keeps an Observation back, whatever its category."""
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "SDV"}
    observation = {
        "resourceType": "Observation", "id": "o", "meta": {"security": [label]}, "status": "final",
        "code": {"text": "afraid"}, "subject": {"reference": "Patient/rosa"},
    }  # fmt: skip
    exchange.call("PUT", "clinic/chart/fhir/Observation/o", observation)

    exchange.call("POST", REFER, bundle(reasonReference=[{"reference": "Observation/o"}]))

    assert b"afraid" not in everything(exchange, "agency/support")


def test_one_order_is_under_way_once(exchange, referred):
    """The same ServiceRequest, sent again by another door, is the same exchange."""
    task, _ = referred
    again = {
        "resourceType": "Task", "status": "requested", "intent": "order",
        "focus": task["focus"], "for": task["for"], "requester": task["requester"], "owner": family.AGENCY,
    }  # fmt: skip

    answer = exchange.call("POST", "clinic/chart/fhir/Task", again)

    assert answer.json()["id"] == task["id"]
    assert len(exchange.rows("SELECT * FROM exchange")) == 1


def test_a_withdrawn_referral_is_cancelled_on_both_sides(exchange, referred):
    """The clinic takes the order back: both Tasks say so, and the agency's copy of it is revoked."""
    task, theirs = referred
    request = exchange.get("clinic/chart/fhir/ServiceRequest/food-help").json()

    done = exchange.call(
        "PUT", "clinic/chart/fhir/ServiceRequest/food-help", {**request, "status": "revoked"}
    )

    assert done.status_code == 200, done.text
    assert exchange.get(f"clinic/chart/fhir/Task/{task['id']}").json()["status"] == "cancelled"
    there = exchange.get(f"agency/support/fhir/Task/{theirs['id']}").json()
    assert there["status"] == "cancelled"
    copy_ = exchange.get(f"agency/support/fhir/{theirs['focus']['reference']}").json()
    assert copy_["status"] == "revoked"
    path = f"agency/support/fhir/Task/{theirs['id']}"
    refused(exchange.call("PUT", path, {**there, "status": "accepted"}), 409)


def test_what_was_sent_in_error_is_taken_back(exchange, referred):
    """Sent for the wrong family: nothing of it is left with the agency but a cancelled Task."""
    task, theirs = referred
    mine = exchange.get(f"clinic/chart/fhir/Task/{task['id']}").json()

    done = exchange.call(
        "PUT", f"clinic/chart/fhir/Task/{task['id']}", {**mine, "status": "entered-in-error"}
    )

    assert done.status_code == 200, done.text
    assert exchange.get(f"agency/support/fhir/{theirs['for']['reference']}").status_code == 410
    for table in ("resource", "version"):
        held = exchange.rows(f"SELECT body FROM {table} WHERE shelf = 'agency/support'")
        assert not [row for row in held if b"Rosa" in row[0]]
    assert exchange.get("clinic/chart/fhir/Patient/rosa").status_code == 200


def test_a_completed_referral_is_not_taken_back(exchange, referred):
    """What the agency has done is done; the answer says what may follow."""
    _, theirs = referred
    path = f"agency/support/fhir/Task/{theirs['id']}"
    for status in ("accepted", "completed"):
        exchange.call("PUT", path, {**theirs, "status": status})
    request = exchange.get("clinic/chart/fhir/ServiceRequest/food-help").json()

    refused(
        exchange.call(
            "PUT", "clinic/chart/fhir/ServiceRequest/food-help", {**request, "status": "revoked"}
        ),
        409,
    )


def test_a_changed_order_is_stored_with_a_word(exchange, referred):
    """The agency's copy stays as it was sent; the clinic is told."""
    request = exchange.get("clinic/chart/fhir/ServiceRequest/food-help").json()

    done = exchange.call(
        "PUT", "clinic/chart/fhir/ServiceRequest/food-help", {**request, "status": "completed"},
        Prefer="return=OperationOutcome",
    )  # fmt: skip

    assert done.json()["issue"][0]["severity"] == "warning"


def test_an_unchanged_copy_may_be_put(exchange, referred):
    """A client that writes back what it read is not refused."""
    _, theirs = referred
    request = exchange.get(f"agency/support/fhir/{theirs['focus']['reference']}").json()

    assert (
        exchange.call(
            "PUT", f"agency/support/fhir/{theirs['focus']['reference']}", request
        ).status_code
        == 200
    )


@pytest.mark.parametrize("stands", ["on the shelf", "in the Bundle", "contained"])
def test_a_practitioner_without_a_role_can_ask(exchange, patient, stands):
    """The guide's order takes her, its Task does not: there she stands by name, and the order leads to her."""
    human = {"resourceType": "Practitioner", "id": "lin", "name": [{"family": "Lin", "given": ["Ada"]}],
             "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"}]}  # fmt: skip
    bundle = family.referral("ServiceRequest/none", consented=True)
    entries = [one["resource"] for one in bundle["entry"]]
    request = next(one for one in entries if one["resourceType"] == "ServiceRequest")
    request["requester"] = {"reference": "#lin" if stands == "contained" else "Practitioner/lin"}
    if stands == "on the shelf":
        exchange.call("PUT", "clinic/chart/fhir/Practitioner/lin", human)
    elif stands == "in the Bundle":
        bundle["entry"].append({"resource": human})
    else:
        request["contained"] = [human]

    sent = exchange.call("POST", "clinic/chart/fhir/$refer", bundle)

    (task,) = resources(sent, "Task")
    theirs = agency_task(exchange, "support", task)
    assert task["requester"] == theirs["requester"] == {"display": "Ada Lin"}
    order = exchange.get(f"agency/support/fhir/{theirs['focus']['reference']}").json()
    asks = exchange.get(f"agency/support/fhir/{order['requester']['reference']}").json()
    assert (asks["resourceType"], asks["name"]) == ("Practitioner", human["name"])


@pytest.mark.parametrize(
    ("part", "said"),
    [("note", "Call on Tuesday."), ("owner", {"name": "Kim", "phone": "555-0123"}), ("services", ["housing"]),
     ("intakeNumber", "26-7"), ("date", "2026-11-24")],
)  # fmt: skip
def test_what_a_voluntary_referral_has_no_place_for_is_refused(exchange, referred, part, said):
    """A caseworker's note is not taken in silence and thrown away: she is told where it can go."""
    _, theirs = referred
    path = f"agency/support/fhir/Task/{theirs['id']}"

    answer = exchange.call("POST", f"{path}/$record-event", {"event": "accepted", part: said})

    (issue,) = refused(answer, 422, "not-supported")
    assert issue["expression"] == [part]
    assert exchange.get(path).json() == theirs
    reason = {"event": "accepted", "reason": "From Monday on."}
    done = exchange.call("POST", f"{path}/$record-event", reason)
    assert done.json()["statusReason"] == {"text": "From Monday on."}


@pytest.mark.parametrize(
    "subject",
    [None, {"reference": "Patient/own"}, {"identifier": {"system": "urn:case", "value": "7"}}],
)
def test_an_agency_is_told_what_the_clinic_does_not_see(exchange, referred, subject):
    """A record of help that does not say that it is this child's stays, and the caseworker reads why."""
    _, theirs = referred
    done = {"resourceType": "Procedure", "id": "done", "status": "completed", "code": {"text": "x"},
            **({"subject": subject} if subject else {})}  # fmt: skip
    own = {"resourceType": "Patient", "id": "own", "name": [{"family": "Example"}]}
    exchange.call("PUT", "agency/support/fhir/Patient/own", own)
    if subject:
        assert exchange.call("PUT", "agency/support/fhir/Procedure/done", done).status_code == 201
    system = "http://hl7.org/fhir/us/sdoh-clinicalcare/CodeSystem/SDOHCC-CodeSystemTemporaryCodes"
    kind = {"coding": [{"system": system, "code": "resulting-activity"}]}
    output = [{"type": kind, "valueReference": {"reference": "Procedure/done"}}]

    answer = exchange.call(
        "PUT", f"agency/support/fhir/Task/{theirs['id']}",
        {**theirs, "status": "accepted", "output": output}, Prefer="return=OperationOutcome",
    )  # fmt: skip

    assert answer.status_code == 200, answer.text
    told = [one for one in answer.json()["issue"] if one["code"] == "suppressed"]
    assert [one["expression"] for one in told] == [["Task"]]
    assert "output" not in exchange.get("clinic/chart/fhir/Task").json()["entry"][0]["resource"]


def test_an_organization_that_is_two_partners_is_neither(exchange, patient):
    """The county's record has the numbers of the agency and of the pantry: nobody guesses who is meant."""
    made = family.referral("ServiceRequest/none", consented=True)
    numbers = [
        {"system": f"{family.KINBRIDGE}/sid/tenant", "value": one} for one in ("agency", "pantry")
    ]
    county = {
        "resourceType": "Organization",
        "id": "county",
        "name": "County",
        "identifier": numbers,
    }
    exchange.call("PUT", "clinic/chart/fhir/Organization/county", county)
    for entry in made["entry"]:
        one = entry["resource"]
        if one["resourceType"] == "ServiceRequest":
            one["performer"] = [{"reference": "Organization/county"}]
        if one["resourceType"] == "Consent":
            one["provision"]["actor"][0]["reference"] = {"reference": "Organization/county"}

    issues = refused(exchange.call("POST", "clinic/chart/fhir/$refer", made), 422)

    assert "Name a registered partner" in issues[0]["details"]["text"]
    assert exchange.rows("SELECT id FROM exchange") == []


@pytest.mark.parametrize("kind", ["referred", "reported"])
def test_a_clock_that_is_behind_loses_no_answer(exchange, request, kind):
    """The service runs on two machines, and the second is a little slow: what the agency says is taken in."""
    task, theirs = request.getfixturevalue(kind)
    here, there = ("chart", "support") if kind == "referred" else ("reports", "intake")
    status = "accepted" if kind == "referred" else "received"
    exchange.now -= timedelta(seconds=5)

    answer = exchange.call(
        "PUT", f"agency/{there}/fhir/Task/{theirs['id']}",
        {**theirs, "status": status, "businessStatus": coded(status)} if kind == "reported"
        else {**theirs, "status": status},
    )  # fmt: skip

    assert answer.status_code == 200, answer.text
    seen = exchange.get(f"clinic/{here}/fhir/Task/{task['id']}").json()
    assert seen["status"] == status
    assert seen["lastModified"] == seen["authoredOn"]


def coded(status):
    return {
        "coding": [{"system": f"{family.KINBRIDGE}/CodeSystem/cps-task-status", "code": status}]
    }
