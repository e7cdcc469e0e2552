"""Who may enter which shelf, and for what."""

import asyncio
import base64

import pytest
from asking import CHART, PATIENT, asked, bundle
from exchange import basic, refused, resources
from typer.testing import CliRunner

from app import settings
from app.cli import app as cli
from app.main import NotRegistered, build
from app.sandbox import family


def test_once_a_client_is_registered_everyone_must_say_who_they_are(exchange, patient, register):
    """The first registration closes the doors for everybody else, at once."""
    assert exchange.get("clinic/chart/fhir/Patient/rosa").status_code == 200
    ehr = register("ehr", "clinic/chart", "system/*.cru")

    refused(exchange.get("clinic/chart/fhir/Patient/rosa"), 401, "login")
    refused(
        exchange.get("clinic/chart/fhir/Patient/rosa", Authorization=basic("ehr", "guess")), 401
    )
    refused(exchange.get("clinic/chart/fhir/Patient/rosa", Authorization="Bearer x"), 401)
    refused(exchange.get("clinic/chart/fhir/Patient/rosa", Authorization="Basic !!"), 401)
    assert exchange.get("clinic/chart/fhir/Patient/rosa", Authorization=ehr).status_code == 200


def test_a_refused_caller_is_told_how_to_call(exchange, register):
    """A 401 says which scheme is asked for."""
    register("ehr", "clinic/chart", "system/*.cru")

    answer = exchange.get("clinic/chart/fhir/Patient/rosa")

    assert answer.headers["www-authenticate"].startswith("Basic")


def test_a_client_opens_one_shelf(exchange, register):
    """Another shelf answers as if it were not there."""
    ehr = register("ehr", "clinic/chart", "system/*.cru")

    other = exchange.get("clinic/reports/fhir/Patient/rosa", Authorization=ehr)
    none = exchange.get("clinic/nothing/fhir/Patient/rosa", Authorization=ehr)

    assert refused(other, 404) == refused(none, 404)


def test_a_scope_that_is_missing_is_named(exchange, register):
    """Who may read and not write is told which scope to ask for."""
    reader = register("reader", "clinic/chart", "system/Patient.r")

    answer = exchange.call(
        "PUT", "clinic/chart/fhir/Patient/rosa", family.PATIENT, Authorization=reader
    )

    assert "system/Patient.u" in refused(answer, 403, "forbidden")[0]["details"]["text"]
    refused(exchange.get("clinic/chart/fhir/Task/1", Authorization=reader), 403, "forbidden")


def test_to_refer_is_a_scope_of_its_own(exchange, register):
    """Who may write every resource may still not refer; a plain Task is no way around it."""
    writer = register("writer", "clinic/chart", "system/*.cru")
    made = family.referral("ServiceRequest/none", consented=True)

    answer = exchange.call("POST", "clinic/chart/fhir/$refer", made, Authorization=writer)

    assert "kinbridge/refer" in refused(answer, 403)[0]["details"]["text"]
    referrer = register("referrer", "clinic/chart", "system/*.cru", "kinbridge/refer")
    assert resources(
        exchange.call("POST", "clinic/chart/fhir/$refer", made, Authorization=referrer), "Task"
    )


def test_the_caller_is_in_the_accounting(exchange, register):
    """The accounting says which client disclosed."""
    ehr = register("ehr-7", "clinic/reports", "system/*.cru", "kinbridge/report")

    exchange.call(
        "POST", "clinic/reports/fhir/$report", family.report(by_device=False), Authorization=ehr
    )

    assert exchange.rows("SELECT caller FROM ledger") == [("ehr-7",)]


def test_a_removed_client_is_out_at_once(exchange, patient, register):
    """Access that is taken away is gone with the next call."""
    ehr = register("ehr", "clinic/chart", "system/*.cru")
    register("other", "clinic/chart", "system/*.cru")
    url = exchange.database_url
    for _ in range(2):  # it is known, and remembered
        assert exchange.get("clinic/chart/fhir/Patient/rosa", Authorization=ehr).status_code == 200

    assert CliRunner().invoke(cli, ["client", "remove", "ehr", "--database", url]).exit_code == 0

    refused(exchange.get("clinic/chart/fhir/Patient/rosa", Authorization=ehr), 401)


def test_the_secret_is_not_in_the_database(exchange, register):
    """Who steals the database cannot call with it."""
    header = register("ehr", "clinic/chart", "system/*.cru")
    secret = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")[2]

    stored = str(exchange.rows("SELECT * FROM client") + exchange.rows("SELECT * FROM secret"))

    assert "ehr" in stored
    assert secret not in stored


def test_an_open_service_does_not_start_on_another_address(tmp_path):
    """Reachable from elsewhere and open to everyone: the start is refused, and says what to do."""
    read = settings.read(host="0.0.0.0", database_url=f"sqlite:///{tmp_path / 'k.db'}")

    with pytest.raises(NotRegistered, match="kinbridge client add"):
        asyncio.run(build(read))


def test_an_open_service_does_not_start_behind_a_name_of_elsewhere(tmp_path):
    """It listens on this machine alone, and a proxy there passes on what comes from everywhere."""
    url = f"sqlite:///{tmp_path / 'k.db'}"
    read = settings.read(public_url="https://exchange.example.org", database_url=url)

    with pytest.raises(NotRegistered, match="kinbridge client add"):
        asyncio.run(build(read))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ehr", "clinic/none", "system/*.r"], "no shelf"),
        (["ehr", "clinic/chart", "patient/*.r"], "no scope"),
        (["ehr", "clinic/chart", "system/Patent.r"], "no such type"),
        (["ehr", "clinic/chart", "system/*.r", "--keys", "http://ehr.example.org/jwks"], "https"),
        (["a:b", "clinic/chart", "system/*.r"], "colon"),
    ],
)
def test_a_client_that_could_not_call_is_not_registered(tmp_path, arguments, said):
    """A shelf or scope that does not exist is refused when the client is registered."""
    url = f"sqlite:///{tmp_path / 'k.db'}"

    done = CliRunner().invoke(cli, ["client", "add", *arguments, "--database", url])

    assert done.exit_code == 2
    assert said in done.output


def test_a_client_is_registered_once(tmp_path):
    """Somebody has the secret already: a second one is refused, in one sentence."""
    url = f"sqlite:///{tmp_path / 'k.db'}"
    command = ["client", "add", "ehr", "clinic/chart", "system/*.r", "--database", url]
    assert CliRunner().invoke(cli, command).exit_code == 0

    again = CliRunner().invoke(cli, command)

    assert again.exit_code == 2
    assert again.output.count("is registered") == 1


def test_a_conditional_create_is_no_way_to_read(exchange, register):
    """Who may only create does not get what stands there already."""
    task = {
        "resourceType": "Task",
        "identifier": [{"system": "a", "value": "1"}],
        "status": "draft",
        "intent": "order",
    }
    exchange.call("PUT", "clinic/chart/fhir/Task/t1", {**task, "id": "t1"})
    writer = register("writer", "clinic/chart", "system/Task.c")

    answer = exchange.call(
        "POST", "clinic/chart/fhir/Task", task, If_None_Exist="identifier=a|1", Authorization=writer
    )

    refused(answer, 403)


@pytest.mark.parametrize("kind", ["application/json-patch+json", "application/merge-patch+json"])
def test_a_patch_is_no_way_to_read(exchange, register, kind):
    """Who may only update cannot try out what stands there, nor be answered with it."""
    exchange.call("PUT", "clinic/chart/fhir/Patient/rosa", family.PATIENT)
    writer = register("writer", "clinic/chart", "system/Patient.u")
    sent = [{"op": "test", "path": "/gender", "value": "female"}] if "json-patch" in kind else {}

    answer = exchange.call(
        "PATCH", "clinic/chart/fhir/Patient/rosa", sent, Content_Type=kind, Authorization=writer
    )

    assert "system/Patient.r" in refused(answer, 403)[0]["details"]["text"]


def test_links_that_lead_nowhere_are_warned_of(tmp_path, capsys):
    """A service that is reached by another name than it listens on has to be told that name."""
    url = f"sqlite:///{tmp_path / 'k.db'}"
    CliRunner().invoke(
        cli, ["client", "add", "ehr", "clinic/chart", "system/*.r", "--database", url]
    )

    asyncio.run(build(settings.read(host="0.0.0.0", database_url=url)))
    said = capsys.readouterr().out
    assert "links lead" in said
    assert "not encrypted" in said
    named = {"host": "0.0.0.0", "public_url": "https://exchange.example.org"}
    asyncio.run(build(settings.read(database_url=url, **named)))
    assert "public_url" not in capsys.readouterr().out


def test_without_clients_only_loopback_is_open(tmp_path):
    """When the last client of a reachable service is removed, it is closed, not open."""
    from starlette.testclient import TestClient

    url = f"sqlite:///{tmp_path / 'k.db'}"
    CliRunner().invoke(
        cli, ["client", "add", "ehr", "clinic/chart", "system/*.r", "--database", url]
    )
    app = asyncio.run(build(settings.read(host="127.0.0.2", database_url=url)))
    with TestClient(app) as http:
        CliRunner().invoke(cli, ["client", "remove", "ehr", "--database", url])

        assert http.get("/clinic/chart/fhir/Patient/1").status_code == 401


@pytest.mark.parametrize(
    "path", ["clinic/chart/fhir/Patient/rosa", "clinic/reports/fhir/Task", "metrics"]
)
@pytest.mark.parametrize(
    "host",
    ["exchange.example.org", "evil.example.com", "evil.example.com:8000", "10.0.0.1", "[::2]"],
)
def test_a_page_elsewhere_reads_nothing_here(exchange, patient, host, path):
    """Its own name can be made to lead to this machine, where everyone may read until a client is registered."""
    issues = refused(exchange.get(path, Host=host), 403, "forbidden")

    assert "client add" in issues[0]["details"]["text"]


@pytest.mark.parametrize(
    "host",
    ["localhost:8000", "127.0.0.1", "[::1]:8000", "a.localhost", "box"],
)
def test_this_machine_reads_by_its_own_names(exchange, patient, host):
    """By any that only this machine has."""
    assert exchange.get("clinic/chart/fhir/Patient/rosa", Host=host).status_code == 200


def test_a_registered_client_comes_by_any_name(exchange, patient, register):
    """It says who it is, so it does not matter by which name it came."""
    ehr = register("ehr", "clinic/chart", "system/*.r")

    answer = exchange.get(
        "clinic/chart/fhir/Patient/rosa", Authorization=ehr, Host="proxy.example.com"
    )

    assert answer.status_code == 200


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_who_may_not_search_names_no_one_by_a_condition(exchange, patient, register, method):
    """200, 201 and 412 would tell a writer who is on the shelf, one guess at a time."""
    writer = register("writer", "clinic/chart", "system/Patient.crud")
    sent = {"resourceType": "Patient", "gender": "male"}
    kind = "application/merge-patch+json" if method == "PATCH" else "application/fhir+json"
    heads = {"Content_Type": kind, "Authorization": writer}
    body = {"PUT": sent, "PATCH": {"gender": "male"}, "DELETE": None}[method]

    for said in ("name=Rosa", "name=Nobody"):
        answer = exchange.call(method, f"{CHART}/Patient?{said}", body, **heads)
        assert "system/Patient.s" in refused(answer, 403)[0]["details"]["text"]

    searcher = register("searcher", "clinic/chart", "system/Patient.cruds")
    heads["Authorization"] = searcher
    done = exchange.call(method, f"{CHART}/Patient?name=Rosa", body, **heads)
    assert done.status_code in {200, 204}


def test_a_conditional_create_is_a_search_too(exchange, patient, register):
    """Alone and in a Bundle, where the entry is named."""
    writer = register("writer", "clinic/chart", "system/Patient.cru")
    new = {"resourceType": "Patient", "name": [{"family": "Novak"}]}

    alone = exchange.call(
        "POST", f"{CHART}/Patient", new, If_None_Exist="name=Novak", Authorization=writer
    )
    entry = asked("POST", "Patient", new, request={"ifNoneExist": "name=Novak"})
    within = exchange.call("POST", CHART, bundle("transaction", entry), Authorization=writer)

    assert "system/Patient.s" in refused(alone, 403)[0]["details"]["text"]
    assert refused(within, 403)[0]["expression"] == ["Bundle.entry[0]"]


def test_a_conditional_reference_is_a_search_too(exchange, patient, register):
    """Who may write Tasks and nothing else does not learn whether a child is known here."""
    writer = register("writer", "clinic/chart", "system/Task.crus")
    about = {"reference": "Patient?name=Rosa"}
    task = {"resourceType": "Task", "status": "draft", "intent": "order", "for": about}
    sent = bundle("transaction", asked("POST", "Task", task))

    answer = exchange.call("POST", CHART, sent, Authorization=writer)

    issue = refused(answer, 403)[0]
    assert "system/Patient.s" in issue["details"]["text"]
    assert issue["expression"][0].startswith("Bundle.entry[0]")
    searcher = register("searcher", "clinic/chart", "system/Task.c", "system/Patient.s")
    made = exchange.call("POST", CHART, sent, Authorization=searcher)
    assert made.json()["entry"][0]["resource"]["for"] == {"reference": "Patient/rosa"}


@pytest.mark.parametrize(
    "chain",
    ["patient.name=Rosa", "subject:Patient.name=Rosa", "_has:Provenance:target:recorded=gt2020"],
)
def test_a_chain_asks_for_the_types_it_leads_to(exchange, patient, register, chain):
    """Who may search Tasks alone learns nothing of the children whom they are for."""
    reader = register("reader", "clinic/chart", "system/Task.cruds")
    task = {"resourceType": "Task", "status": "draft", "intent": "order"}

    found = exchange.get(f"{CHART}/Task?{chain}", Authorization=reader)
    met = exchange.call("PUT", f"{CHART}/Task?{chain}", task, Authorization=reader)

    led = "Provenance" if chain.startswith("_has") else "Patient"
    assert f"system/{led}.s" in refused(found, 403)[0]["details"]["text"]
    assert "system/*.s" in refused(met, 403)[0]["details"]["text"]
    both = register("both", "clinic/chart", "system/Task.s", f"system/{led}.s")
    assert exchange.get(f"{CHART}/Task?{chain}", Authorization=both).status_code == 200


@pytest.mark.parametrize("path", ["?_id=rosa", "Patient/rosa/$everything", "Patient/rosa/*"])
def test_who_may_search_nothing_is_told_so(exchange, patient, register, path):
    """All types at once are none for who reads by id alone; the first was a fault of the service."""
    reader = register("reader", "clinic/chart", "system/*.r")

    (issue,) = refused(exchange.get(f"{CHART}/{path}", Authorization=reader), 403)

    assert "system/*.s" in issue["details"]["text"]


def test_the_history_of_many_is_for_who_may_search(exchange, patient, register):
    """Who may read what it knows by id may read its past, and does not list what else there is."""
    reader = register("reader", "clinic/chart", "system/*.r")
    searcher = register("searcher", "clinic/chart", "system/*.s")

    assert exchange.get(f"{PATIENT}/_history", Authorization=reader).status_code == 200
    for many in ("Patient/_history", "_history"):
        said = refused(exchange.get(f"{CHART}/{many}", Authorization=reader), 403)
        assert ".s" in said[0]["details"]["text"]
        assert exchange.get(f"{CHART}/{many}", Authorization=searcher).status_code == 200
    refused(exchange.get(f"{PATIENT}/_history", Authorization=searcher), 403)


def test_counts_are_for_who_runs_the_service(exchange, register):
    """How many families are reported in a month is not for each partner's client to read."""
    assert exchange.get("metrics").status_code == 200  # on this machine, before there are clients
    partner = register("partner", "agency/support", "system/*.cruds", "kinbridge/refer")
    watch = register("prometheus", "clinic/chart", "kinbridge/metrics")

    said = refused(exchange.get("metrics", Authorization=partner), 403, "forbidden")
    refused(exchange.get("metrics"), 401)
    counts = exchange.get("metrics", Authorization=watch)

    assert "kinbridge/metrics" in said[0]["details"]["text"]
    assert counts.status_code == 200
    assert "kinbridge_outbox" in counts.text
    refused(exchange.get("clinic/chart/fhir/Patient", Authorization=watch), 403)
