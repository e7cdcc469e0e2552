"""
Random resources, and a search by every parameter of the types that are exchanged.

What is found is compared with a plain evaluation of the definitions: the parameter's expression by
FHIRPath on every resource, each value compared as the standard's page on search says it.
"""

import random
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import quote

import pytest

from app import conformance, fhir, fhirpath
from app.fhirpath.model import r4

CHART = "clinic/chart/fhir"
BASE = "https://exchange.localhost/clinic/chart/fhir"
TYPES = (
    "Patient", "Practitioner", "PractitionerRole", "Organization", "Task", "ServiceRequest",
    "Observation", "Consent", "Condition", "Goal", "Procedure", "QuestionnaireResponse",
    "Communication", "Provenance", "DocumentReference", "Location", "HealthcareService",
)  # fmt: skip
EACH = 12  # resources of a type
SEARCHES = 6  # by each parameter
SYSTEMS = ("http://a.example.org", "http://b.example.org")
CODES = ("one", "two", "three")
WORDS = ("Müller", "muller", "Ana", "Straße 5", "north  end", "O'Neil")
DATES = ("2024", "2024-02", "2024-02-29", "2025-01-01")
TIMES = ("2024-02-29T10:15:00Z", "2024-02-29T23:30:00-05:00", "2025-01-01T00:00:00.250+01:00")
NUMBERS = ("5.4", "5.40", "5.449", "5.45", "100", "99.5", "-3", "0.001")
URIS = ("http://x.example.org/a", "http://x.example.org/a/b", "urn:oid:1.2.3")
PREFIXES = ("", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb")
LEFT_OUT = {"Location.near", "Patient.age"}  # no values of its own kind here
POOLS = {
    "boolean": (True, False), "integer": (1, 2, 100), "positiveInt": (1, 2), "unsignedInt": (0, 5),
    "decimal": tuple(map(Decimal, NUMBERS)), "date": DATES, "dateTime": DATES + TIMES,
    "instant": TIMES, "time": ("10:00:00",), "code": CODES, "id": CODES, "string": WORDS,
    "markdown": WORDS, "uri": URIS, "url": URIS, "canonical": (URIS[0], f"{URIS[1]}|2.0"),
    "oid": ("urn:oid:1.2.3",), "uuid": ("urn:uuid:00000000-0000-4000-8000-000000000001",),
    "base64Binary": ("AAAA",), "xhtml": (),
}  # fmt: skip
SKIPPED = frozenset(
    "contained extension modifierExtension text id meta implicitRules language photo attachment".split()
)


class Maker:
    """Resources whose elements come by chance, of a few values that meet each other often."""

    def __init__(self, chance):
        self.chance = chance

    def resource(self, kind, identity):
        made = self.element(r4().types[kind], 0)
        meta = {"tag": [self.value("Coding", 1)]} if self.chance.random() < 0.5 else {}
        if self.chance.random() < 0.5:
            meta["profile"] = [self.chance.choice(POOLS["canonical"])]
        return {"resourceType": kind, "id": identity, **({"meta": meta} if meta else {}), **made}

    def element(self, kind, depth):
        made = {}
        for name, element in kind.elements.items():
            wanted = 0.75 if depth == 0 else 0.5
            if name in SKIPPED or self.chance.random() > wanted:
                continue
            key, type_name = self.chance.choice(list(element.keys.items()))
            values = [
                self.value(type_name, depth + 1) for _ in range(self.chance.choice((1, 1, 2)))
            ]
            values = [one for one in values if one not in (None, {})]
            if values:
                made[key] = values if element.many else values[0]
        return made

    def value(self, name, depth):
        choose = self.chance.choice
        if name in POOLS:
            return choose(POOLS[name]) if POOLS[name] else None
        if name == "Reference":
            kind, identity = choose(TYPES[:8]), f"r{self.chance.randrange(6)}"
            literal = choose((f"{kind}/{identity}",) * 4 + ("http://far.example.org/Patient/1",))
            identifier = {"identifier": {"system": choose(SYSTEMS), "value": choose(CODES)}}
            return choose(({"reference": literal}, {"reference": literal}, identifier))
        if name == "Coding":
            made = {"system": choose(SYSTEMS), "code": choose(CODES), "display": choose(WORDS)}
            return {key: one for key, one in made.items() if self.chance.random() < 0.8} or made
        if name == "CodeableConcept":
            coded = {"coding": [self.value("Coding", depth) for _ in range(choose((1, 2)))]}
            return choose((coded, coded, {**coded, "text": choose(WORDS)}, {"text": choose(WORDS)}))
        if name == "Identifier":
            return {"system": choose(SYSTEMS), "value": choose(CODES)}
        if name in {"Quantity", "Age", "Duration"}:
            unit = choose((("kg", "kg"), ("g", "g"), ("m", "m")))
            return {"value": Decimal(choose(NUMBERS)), "unit": unit[0], "code": unit[1],
                    "system": "http://unitsofmeasure.org"}  # fmt: skip
        if name == "Period":
            made = {"start": choose(DATES[:2]), "end": choose(DATES[2:])}
            return choose((made, {"start": made["start"]}, {"end": made["end"]}))
        if name == "ContactPoint":
            return {"system": choose(("phone", "email")), "value": choose(CODES)}
        if depth > 4 or name in {"Resource", "Attachment", "Signature", "Timing"}:
            return None
        return self.element(r4().types[name], depth)


# The plain evaluation.


def values_of(definition, resource):
    """What the expression gives, resolve() telling no more than the type of a reference."""
    kind = resource["resourceType"]

    def resolve(reference):
        found = re.fullmatch(r"(?:\S+/)?([A-Z]\w+)/[^/\s]+", reference)
        return {"resourceType": found[1], "id": "x"} if found else None

    environment = fhirpath.Environment(resolve=resolve)
    found = []
    for part in re.split(r"\s*\|\s*(?![^(]*\))", definition["expression"]):
        head = re.match(r"\(*([A-Z]\w+)", part)
        if head and head[1] not in {kind, "Resource", "DomainResource"}:
            continue
        compiled = fhirpath.compile(part)
        found += [
            (one.value, one.type.removeprefix("FHIR.").removeprefix("System."))
            for one in compiled.evaluate(resource, environment=environment)
        ]
    return found


def folded(text):
    apart = unicodedata.normalize("NFKD", str(text))
    kept = "".join(one for one in apart if not unicodedata.combining(one))
    return " ".join(kept.casefold().split())


def tokens(value, kind):
    if kind == "CodeableConcept":
        return [pair for one in value.get("coding", []) for pair in tokens(one, "Coding")]
    if kind == "Coding":
        return [(value.get("system", ""), value.get("code", ""))]
    if kind == "Identifier":
        return [(value.get("system", ""), value.get("value", ""))]
    if kind == "ContactPoint":
        return [("", value["value"])] if "value" in value else []
    if isinstance(value, dict):
        return []
    return [("", str(value).lower() if isinstance(value, bool) else str(value))]


def strings(value, kind):
    if kind == "HumanName":
        keys = ("text", "family", "given", "prefix", "suffix")
    elif kind == "Address":
        keys = ("text", "line", "city", "district", "state", "postalCode", "country")
    else:
        return [] if isinstance(value, dict) else [str(value)]
    return [str(one) for key in keys for one in fhir.listed(value.get(key))]


def span(text):
    """The first moment of a date, and the one after its last."""
    if "T" in text:
        at = datetime.fromisoformat(text)
        step = timedelta(milliseconds=1) if "." in text else timedelta(seconds=1)
        return at, at + step
    parts = [int(one) for one in text.split("-")]
    at = datetime(*[*parts, 1, 1][:3], tzinfo=UTC)
    if len(parts) == 1:
        return at, at.replace(year=at.year + 1)
    if len(parts) == 2:
        return at, (at + timedelta(days=31)).replace(day=1)
    return at, at + timedelta(days=1)


NEVER, EVER = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)


def spans(value, kind):
    if kind == "Period":
        start = span(value["start"])[0] if "start" in value else NEVER
        return [(start, span(value["end"])[1] if "end" in value else EVER)]
    return [span(value)] if kind in {"date", "dateTime", "instant"} else []


def compared(prefix, low, high, first, last, *, exact=None):
    """https://hl7.org/fhir/R4/search.html#prefix, for half-open ranges; exact for a number."""
    inside = low <= first and (last < high if exact is not None else last <= high)
    above, below = (exact, exact) if exact is not None else (high, low)
    return {
        "eq": inside, "ne": not inside,
        "gt": last > above, "lt": first < below,
        "ge": (last >= above if exact is not None else last > above or inside),
        "le": (first <= below if exact is not None else first < below or inside),
        "sa": (first > above if exact is not None else first >= above),
        "eb": (last < below if exact is not None else last <= below),
    }[prefix]  # fmt: skip


def amounts(value, kind):
    if kind == "Range":
        low, high = value.get("low", {}), value.get("high", {})
        if "value" in low or "value" in high:
            yield (low.get("value", Decimal("-Infinity")), high.get("value", Decimal("Infinity")),
                   (low if "value" in low else high).get("code", ""))  # fmt: skip
    elif isinstance(value, dict) and "value" in value:
        yield value["value"], value["value"], value.get("code", value.get("currency", ""))
    elif isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        yield Decimal(value), Decimal(value), ""


def meets(definition, found, modifier, asked):
    """Whether one of a resource's values meets what is asked."""
    kind = definition["type"]
    if modifier == "missing":  # a text where a date may stand says nothing to a search by date
        of = {"date": spans, "number": amounts, "quantity": amounts}.get(kind)
        there = [one for value in found for one in of(*value)] if of else found
        return bool(there) is (asked == "false")
    if kind == "token":
        system, bar, code = asked.rpartition("|")
        return any(
            code in {one[1], "" if bar else one[1] + "x"} and (not bar or one[0] == system)
            for value in found
            for one in tokens(*value)
        )
    if kind == "string":
        texts = [one for value in found for one in strings(*value)]
        if modifier == "exact":
            return asked in texts
        if modifier == "contains":
            return any(folded(asked) in folded(one) for one in texts)
        return any(folded(one).startswith(folded(asked)) for one in texts)
    if kind == "reference":
        literals = [
            value["reference"] if isinstance(value, dict) else str(value)
            for value, _ in found
            if not isinstance(value, dict) or "reference" in value
        ]
        if modifier == "identifier":
            pairs = [tokens(value["identifier"], "Identifier")[0] for value, _ in found
                     if isinstance(value, dict) and "identifier" in value]  # fmt: skip
            return any(f"{one[0]}|{one[1]}" == asked for one in pairs)
        plain = asked.removeprefix(f"{BASE}/")
        return any(
            plain in {one, one.split("|")[0]} or ("/" not in plain and ":" not in plain
            and one.startswith(tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")) and one.endswith(f"/{plain}"))
            for one in literals
        )  # fmt: skip
    if kind == "uri":
        return any(asked in {str(value), str(value).split("|")[0]} for value, _ in found)
    prefix, text = (asked[:2], asked[2:]) if asked[:2] in PREFIXES[1:] else ("eq", asked)
    if kind == "date":
        low, high = span(text)
        return any(compared(prefix, low, high, *one) for value in found for one in spans(*value))
    number, _, unit = text.partition("||")
    wanted = Decimal(number)
    half = Decimal(1).scaleb(wanted.as_tuple().exponent) / 2
    return any(
        unit in {"", one[2]}
        and compared(prefix, wanted - half, wanted + half, *one[:2], exact=wanted)
        for value in found
        for one in amounts(*value)
    )


def asked_of(chance, definition, resources):
    """A modifier and a value, mostly one that some resource carries."""
    kind = definition["type"]
    carried = [one for resource in resources for one in values_of(definition, resource)]
    value = chance.choice(carried) if carried else (None, "")
    if chance.random() < 0.1:
        return "missing", chance.choice(("true", "false"))
    if kind == "token":
        pairs = tokens(*value) if value[0] is not None else []
        system, code = chance.choice(pairs) if pairs else (SYSTEMS[0], CODES[0])
        forms = [code or "one", f"{system}|{code}" if system or code else "two"]
        if system:
            forms.append(f"{system}|")
        return chance.choice(("", "", "not")), chance.choice(forms)
    if kind == "string":
        word = chance.choice((strings(*value) if value[0] is not None else None) or WORDS)
        modifier = chance.choice(("", "exact", "contains"))
        return modifier, word if modifier == "exact" else chance.choice(
            (word, word[:3], word.upper())
        )
    if kind == "reference":
        if isinstance(value[0], dict) and "identifier" in value[0]:
            pair = value[0]["identifier"]
            return "identifier", f"{pair['system']}|{pair['value']}"
        literal = value[0]["reference"] if isinstance(value[0], dict) else value[0] or "Patient/r1"
        forms = [literal, literal.split("|")[0]]
        if re.fullmatch(r"[A-Z]\w+/\w+", literal):
            forms += [literal.split("/")[1], f"{BASE}/{literal}"]
        return "", chance.choice(forms)
    if kind == "uri":
        return "", str(value[0] or URIS[0])
    if kind == "date":
        return "", chance.choice(PREFIXES) + chance.choice(DATES + TIMES)
    unit = chance.choice(("", "||kg", "||g")) if kind == "quantity" else ""
    return "", chance.choice(PREFIXES) + chance.choice(NUMBERS) + unit


@pytest.fixture(scope="module")
def defined():
    """{type: its parameters}, as R4 defines them."""
    loaded = conformance.load()
    found = {kind: {} for kind in TYPES}
    for package, entry in loaded.entries("SearchParameter"):
        one = package.read(entry)
        if package.name != "hl7.fhir.r4.core" or "expression" not in one:
            continue
        if one["type"] in {"composite", "special"} or one["code"] in {"_id", "_lastUpdated"}:
            continue
        for base in one["base"]:
            kinds = TYPES if base in {"Resource", "DomainResource"} else (base,)
            for kind in kinds:
                concerns = re.search(rf"\b({kind}|Resource|DomainResource)\.", one["expression"])
                if kind in found and concerns and f"{kind}.{one['code']}" not in LEFT_OUT:
                    found[kind][one["code"]] = one
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_every_parameter_finds_what_its_definition_says(exchange, defined, seed):
    """No parameter of an exchanged type finds more or less than its definition does."""
    chance = random.Random(seed)
    maker = Maker(chance)
    stored = {}
    for kind in TYPES:
        entries = []
        for number in range(EACH):
            made = maker.resource(kind, f"r{number}")
            request = {"method": "PUT", "url": f"{kind}/r{number}"}
            entries.append({"request": request, "resource": made})
        bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
        answer = exchange.call("POST", CHART, fhir.encode(bundle)).json()
        stored[kind] = [
            entry["resource"]
            for entry, one in zip(entries, answer["entry"], strict=True)
            if one["response"]["status"].startswith("20")
        ]
        refused = [
            one["response"] for one in answer["entry"] if one["response"]["status"][0] != "2"
        ]
        assert len(stored[kind]) > EACH // 2, refused[0]

    wrong = []
    tried = met = 0
    for kind, parameters in defined.items():
        for code, definition in sorted(parameters.items()):
            for _ in range(SEARCHES):
                modifier, asked = asked_of(chance, definition, stored[kind])
                expected = {
                    one["id"]
                    for one in stored[kind]
                    if meets(definition, values_of(definition, one), modifier, asked)
                    is not (modifier == "not")
                }
                name = f"{code}:{modifier}" if modifier else code
                value = asked.replace("\\", "\\\\").replace(",", "\\,").replace("$", "\\$")
                answer = exchange.get(f"{CHART}/{kind}?{name}={quote(value)}")
                found = {one["resource"]["id"] for one in answer.json().get("entry", [])}
                if answer.status_code != 200 or found != expected:
                    wrong.append((kind, name, asked, sorted(found ^ expected), answer.status_code))
                tried += 1
                met += bool(expected)
    assert not wrong, "\n".join(map(str, wrong))
    assert met > tried / 3
