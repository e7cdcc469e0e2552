"""Two clinics and two authorities as the model of whole days knows them: who is called what, and who wrote it."""

import itertools
import json
import random
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import httpx2

from app.sandbox import family

KINBRIDGE = family.KINBRIDGE
MRN = "https://ehr.example.org/mrn"
NPI = "http://hl7.org/fhir/sid/us-npi|1234567893"
SHELVES = {"s": ("chart", "support"), "r": ("reports", "intake")}
CLINICS = ("clinic", "ward")
PUSHED = ("clinic/chart", "clinic/reports", "clinic/dr-lin", "agency/support", "agency/intake")
# whatever somebody says names the clinic, the child and the purpose
WORD = re.compile(r"w(clinic|ward)(Ann|Tim|Bea|Max)([sr])\d{4}")
PEOPLE = {
    "Ann": {"name": [{"family": "Abel", "given": ["Ann"]}], "gender": "female", "birthDate": "2020-01-01",
            "identifier": [{"system": MRN, "value": "1"}]},
    "Tim": {"name": [{"family": "Baker", "given": ["Tim"]}], "gender": "male", "birthDate": "2014-05-06",
            "identifier": [{"system": MRN, "value": "2"}]},
    "Bea": {"name": [{"family": "Cole", "given": ["Bea"]}], "gender": "female", "birthDate": "2018-03-03"},
    "Max": {"name": [{"family": "Cole", "given": ["Max"]}], "gender": "male", "birthDate": "2016-07-07"},
}  # fmt: skip


def tenants():
    """One clinic and one agency have servers of their own; the others pull."""

    def shelf(tenant, name, kind, role, **more):
        url = f"https://{tenant}-{name}.example.org/fhir"
        pushed = {"endpoint": {"url": url}} if f"{tenant}/{name}" in PUSHED else {}
        return {"id": name, "kind": kind, "role": role, **pushed, **more}

    def clinic(name):
        return {"id": name, "name": name, "shelves": [
            shelf(name, "chart", "family-support", "source"),
            shelf(name, "reports", "cps-report", "source"),
            shelf(name, "dr-lin", "cps-report", "source", audience="reporter", person=NPI)]}  # fmt: skip

    def agency(name, jurisdiction, *more):
        intake = shelf(name, "intake", "cps-report", "recipient")
        return {"id": name, "name": name, "jurisdiction": jurisdiction, "shelves": [*more, intake]}

    support = shelf("agency", "support", "family-support", "recipient")
    return [
        *map(clinic, CLINICS),
        agency("agency", "example", support),
        agency("county", "fairview"),
    ]


@dataclass
class Sent:
    """
    One referral or report that was answered with success.

    words       said in it alone: gone when it is expunged
    there       Type/id of the order's copy
    lapsed      its consent covers it no more, which closes both ways
    """

    child: str
    clinic: str
    purpose: str
    number: str
    words: set
    body: dict
    door: str = ""
    task: str = ""
    exchange: str = ""
    there: str = ""
    lapsed: bool = False

    @property
    def shelf(self):
        return f"{self.clinic}/{SHELVES[self.purpose][0]}"

    @property
    def order(self):
        return f"ServiceRequest/zid-o{self.number}"


@dataclass
class Partner:
    """A partner's own FHIR server: {type and condition: what stands there}; fails says how."""

    held: dict = field(default_factory=dict)
    fails: str = ""

    def take(self, bundle):
        for entry in bundle["entry"]:
            request = entry["request"]
            kind, _, query = request["url"].partition("?")
            key = (kind, request.get("ifNoneExist") or query)
            if request["method"] == "PUT" or key not in self.held:
                self.held[key] = entry["resource"]


class Wire:
    """The network: each shelf that is pushed has a host."""

    def __init__(self):
        self.partners = {shelf: Partner() for shelf in PUSHED}

    def __call__(self, request):
        shelf = request.url.host.removesuffix(".example.org").replace("-", "/", 1)
        partner = self.partners[shelf]
        if partner.fails == "refused":
            raise httpx2.ConnectError("down")
        if partner.fails == "busy":
            return httpx2.Response(503)
        partner.take(json.loads(request.content))
        if partner.fails == "lost":
            raise httpx2.ReadTimeout("no answer came")
        done = {"resourceType": "Bundle", "type": "transaction-response"}
        return httpx2.Response(200, json=done)


class World:
    """
    What there is, and how it is called.

    of          {(shelf, Patient id): whose record it is, "" once it was deleted}
    facts       {(shelf, id): the record that a finding names, and its words}
    answers     {(shelf, record, child): ids of what screenings made}
    old         {(shelf, Type/id): a copy that somebody has read once}
    borne       {(shelf, id): the children of whom a record or a finding has ever told}
    acting      the organization whose people act just now
    writers     {(shelf, Type/id, time of a version): who acted when it came}
    came        {(shelf, Type/id): how often something of another's came to it}
    mixed       words and orders of which nobody knows of which child they are: none where acts do not cross
    """

    def __init__(self, house, seed, wire):
        self.house, self.exchange, self.wire = house, house.exchange, wire
        self.chance = random.Random(seed)
        self.numbers, self.sent, self.done, self.trace = itertools.count(1), [], Counter(), []
        self.of, self.facts, self.answers, self.old, self.ranks = {}, {}, {}, {}, {}
        self.acting, self.writers, self.came, self.mixed = "", {}, Counter(), set()
        self.borne = defaultdict(set)

    def number(self):
        return f"{next(self.numbers):04}"

    def words(self, clinic, child, purpose):
        return f"w{clinic}{child}{purpose}{self.number()}"

    def words_of(self, sent):
        return self.words(sent.clinic, sent.child, sent.purpose)

    def call(self, method, path, body=None, **headers):
        self.acting = path.partition("/")[0]
        answer = self.exchange.call(method, path, body, **headers)
        said = [one[0] for one in WORD.finditer(json.dumps(body))]
        self.trace.append((method, path, answer.status_code, said))
        assert answer.status_code < 500, answer.text
        assert '"status":"5' not in answer.text, answer.text  # of an entry
        self.done[f"{answer.status_code // 100}xx"] += 1
        return answer

    def patch(self, path, element, value):
        said = [{"op": "add", "path": f"/{element}", "value": value}]
        kind = "application/json-patch+json"
        return self.call("PATCH", path, said, Content_Type=kind)

    def read(self, shelf, name):
        answer = self.exchange.get(f"{shelf}/fhir/{name}")
        return answer.json() if answer.status_code == 200 else None

    def held(self, shelf, kind):
        rows = self.exchange.rows(
            f"SELECT body FROM resource WHERE shelf = '{shelf}' AND type = '{kind}'"
            " AND method <> 'DELETE' ORDER BY id"
        )
        return [json.loads(row[0]) for row in rows]

    def opened(self):
        """How many referrals and reports there are."""
        return self.exchange.rows("SELECT count(*) FROM exchange")

    def who(self, *_):
        """Who acted when a version of this exchange came to a shelf."""
        return self.acting

    def place(self):
        """A clinic, a purpose, and the shelf for it."""
        clinic, purpose = self.chance.choice(CLINICS), self.chance.choice("sr")
        return clinic, purpose, f"{clinic}/{SHELVES[purpose][0]}"

    def records(self, shelf):
        return [name for (one, name), child in self.of.items() if one == shelf and child]

    def some(self, purpose="sr"):
        found = [one for one in self.sent if one.purpose in purpose]
        return self.chance.choice(found) if found else None

    def row(self, sent):
        return self.exchange.rows(
            "SELECT source, source_task, recipient, recipient_task, source_request, state"
            f" FROM exchange WHERE id = '{sent.exchange}'"
        )[0]

    def copied(self, sent):
        """{Type/id at the clinic: Type/id of its copy}"""
        query = f"SELECT copies FROM exchange WHERE id = '{sent.exchange}'"
        return json.loads(self.exchange.rows(query)[0][0])
