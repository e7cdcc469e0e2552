"""The ways in which one resource is written: each means what a plain PUT means."""

from dataclasses import dataclass

from days_world import World

WAYS = {"plainly": 10, "patched": 3, "conditionally": 3, "in_a_batch": 2, "in_a_transaction": 2}


@dataclass
class Answer:
    """What became of one entry of a Bundle."""

    status_code: int
    text: str

    @property
    def is_success(self):
        return self.status_code < 300


class Ways(World):
    def put(self, shelf, one):
        way = self.chance.choices(list(WAYS), list(WAYS.values()))[0]
        return getattr(self, way)(shelf, one)

    def plainly(self, shelf, one):
        return self.call("PUT", f"{shelf}/fhir/{one['resourceType']}/{one['id']}", one)

    def patched(self, shelf, one):
        """What differs from what stands, element by element."""
        name = f"{one['resourceType']}/{one['id']}"
        if not (stands := self.read(shelf, name)):
            return self.plainly(shelf, one)
        changes = [{"op": "add", "path": f"/{key}", "value": value}
                   for key, value in one.items() if stands.get(key) != value and key != "meta"]  # fmt: skip
        changes += [{"op": "remove", "path": f"/{key}"} for key in stands if key not in one]
        kind = "application/json-patch+json"
        return self.call("PATCH", f"{shelf}/fhir/{name}", changes, Content_Type=kind)

    def conditionally(self, shelf, one):
        """Under its id or its number; a number that two have is refused."""
        kind, numbers = one["resourceType"], one.get("identifier", [])
        asked = f"_id={one['id']}"
        if numbers and self.chance.random() < 0.5:
            asked = "identifier={system}|{value}".format_map(numbers[0])
        return self.call("PUT", f"{shelf}/fhir/{kind}?{asked}", one)

    def in_a_batch(self, shelf, one):
        """Beside what is refused."""
        nobody = {"request": {"method": "GET", "url": "Patient/nobody"}}
        whole = {"resourceType": "Bundle", "type": "batch", "entry": [nobody, _entry(one)]}
        answer = self.call("POST", f"{shelf}/fhir", whole)
        assert answer.is_success, answer.text
        done = answer.json()["entry"][1]["response"]
        return Answer(int(done["status"][:3]), str(done))

    def in_a_transaction(self, shelf, one):
        whole = {"resourceType": "Bundle", "type": "transaction", "entry": [_entry(one)]}
        return self.call("POST", f"{shelf}/fhir", whole)


def _entry(one):
    return {
        "resource": one,
        "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"},
    }
