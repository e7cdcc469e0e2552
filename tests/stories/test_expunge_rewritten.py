"""An EHR gave a child's record to another, and the child's report is expunged: hers goes, the other's stays."""

import json
from datetime import timedelta

import pytest
from exchange import resources
from shelves import REPORT, REPORTS, attached, held, of, put, seen
from test_another_person import local
from test_backup import kinbridge
from test_expunge import every_row, file_bytes, record, started
from test_rewritten import ANN, BROTHER, TIM, bit_by_bit, sent

HERS = ("Abel", "2020-01-01", "said of bruise", "Springfield")
HIS = seen("bruise", valueString="his arm is broken")
ADDRESS = {"address": [{"text": "nine Springfield Road"}]}


def expunge(exchange, event="expunged", *, last=False, **more):
    """The agency expunges the first report that was made, or the last."""
    order = "DESC" if last else "ASC"
    ((task,),) = exchange.rows(
        f"SELECT recipient_task FROM exchange ORDER BY opened {order} LIMIT 1"
    )
    done = record(exchange, task.split("/")[1], event, **more)
    assert done.status_code == 200, done.text


def left(exchange, words=HERS):
    """Which of these words are left in any row, or in SQLite's file."""
    held = every_row(exchange)
    if exchange.database_url.startswith("sqlite"):
        held += file_bytes(exchange).decode("latin-1")
    return [word for word in words if word in held]


def stands(exchange, path, **said):
    """What stands at the clinic, as far as this says."""
    found = exchange.get(f"{REPORTS}/{path}")
    assert found.status_code == 200, found.text
    return {key: found.json().get(key) for key in said} == said


def restored(exchange, file):
    """An older backup is put back, and the service has begun with it."""
    exchange.http.__exit__(None, None, None)
    done = kinbridge(exchange, "restore", file, "--force")
    assert done.exit_code == 0, done.output
    return started(exchange)


@pytest.mark.parametrize(
    "child", [TIM, {**BROTHER, "name": [{"family": "Abell", "given": ["Tim"]}]}]
)
def test_the_other_childs_record_stays(exchange, child):
    """The clinic goes on with Tim; nothing of Ann is left in any version of what is his now."""
    sent(exchange, seen("bruise"), child={**ANN, **ADDRESS})
    put(exchange, REPORTS, child)
    put(exchange, REPORTS, HIS)
    put(exchange, REPORTS, {**child, "telecom": [{"system": "phone", "value": "555-0777"}]})

    expunge(exchange)

    assert stands(exchange, "Patient/rosa", name=child["name"], birthDate=child["birthDate"])
    assert stands(exchange, "Observation/bruise", valueString="his arm is broken")
    assert [word for word in left(exchange) if word not in str(child)] == []


def test_what_nobody_wrote_since_was_hers(exchange):
    """What was said of the record before it was given away tells of Ann, wherever the record leads now."""
    sent(exchange, seen("bruise"), child={**ANN, **ADDRESS})
    put(exchange, REPORTS, TIM)

    expunge(exchange)

    assert exchange.get(f"{REPORTS}/Observation/bruise").status_code == 410
    assert exchange.get(f"{REPORTS}/ServiceRequest/one").status_code == 410
    assert stands(exchange, "Patient/rosa", name=TIM["name"])
    assert left(exchange) == []


@pytest.mark.parametrize("kept", [True, False])
def test_a_finding_that_was_moved_is_whose_record_it_names(exchange, kept):
    """The EHR has a record for each of them again: his finding stays, and hers goes wherever it stands."""
    sent(exchange, seen("bruise"), child={**ANN, **ADDRESS})
    whose = {**TIM, "id": "tim"} if kept else {"resourceType": "Patient", "id": "ann", **ANN}
    put(exchange, REPORTS, TIM)
    put(exchange, REPORTS, whose)
    put(exchange, REPORTS, seen("bruise", subject={"reference": f"Patient/{whose['id']}"}))

    expunge(exchange)

    answer = exchange.get(f"{REPORTS}/Observation/bruise")
    assert answer.status_code == (200 if kept else 410)
    assert exchange.get(f"{REPORTS}/Patient/{whose['id']}").status_code == 200


def test_a_finding_that_was_hers_in_error_goes(exchange):
    """The EHR marks her finding as an error when it gives her record away: that says nothing of him."""
    sent(exchange, seen("bruise"), child={**ANN, **ADDRESS})
    put(exchange, REPORTS, TIM)
    put(exchange, REPORTS, seen("bruise", status="entered-in-error"))

    expunge(exchange)

    assert exchange.get(f"{REPORTS}/Observation/bruise").status_code == 410
    assert left(exchange) == []


def test_what_was_only_closed_since_was_hers(exchange):
    """The EHR ends her order, and gives her finding another status, after her record was given away."""
    sent(exchange, seen("bruise"), child={**ANN, **ADDRESS})
    order = exchange.get(f"{REPORTS}/ServiceRequest/one").json()
    put(exchange, REPORTS, TIM)
    assert put(exchange, REPORTS, {**order, "status": "completed"}).status_code == 200
    assert put(exchange, REPORTS, seen("bruise", status="amended")).status_code == 200

    expunge(exchange)

    assert exchange.get(f"{REPORTS}/ServiceRequest/one").status_code == 410
    assert exchange.get(f"{REPORTS}/Observation/bruise").status_code == 410
    assert stands(exchange, "Patient/rosa", name=TIM["name"])
    assert left(exchange) == []


def test_no_piece_of_her_is_left_in_his_past(exchange):
    """Patches made the record his piece by piece: the versions in between go too, his last one stays."""
    sent(exchange, child={**ANN, **ADDRESS})
    bit_by_bit(exchange)

    expunge(exchange)

    assert stands(exchange, "Patient/rosa", name=TIM["name"], address=TIM["address"])
    assert left(exchange) == []


def test_a_record_that_was_deleted_in_between_is_his(exchange):
    """The EHR deleted her record and wrote his under its id."""
    sent(exchange, child={**ANN, **ADDRESS})
    exchange.call("DELETE", f"{REPORTS}/Patient/rosa")
    put(exchange, REPORTS, TIM)

    expunge(exchange)

    assert stands(exchange, "Patient/rosa", name=TIM["name"])
    assert left(exchange) == []


def test_a_corrected_record_of_hers_goes(exchange):
    """She was adopted, and her name is another: that is no other child."""
    sent(exchange, child={**ANN, **ADDRESS})
    put(exchange, REPORTS, {**ANN, "resourceType": "Patient", "id": "rosa",
                            "name": [{"family": "Cole", "given": ["Ann"]}]})  # fmt: skip

    expunge(exchange)

    assert exchange.get(f"{REPORTS}/Patient/rosa").status_code == 410
    assert left(exchange, (*HERS, "Cole")) == []


class TestRestored:
    """A backup is put back after the report was expunged."""

    def test_one_from_when_the_record_was_hers(self, exchange, tmp_path):
        """Her record and her finding are gone again; there was nothing of his yet."""
        sent(exchange, seen("bruise"), child={**ANN, **ADDRESS})
        assert kinbridge(exchange, "backup", tmp_path / "hers").exit_code == 0
        put(exchange, REPORTS, TIM)
        put(exchange, REPORTS, HIS)
        expunge(exchange)

        with restored(exchange, tmp_path / "hers"):
            assert exchange.get("health/ready").status_code == 200
            assert exchange.get(f"{REPORTS}/Patient/rosa").status_code == 410
            assert exchange.get(f"{REPORTS}/Observation/bruise").status_code == 410
            assert left(exchange) == []
            assert put(exchange, REPORTS, TIM).status_code == 201
        exchange.http.__enter__()

    @pytest.mark.parametrize("rewritten", ["whole", "bit by bit"])
    def test_one_from_when_it_was_his(self, exchange, tmp_path, rewritten):
        """His record stands as the backup had it, however often it was written since; hers is gone."""
        sent(exchange, seen("bruise"), child={**ANN, **ADDRESS})
        bit_by_bit(exchange) if rewritten == "bit by bit" else put(exchange, REPORTS, TIM)
        put(exchange, REPORTS, HIS)
        assert kinbridge(exchange, "backup", tmp_path / "his").exit_code == 0
        put(exchange, REPORTS, {**TIM, "telecom": [{"system": "phone", "value": "555-0777"}]})
        expunge(exchange)

        for _ in range(2):
            with restored(exchange, tmp_path / "his"):
                assert exchange.get("health/ready").status_code == 200
                assert stands(exchange, "Patient/rosa", name=TIM["name"], telecom=None)
                assert stands(exchange, "Observation/bruise", valueString="his arm is broken")
                assert left(exchange) == []
                (mine,) = held(exchange, "agency/intake", "Task")
                assert mine["status"] == "entered-in-error"
            exchange.http.__enter__()

    def test_one_from_after_she_was_reported_anew(self, exchange, tmp_path):
        """Expunged, reported again, expunged again: neither report comes back."""
        sent(exchange, child={**ANN, **ADDRESS})
        expunge(exchange)
        exchange.now += timedelta(days=1)
        second = attached(report(ANN, "two"))
        assert resources(exchange.call("POST", REPORT, second), "Task")
        assert kinbridge(exchange, "backup", tmp_path / "between").exit_code == 0
        ((task,),) = exchange.rows(
            "SELECT recipient_task FROM exchange ORDER BY opened DESC LIMIT 1"
        )
        assert record(exchange, task.split("/")[1], "expunged").status_code == 200

        with restored(exchange, tmp_path / "between"):
            assert exchange.get("health/ready").status_code == 200
            assert exchange.get(f"{REPORTS}/Patient/rosa").status_code == 410
            assert left(exchange) == []
        exchange.http.__enter__()


def report(child, order):
    """A report of this child, whose findings have ids of their own."""
    made = local({name: value for name, value in child.items() if name != "id"}, order=order)
    own = of(made, "Observation")["id"]
    text = json.dumps(made).replace(f'Observation/{own}"', f'Observation/of-{order}"')
    made = json.loads(text)
    of(made, "Observation")["id"] = f"of-{order}"
    return made


@pytest.mark.usefixtures("both")
class TestReportedToo:
    """The child whose record it is now was reported as well."""

    @pytest.fixture
    def both(self, exchange):
        """Ann, then Tim under her id, then a second address of his."""
        sent(exchange, seen("bruise"), child={**ANN, **ADDRESS})
        put(exchange, REPORTS, TIM)
        put(exchange, REPORTS, HIS)
        assert resources(exchange.call("POST", REPORT, report(TIM, "two")), "Task")
        put(exchange, REPORTS, {**TIM, "telecom": [{"system": "phone", "value": "555-0777"}]})

    def test_nothing_of_the_first_is_left_in_the_record(self, exchange):
        """His report and his record stand; the versions that were hers are gone."""
        expunge(exchange)

        assert stands(exchange, "Patient/rosa", name=TIM["name"])
        assert exchange.get(f"{REPORTS}/ServiceRequest/two").status_code == 200
        assert left(exchange) == []

    def test_his_report_is_still_held_to_him(self, exchange):
        """The record is given to a third child: of the third his agency gets nothing."""
        expunge(exchange)

        put(exchange, REPORTS, {**ANN, "resourceType": "Patient", "id": "rosa",
                                "name": [{"family": "Zed", "given": ["Zoe"]}], "birthDate": "2011-11-11",
                                "identifier": [{**ANN["identifier"][0], "value": "3"}]})  # fmt: skip

        assert "Zed" not in json.dumps(held(exchange, "agency/intake"))
        (his,) = held(exchange, "agency/intake", "Patient")
        assert his["name"] == TIM["name"]


AGAIN = {**ANN, **ADDRESS, "resourceType": "Patient", "id": "rosa"}


class TestHersNow:
    """The record is Ann's when her report is expunged, and was Tim's when he was reported."""

    def first(self, exchange):
        """Tim was reported; his record is given to Ann, who is reported too."""
        sent(exchange, seen("bruise", valueString="his arm is broken"), child=TIM)
        put(exchange, REPORTS, AGAIN)
        put(exchange, REPORTS, seen("bruise"))
        made = attached(report(AGAIN, "two"), seen("bruise"))
        assert resources(exchange.call("POST", REPORT, made), "Task")

    def between(self, exchange):
        """Ann was reported, then Tim under her id; the record is hers again."""
        sent(exchange, seen("bruise"), child={**ANN, **ADDRESS})
        put(exchange, REPORTS, TIM)
        put(exchange, REPORTS, HIS)
        made = attached(report(TIM, "two"), HIS)
        assert resources(exchange.call("POST", REPORT, made), "Task")
        put(exchange, REPORTS, AGAIN)
        put(exchange, REPORTS, seen("bruise"))

    @pytest.mark.parametrize("when", ["first", "between"])
    def test_nothing_of_her_is_left(self, exchange, when):
        """What stands is hers and goes; of him it stays how he was sent, and his report is held to that."""
        getattr(self, when)(exchange)

        expunge(exchange, last=when == "first")

        assert exchange.get(f"{REPORTS}/Patient/rosa").status_code == 410
        assert exchange.get(f"{REPORTS}/Observation/bruise").status_code == 410
        assert left(exchange) == []
        (his,) = held(exchange, "agency/intake", "Patient")
        assert his["name"] == TIM["name"]
        put(exchange, REPORTS, AGAIN)
        assert held(exchange, "agency/intake", "Patient") == [his]
        put(exchange, REPORTS, {**TIM, "telecom": [{"system": "phone", "value": "555-0777"}]})
        (his,) = held(exchange, "agency/intake", "Patient")
        assert his["telecom"][0]["value"] == "555-0777"

    def test_what_he_was_sent_with_and_stands_keeps_nothing_of_her(self, exchange):
        """Ann was reported, then Tim by what stands now: her version before that is gone."""
        sent(exchange, seen("bruise"), child={**ANN, **ADDRESS})
        put(exchange, REPORTS, TIM)
        put(exchange, REPORTS, HIS)
        made = attached(report(TIM, "two"), HIS)
        assert resources(exchange.call("POST", REPORT, made), "Task")

        expunge(exchange)

        assert stands(exchange, "Observation/bruise", valueString="his arm is broken")
        assert left(exchange) == []

    def test_a_record_that_is_his_again_tells_nothing_of_her(self, exchange):
        """He was reported, then she, then the record was his again: his stands, and her version is gone."""
        self.first(exchange)
        put(exchange, REPORTS, TIM)

        expunge(exchange, last=True)

        assert stands(exchange, "Patient/rosa", name=TIM["name"])
        assert left(exchange) == []

    def test_she_does_not_come_back_and_he_stays_told_apart(self, exchange, tmp_path):
        """A backup from before the expunge is put back: she is gone again, and his report is held to him."""
        self.first(exchange)
        assert kinbridge(exchange, "backup", tmp_path / "before").exit_code == 0
        expunge(exchange, last=True)

        with restored(exchange, tmp_path / "before"):
            assert exchange.get(f"{REPORTS}/Patient/rosa").status_code == 410
            assert left(exchange) == []
            (his,) = held(exchange, "agency/intake", "Patient")
            put(exchange, REPORTS, AGAIN)
            assert held(exchange, "agency/intake", "Patient") == [his]
        exchange.http.__enter__()
