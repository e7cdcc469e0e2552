"""Bindings and the value sets behind them: strength, maximum, more bindings, filters, versions."""

from __future__ import annotations

from variants.making import (
    ALPHABET,
    BASE,
    CODES,
    HERE,
    Group,
    code_system,
    coding,
    concept,
    group,
    listed,
    row,
    value_set,
)  # fmt: skip

FEW = listed("few", "a", "b")
FEWER = listed("fewer", "a")


def bound(name: str, strength: str, value_set_name: str = "few", **more) -> dict:
    return {"strength": strength, "valueSet": f"{HERE}ValueSet/{value_set_name}", **more}


def strengths() -> list[Group]:
    made = []
    for strength in ("required", "extensible", "preferred", "example"):
        one = group(f"bind-{strength}", "Observation",
                    row("Observation.code", binding=bound("few", strength)), more=(ALPHABET, FEW))  # fmt: skip
        one.right("in it", code=concept("a")).right("beside another", code=concept("c", "b"))
        (one.wrong if strength == "required" else one.right)("not in it", code=concept("c"))
        (one.wrong if strength == "required" else one.right)("text alone", code={"text": "a"})
        one.wrong("no such code", code=concept("z"))
        made.append(one)
    maximum = {"extension": [{"url": BASE + "elementdefinition-maxValueSet",
                              "valueCanonical": HERE + "ValueSet/few"}]}  # fmt: skip
    limit = group("bind-max", "Observation",
                  row("Observation.code", binding=bound("", "extensible", "fewer", **maximum)),
                  more=(ALPHABET, FEW, FEWER))  # fmt: skip
    limit.right("in both", code=concept("a")).right("in the larger", code=concept("b"))
    limit.wrong("in neither", code=concept("c"))
    made.append(limit)
    for kind, right, wrong in (
        ("Coding", coding("a"), coding("c")),
        ("CodeableConcept", concept("a"), concept("c")),
        ("code", "a", "c"), ("string", "a", "c"), ("uri", "a", "c"),
        ("Quantity", {"value": 1, **coding("a")}, {"value": 1, **coding("c")}),
    ):  # fmt: skip
        of = "Parameters" if kind in ("code", "Coding", "uri") else "Observation"
        path = "Parameters.parameter.value[x]" if of == "Parameters" else "Observation.value[x]"
        one = group(f"bind-type-{kind.lower()}", of,
                    row(path, type=[{"code": kind}], binding=bound("few", "required")),
                    more=(ALPHABET, FEW))  # fmt: skip
        key = f"value{kind[0].upper()}{kind[1:]}"

        def with_(value, of=of, key=key):
            return (
                {"parameter": [{"name": "a", key: value}]} if of == "Parameters" else {key: value}
            )

        one.right("in it", **with_(right)).wrong("not in it", **with_(wrong))
        made.append(one)
    code = group("bind-narrowed", "Patient", row("Patient.gender", binding=bound("", "required", "two-genders")),
                 more=(listed("two-genders", "male", "female", system="http://hl7.org/fhir/administrative-gender"),))  # fmt: skip
    code.right("in it", gender="male").wrong("in the base's only", gender="other").wrong(
        "in none", gender="x"
    )
    made.append(code)
    return made


def additional() -> list[Group]:
    """Bindings beside the binding, with a purpose and a usage."""

    def more(purpose, name, **said):
        inside = [{"url": "purpose", "valueCode": purpose},
                  {"url": "valueSet", "valueCanonical": f"{HERE}ValueSet/{name}"}]  # fmt: skip
        inside += [{"url": key, **value} for key, value in said.items()]
        return {
            "url": "http://hl7.org/fhir/tools/StructureDefinition/additional-binding",
            "extension": inside,
        }

    made = []
    for purpose, fails in (("required", True), ("maximum", True), ("minimum", False),
                           ("extensible", False), ("preferred", False), ("candidate", False)):  # fmt: skip
        one = group(f"bind-more-{purpose}", "Observation",
                    row("Observation.code", binding=bound("", "extensible", "few", extension=[more(purpose, "fewer")])),
                    more=(ALPHABET, FEW, FEWER))  # fmt: skip
        one.right("in both", code=concept("a"))
        (one.wrong if fails else one.right)("in the first only", code=concept("b"))
        made.append(one)
    used = {"valueUsageContext": {
        "code": {"system": "http://example.org/fhir/StructureDefinition/bind-used", "code": "Observation.category"},
        "valueCodeableConcept": concept("a")}}  # fmt: skip
    one = group("bind-used", "Observation", row("Observation.code", binding=bound(
        "", "extensible", "few", extension=[more("required", "fewer", usage=used)])), more=(ALPHABET, FEW, FEWER))  # fmt: skip
    one.right("in both", code=concept("a"), category=[concept("a")])
    one.wrong("where it is asked", code=concept("b"), category=[concept("b"), concept("a")])
    one.right("where it is not asked", code=concept("b"), category=[concept("b")])
    unused = {"valueUsageContext": {
        "code": {"system": "http://terminology.hl7.org/CodeSystem/usage-context-type", "code": "venue"},
        "valueCodeableConcept": {"text": "home"}}}  # fmt: skip
    two = group("bind-unused", "Observation", row("Observation.code", binding=bound(
        "", "extensible", "few", extension=[more("required", "fewer", usage=unused)])), more=(ALPHABET, FEW, FEWER))  # fmt: skip
    two.right("in both", code=concept("a")).right("who knows", code=concept("b"))
    return [*made, one, two]


ANIMALS = code_system(
    "animals",
    {"code": "animal", "display": "Animal", "concept": [
        {"code": "mammal", "display": "Mammal", "concept": [
            {"code": "dog", "display": "Dog", "designation": [{"language": "de", "value": "Hund"}],
             "property": [{"code": "legs", "valueInteger": 4}, {"code": "home", "valueCode": "house"}]},
            {"code": "whale", "display": "Whale", "property": [{"code": "legs", "valueInteger": 0}]},
            {"code": "mammoth", "display": "Mammoth", "property": [{"code": "status", "valueCode": "retired"}]},
        ]},
        {"code": "bird", "display": "Bird", "property": [{"code": "legs", "valueInteger": 2}]},
    ]},
    {"code": "plant", "display": "Plant"},
    hierarchyMeaning="is-a", version="1.0",
    property=[{"code": "legs", "type": "integer"}, {"code": "home", "type": "code"},
              {"code": "status", "type": "code", "uri": "http://hl7.org/fhir/concept-properties#status"}],
)  # fmt: skip
EVERY = ("animal", "mammal", "dog", "whale", "mammoth", "bird", "plant")
ANIMALS_URL = HERE + "CodeSystem/animals"


def filtered() -> list[Group]:
    made = []
    unknown = "without a terminology server it does not know the filter"
    for name, rules, inside, other in (
        ("is-a", [("concept", "is-a", "mammal")], ("mammal", "dog", "whale", "mammoth"), ()),
        ("descendent-of", [("concept", "descendent-of", "mammal")], ("dog", "whale", "mammoth"), ()),
        ("is-not-a", [("concept", "is-not-a", "mammal")], ("animal", "bird", "plant"), ()),
        ("regex", [("code", "regex", "m.*")], ("mammal", "mammoth"), ()),
        ("in", [("concept", "in", "dog,bird")], ("dog", "bird"), ("dog", "bird")),
        ("not-in", [("concept", "not-in", "dog,bird")], ("animal", "mammal", "whale", "mammoth", "plant"), ("animal", "mammal", "whale", "mammoth", "plant")),
        ("generalizes", [("concept", "generalizes", "dog")], ("dog", "mammal", "animal"), ("dog", "mammal", "animal")),
        ("exists", [("legs", "exists", "true")], ("dog", "whale", "bird"), ()),
        ("exists-not", [("legs", "exists", "false")], ("animal", "mammal", "mammoth", "plant"), tuple(one for one in EVERY)),
        ("equals", [("legs", "=", "4")], ("dog",), ()),
        ("equals-code", [("home", "=", "house")], ("dog",), ()),
        ("both", [("concept", "is-a", "mammal"), ("legs", "exists", "true")], ("dog", "whale"), ()),
        ("parent", [("parent", "=", "animal")], ("mammal", "bird"), ("mammal", "bird")),
        ("child", [("child", "=", "dog")], ("mammal",), ("mammal",)),
        ("concept-equals", [("concept", "=", "dog")], ("dog",), ("dog",)),
    ):  # fmt: skip
        chosen = value_set(f"filter-{name}", {"system": ANIMALS_URL, "filter": [
            {"property": property_, "op": op, "value": value} for property_, op, value in rules]})  # fmt: skip
        one = group(f"filter-{name}", "Observation",
                    row("Observation.code", binding=bound("", "required", f"filter-{name}")),
                    more=(ANIMALS, chosen))  # fmt: skip
        for code in EVERY:
            said = one.right if code in inside else one.wrong
            hl7 = unknown if code in other else ""
            said(code, hl7, code={"coding": [coding(code, ANIMALS_URL)]})
        made.append(one)
    return made


def composed() -> list[Group]:
    made = []
    all_ = {"system": ANIMALS_URL}
    dogs = value_set("dogs", {"system": ANIMALS_URL, "concept": [{"code": "dog"}]})
    mammals = value_set("mammals", {"system": ANIMALS_URL, "filter": [
        {"property": "concept", "op": "is-a", "value": "mammal"}]})  # fmt: skip
    vs = f"{HERE}ValueSet/"
    for name, compose, inside in (
        ("all", value_set("compose-all", all_), EVERY),
        ("exclude", value_set("compose-exclude", all_, exclude=[
            {"system": ANIMALS_URL, "concept": [{"code": "dog"}]}]), tuple(one for one in EVERY if one != "dog")),
        ("exclude-filter", value_set("compose-exclude-filter", all_, exclude=[{"system": ANIMALS_URL, "filter": [
            {"property": "concept", "op": "is-a", "value": "mammal"}]}]), ("animal", "bird", "plant")),
        ("exclude-set", value_set("compose-exclude-set", all_, exclude=[{"valueSet": [vs + "mammals"]}]),
         ("animal", "bird", "plant")),
        ("import", value_set("compose-import", {"valueSet": [vs + "mammals"]}), ("mammal", "dog", "whale", "mammoth")),
        ("import-two", value_set("compose-import-two", {"valueSet": [vs + "mammals", vs + "dogs"]}), ("dog",)),
        ("import-either", value_set("compose-import-either", {"valueSet": [vs + "dogs"]},
                                    {"system": ANIMALS_URL, "concept": [{"code": "bird"}]}), ("dog", "bird")),
        ("import-system", value_set("compose-import-system", {"system": ANIMALS_URL, "valueSet": [vs + "dogs"]}), ("dog",)),
        ("inactive", value_set("compose-inactive", all_, inactive=False), tuple(one for one in EVERY if one != "mammoth")),
        ("inactive-too", value_set("compose-inactive-too", all_, inactive=True), EVERY),
        ("version", value_set("compose-version", {**all_, "version": "1.0"}), EVERY),
    ):  # fmt: skip
        one = group(f"compose-{name}", "Observation",
                    row("Observation.code", binding=bound("", "required", compose["id"])),
                    more=(ANIMALS, dogs, mammals, compose))  # fmt: skip
        for code in EVERY:
            (one.right if code in inside else one.wrong)(
                code, code={"coding": [coding(code, ANIMALS_URL)]}
            )
        made.append(one)
    return made


def displayed() -> list[Group]:
    one = group("display", "Observation", row("Observation.code", min=1), more=(ANIMALS,))

    def shown(display, code="dog"):
        return {"coding": [coding(code, ANIMALS_URL, display=display)]}

    one.right("its own", code=shown("Dog")).wrong("another's", code=shown("Whale"))
    one.right("in another case", code=shown("DOG")).right(
        "none", code={"coding": [coding("dog", ANIMALS_URL)]}
    )
    one.right("of another language, said so", code=shown("Hund"), language="de")
    one.wrong("no such code", code=shown("Dog", "dogs"))
    folded = code_system("folded", "Aa", "Bb", caseSensitive=False)
    strict = code_system("strict", "Aa", "Bb")
    cases = group("case", "Observation", row("Observation.code", min=1), more=(folded, strict))
    cases.right("any case", code={"coding": [coding("aa", HERE + "CodeSystem/folded")]})
    cases.wrong("its case", code={"coding": [coding("aa", HERE + "CodeSystem/strict")]})
    abstract = code_system("abstract", {"code": "top", "property": [{"code": "notSelectable", "valueBoolean": True}],
                                        "concept": [{"code": "leaf"}]},
                           property=[{"code": "notSelectable", "type": "boolean",
                                      "uri": "http://hl7.org/fhir/concept-properties#notSelectable"}])  # fmt: skip
    selectable = group("abstract", "Observation",
                       row("Observation.code", binding=bound("", "required", "abstract-all")),
                       more=(abstract, value_set("abstract-all", {"system": HERE + "CodeSystem/abstract"})))  # fmt: skip
    selectable.right("a leaf", code={"coding": [coding("leaf", HERE + "CodeSystem/abstract")]})
    fragment = code_system("fragment", "a", content="fragment")
    part = group("fragment", "Observation", row("Observation.code", min=1), more=(fragment,))
    part.right("what it has", code={"coding": [coding("a", HERE + "CodeSystem/fragment")]})
    part.right("what it may have", code={"coding": [coding("b", HERE + "CodeSystem/fragment")]})
    unknown = group("unknown-system", "Observation", row("Observation.code", min=1))
    unknown.right("of nobody's", code={"coding": [coding("b", "http://example.org/fhir/CodeSystem/nobody")]},
                  hl7="")  # fmt: skip
    expanded = {**value_set("expanded"), "expansion": {"timestamp": "2020-01-01T00:00:00Z", "contains": [
        {"system": ANIMALS_URL, "code": "dog", "display": "Dog"},
        {"system": ANIMALS_URL, "code": "mammal", "abstract": True, "contains": [
            {"system": ANIMALS_URL, "code": "whale", "display": "Whale"}]}]}}  # fmt: skip
    del expanded["compose"]
    given = group("expansion", "Observation", row("Observation.code", binding=bound("", "required", "expanded")),
                  more=(ANIMALS, expanded))  # fmt: skip
    for code, inside in (("dog", True), ("whale", True), ("bird", False)):
        (given.right if inside else given.wrong)(code, code={"coding": [coding(code, ANIMALS_URL)]})
    return [one, cases, selectable, part, unknown, given]


def grammars() -> list[Group]:
    """Codes that are told by their form."""
    ucum = group("ucum", "Observation", row("Observation.value[x]", type=[{"code": "Quantity"}]))
    for code in ("mg/dL", "kg.m/s2", "%", "{score}", "10*3/uL", "mm[Hg]", "Cel"):
        ucum.right(
            code, valueQuantity={"value": 1, "system": "http://unitsofmeasure.org", "code": code}
        )
    language = group("language", "Patient", row("Patient.communication", min=0))
    for tag, right in (("en", True), ("de-CH", True), ("zh-Hant", True)):
        (language.right if right else language.wrong)(tag, communication=[
            {"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": tag}]}}])  # fmt: skip
    return [ucum, language]


def groups() -> list[Group]:
    return [*strengths(), *additional(), *filtered(), *composed(), *displayed(), *grammars()]


__all__ = ["CODES", "groups"]
