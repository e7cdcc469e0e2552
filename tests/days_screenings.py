"""What families are asked on one of these days, by forms and by rows, and how that is corrected: nothing is sent."""

import copy

from days_ways import Ways
from days_world import CLINICS

from app.sandbox import family

LOINC = "http://loinc.org"
QUESTIONS = {"/88122-7": "88122-7", "/88123-5": "88123-5"}
ANSWERS = ["LA28397-0", "LA28398-8", "LA6729-3"]
SYSTEMS = {"survey": "http://terminology.hl7.org/CodeSystem/observation-category",
           "sdoh": "http://hl7.org/fhir/us/core/CodeSystem/us-core-category"}  # fmt: skip


class Screenings(Ways):
    def screens(self):
        """A form, perhaps with a wish for help, or rows of one moment, by any door."""
        shelf = f"{self.chance.choice(CLINICS)}/chart"
        if not (records := self.records(shelf)):
            return
        record = self.chance.choice(records)
        sources = [self.form(record)] if self.chance.random() < 0.6 else self.rows(record)
        self.asked(shelf, sources)
        self.made(shelf, record)

    def asked(self, shelf, sources):
        sent = self.opened()
        door = self.chance.choice(["strict", "strict", "plain", "batch"])
        if door == "plain":
            for one in sources:
                self.put(shelf, one)
        else:
            kind = "batch" if door == "batch" else "collection"
            entries = [{"resource": one} for one in sources]
            if door == "batch":
                entries = [
                    one
                    | {
                        "request": {
                            "method": "PUT",
                            "url": f"{one['resource']['resourceType']}/{one['resource']['id']}",
                        }
                    }
                    for one in entries
                ]
            whole = {"resourceType": "Bundle", "type": kind, "entry": entries}
            alone = len(sources) == 1 and door == "strict"
            self.call("POST", f"{shelf}/fhir/$submit-screening", sources[0] if alone else whole)
        assert sent == self.opened()

    def form(self, record):
        wishes = self.chance.choice([[], ["food-insecurity"]])
        form = copy.deepcopy(family.screening("hunger-vital-sign", wishes))
        form |= {"id": f"zid-q{self.number()}", "subject": {"reference": f"Patient/{record}"}}
        form["authored"] = self.exchange.at.isoformat()[:19] + "Z"
        form.pop("identifier", None)
        self.answered(form)
        return form

    def answered(self, form):
        for item in form["item"]:
            if item["linkId"] in QUESTIONS:
                item["answer"] = [{"valueCoding": self.answer()}]

    def answer(self):
        return {"system": LOINC, "code": self.chance.choice(ANSWERS)}

    def rows(self, record):
        at = self.exchange.at.isoformat()[:19] + "Z"
        asked = self.chance.sample(sorted(QUESTIONS.values()), self.chance.choice([1, 2]))
        return [{
            "resourceType": "Observation", "id": f"zid-w{self.number()}", "status": "final",
            "category": [{"coding": [{"system": system, "code": code}]} for code, system in SYSTEMS.items()],
            "code": {"coding": [{"system": LOINC, "code": question}]}, "effectiveDateTime": at,
            "subject": {"reference": f"Patient/{record}"},
            "valueCodeableConcept": {"coding": [self.answer()]},
        } for question in asked]  # fmt: skip

    def made(self, shelf, record):
        """What was made of it is this record's."""
        of = self.answers.setdefault((shelf, record, self.of[shelf, record]), set())
        known = {
            name for (one, *_), names in self.answers.items() if one == shelf for name in names
        }
        of |= {one["id"] for one in self.held(shelf, "Observation")
               if "zid-" not in one["id"] and one["id"] not in known}  # fmt: skip

    def corrects_a_screening(self):
        """Another answer, the other child's record, taken back, or gone."""
        shelf, records = f"{self.chance.choice(CLINICS)}/chart", []
        records = self.records(shelf)
        sources = [one for kind in ("QuestionnaireResponse", "Observation") for one in self.held(shelf, kind)
                   if one["id"].startswith(("zid-q", "zid-w"))]  # fmt: skip
        if not (records and sources):
            return
        source, what = self.chance.choice(sources), self.chance.random()
        kind = source["resourceType"]
        if what < 0.1:
            self.call("DELETE", f"{shelf}/fhir/{kind}/{source['id']}")
            return
        status = {"QuestionnaireResponse": "amended", "Observation": "corrected"}[kind]
        source["status"] = "entered-in-error" if what < 0.25 else status
        record = source["subject"]["reference"].partition("/")[2]
        if what > 0.85:
            record = self.chance.choice(records)
            source["subject"]["reference"] = f"Patient/{record}"
        if kind == "Observation":
            source["valueCodeableConcept"] = {"coding": [self.answer()]}
        else:
            self.answered(source)
        self.asked(shelf, [source])
        if self.of.get((shelf, record)):
            self.made(shelf, record)
