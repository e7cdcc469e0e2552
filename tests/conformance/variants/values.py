"""What a profile says of values: counted, fixed, patterns, limits, invariants, profiles of types."""

from __future__ import annotations

from variants.making import (
    ALPHABET,
    BASE,
    CODES,
    PROFILE,
    Group,
    coding,
    concept,
    group,
    invariant,
    profile,
    row,
)  # fmt: skip

ABSENT = {"url": BASE + "data-absent-reason", "valueCode": "unknown"}
NAMED = {"family": "A", "given": ["B"]}


def counted() -> list[Group]:
    one = group(
        "count-min", "Patient", row("Patient.name", min=1), row("Patient.name.given", min=2)
    )
    one.right("enough", name=[{"given": ["A", "B"]}]).wrong("too few", name=[{"given": ["A"]}])
    one.wrong("none of the children", name=[{"family": "A"}]).wrong("nothing")
    one.right("a null with an extension counts", name=[
        {"given": ["A", None], "_given": [None, {"extension": [ABSENT]}]}])  # fmt: skip
    none = group(
        "count-none", "Patient", row("Patient.name.period", max="0"), row("Patient.photo", max="0")
    )
    none.right("nothing", name=[NAMED]).wrong("it is there", photo=[{"title": "a"}])
    none.wrong("inside", name=[{**NAMED, "period": {"start": "2020"}}])
    few = group(
        "count-max",
        "Patient",
        row("Patient.name", max="2"),
        row("Patient.contact.telecom", max="1"),
    )
    few.right("as many", name=[NAMED, NAMED]).wrong("too many", name=[NAMED, NAMED, NAMED])
    few.wrong("too many inside", contact=[{"telecom": [{"value": "1"}, {"value": "2"}]}])
    below = group("count-below", "Patient", row("Patient.contact.name", min=1),
                  row("Patient.contact.name.family", min=1))  # fmt: skip
    below.right("no parent").right("whole", contact=[{"name": {"family": "A"}}])
    below.wrong("no name", contact=[{"gender": "male"}])
    below.wrong("no family", contact=[{"name": {"text": "A"}}])
    absent = group("count-primitive", "Patient", row("Patient.birthDate", min=1))
    absent.right("a value", birthDate="2020").right(
        "a reason why not", _birthDate={"extension": [ABSENT]}
    )
    absent.wrong("nothing")
    choice = group("count-choice", "Observation", row("Observation.value[x]", min=1))
    choice.right("any type", valueBoolean=False).wrong("nothing")
    choice.right("a reason why not", _valueString={"extension": [ABSENT]})
    no_choice = group("count-no-choice", "Observation", row("Observation.value[x]", max="0"))
    no_choice.right("nothing").wrong("one", valueString="a")
    return [one, none, few, below, absent, choice, no_choice]


def fixed() -> list[Group]:
    made = []
    code = group("fixed-code", "Patient", row("Patient.gender", fixedCode="female"))
    code.right("it", gender="female").wrong("another", gender="male").right("nothing")
    whole = group("fixed-concept", "Observation",
                  row("Observation.code", fixedCodeableConcept=concept("a")), more=(ALPHABET,))  # fmt: skip
    whole.right("it", code=concept("a")).wrong("more", code={**concept("a"), "text": "a"})
    whole.wrong("another", code=concept("b")).wrong("two codes", code=concept("a", "b"))
    whole.wrong("a display", code={"coding": [coding("a", display="a")]})
    quantity = group("fixed-quantity", "Observation", row("Observation.value[x]", type=[{"code": "Quantity"}],
                     fixedQuantity={"value": 5, "unit": "x"}))  # fmt: skip
    quantity.right("it", valueQuantity={"value": 5, "unit": "x"})
    quantity.wrong("another", valueQuantity={"value": 6, "unit": "x"})
    quantity.wrong("less", valueQuantity={"value": 5})
    deep = group(
        "fixed-deep", "Patient", row("Patient.identifier.type.coding.code", fixedCode="MR")
    )
    deep.right("it", identifier=[{"type": {"coding": [{"code": "MR"}]}}])
    deep.wrong("another", identifier=[{"type": {"coding": [{"code": "XX"}]}}])
    deep.right("no coding", identifier=[{"type": {"text": "a"}}])
    flag = group("fixed-boolean", "Patient", row("Patient.active", fixedBoolean=True))
    flag.right("it", active=True).wrong("another", active=False)
    date = group("fixed-date", "Patient", row("Patient.birthDate", fixedDate="2020-01"))
    date.right("it", birthDate="2020-01").wrong("more precise", birthDate="2020-01-01")
    integer = group("fixed-integer", "Patient", row("Patient.multipleBirth[x]", type=[{"code": "integer"}],
                    fixedInteger=2))  # fmt: skip
    integer.right("it", multipleBirthInteger=2).wrong("another", multipleBirthInteger=3)
    integer.wrong("another type", multipleBirthBoolean=True)
    text = group("fixed-string", "Patient", row("Patient.name.family", fixedString="A"))
    text.right("it", name=[{"family": "A"}]).wrong("another case", name=[{"family": "a"}])
    made += [code, whole, quantity, deep, flag, date, integer, text]
    return made


def patterns() -> list[Group]:
    one = group("pattern-concept", "Observation",
                row("Observation.code", patternCodeableConcept={**concept("a"), "text": "A"}),
                more=(ALPHABET,))  # fmt: skip
    one.right("it", code={**concept("a"), "text": "A"})
    one.right("more codes", code={**concept("b", "a"), "text": "A"})
    one.wrong("without text", code=concept("a")).wrong(
        "another text", code={**concept("a"), "text": "B"}
    )
    one.wrong("another code", code={**concept("b"), "text": "A"})
    two = group(
        "pattern-two",
        "Observation",
        row("Observation.code", patternCodeableConcept=concept("a", "b")),
    )
    two.right("both", code=concept("a", "b")).right("the other way round", code=concept("b", "a"))
    two.wrong("one of the two", code=concept("a")).wrong("one twice", code=concept("a", "a"))
    identifier = group("pattern-identifier", "Patient", row("Patient.identifier", patternIdentifier={
        "system": "urn:x:a", "type": {"coding": [{"system": CODES, "code": "a"}]}}), more=(ALPHABET,))  # fmt: skip
    right = {
        "system": "urn:x:a",
        "value": "1",
        "type": {"coding": [coding("a", userSelected=True)], "text": "a"},
    }
    identifier.right("with more", identifier=[right])
    identifier.wrong("another system", identifier=[{**right, "system": "urn:x:b"}])
    identifier.wrong("one of two", identifier=[right, {"system": "urn:x:a"}])
    quantity = group("pattern-quantity", "Observation", row("Observation.value[x]", type=[{"code": "Quantity"}],
                     patternQuantity={"system": "http://unitsofmeasure.org", "code": "kg"}))  # fmt: skip
    kg = {"system": "http://unitsofmeasure.org", "code": "kg"}
    quantity.right("with a value", valueQuantity={"value": 1.5, "unit": "kg", **kg})
    quantity.wrong("another unit", valueQuantity={"value": 1.5, **kg, "code": "g"})
    quantity.wrong("no code", valueQuantity={"value": 1.5, "unit": "kg"})
    period = group(
        "pattern-period", "Encounter", row("Encounter.period", patternPeriod={"start": "2020"})
    )
    period.right("with an end", period={"start": "2020", "end": "2021"})
    period.wrong("another start", period={"start": "2020-01"})
    code = group("pattern-code", "Patient", row("Patient.gender", patternCode="female"))
    code.right("it", gender="female").wrong("another", gender="male")
    text = group("pattern-string", "Patient", row("Patient.name.family", patternString="A"))
    text.right("it", name=[{"family": "A"}]).wrong("it and more", name=[{"family": "AB"}])
    names = group(
        "pattern-name", "Patient", row("Patient.name", patternHumanName={"given": ["A", "B"]})
    )
    names.right("both", name=[{"given": ["A", "B"], "family": "C"}])
    names.right(
        "both and more", "it asks for as many as the pattern has", name=[{"given": ["A", "X", "B"]}]
    )
    names.wrong("one", name=[{"given": ["A"]}])
    names.wrong("one name of two", name=[{"given": ["A", "B"]}, {"given": ["C"]}])
    ref = group(
        "pattern-reference",
        "Observation",
        row("Observation.subject", patternReference={"type": "Patient"}),
    )
    ref.right("it", subject={"type": "Patient", "reference": "Patient/1"})
    ref.wrong("without", subject={"reference": "Patient/1"})
    return [one, two, identifier, quantity, period, code, text, names, ref]


def limited() -> list[Group]:
    long = group("limit-length", "Patient", row("Patient.name.family", maxLength=5))
    long.right("as long", name=[{"family": "ABCDE"}]).wrong("longer", name=[{"family": "ABCDEF"}])
    date = group(
        "limit-date",
        "Patient",
        row("Patient.birthDate", minValueDate="2000-01-01", maxValueDate="2020-12-31"),
    )
    date.right("between", birthDate="2010-05-05").right("the first", birthDate="2000-01-01")
    date.wrong("before", birthDate="1999-12-31")
    date.wrong("after", "it does not look at the latest date", birthDate="2021-01-01")
    number = group("limit-integer", "Observation", row("Observation.value[x]", type=[{"code": "integer"}],
                   minValueInteger=0, maxValueInteger=10))  # fmt: skip
    number.right("the least", valueInteger=0).right("the most", valueInteger=10)
    number.wrong("less", valueInteger=-1).wrong("more", valueInteger=11)
    decimal = group("limit-decimal", "Observation", row("Observation.value[x]", type=[{"code": "Quantity"}]),
                    row("Observation.value[x].value", minValueDecimal=0.5, maxValueDecimal=1.5))  # fmt: skip
    decimal.right("between", valueQuantity={"value": 1}).right(
        "the most", valueQuantity={"value": 1.50}
    )
    decimal.wrong("less", valueQuantity={"value": 0.49}).wrong(
        "more", valueQuantity={"value": 1.51}
    )
    quantity = group("limit-quantity", "Observation", row("Observation.value[x]", type=[{"code": "Quantity"}],
                     minValueQuantity={"value": 1, "system": "http://unitsofmeasure.org", "code": "g"},
                     maxValueQuantity={"value": 2000, "system": "http://unitsofmeasure.org", "code": "g"}))  # fmt: skip
    gram = {"system": "http://unitsofmeasure.org", "code": "g"}
    quantity.right("between", valueQuantity={"value": 5, **gram})
    quantity.wrong("more", valueQuantity={"value": 2001, **gram})
    quantity.wrong("less", valueQuantity={"value": 0, **gram})
    quantity.right("another unit", valueQuantity={"value": 1.5, **gram, "code": "kg"})
    quantity.wrong("more in another unit", valueQuantity={"value": 3, **gram, "code": "kg"})
    moment = group("limit-moment", "Observation", row("Observation.effective[x]", type=[{"code": "dateTime"}],
                   minValueDateTime="2020-01-01T00:00:00Z"))  # fmt: skip
    moment.right("after", effectiveDateTime="2020-01-01T00:00:01Z")
    moment.wrong("before", effectiveDateTime="2019-12-31T23:59:59Z")
    positive = group(
        "limit-positive", "Patient", row("Patient.telecom.rank", maxValuePositiveInt=3)
    )
    positive.right("the most", telecom=[{"rank": 3}]).wrong("more", telecom=[{"rank": 4}])
    return [long, date, number, decimal, quantity, moment, positive]


def ruled() -> list[Group]:
    one = group("rule-element", "Patient", row("Patient.name", constraint=[
        invariant("one-1", "family.exists() or given.exists()")]))  # fmt: skip
    one.right("it holds", name=[{"family": "A"}]).wrong("it does not", name=[{"text": "A"}])
    one.wrong("of one of two", name=[{"family": "A"}, {"text": "A"}])
    root = group("rule-root", "Patient", row("Patient.active", min=0))
    root = Group("rule-root", [profile("rule-root", "Patient")], {"resourceType": "Patient"})
    root.definitions[0]["differential"]["element"][0]["constraint"] = [
        invariant("root-1", "name.exists() xor identifier.exists()"),
        invariant("root-2", "birthDate.exists() implies birthDate <= @2030-01-01"),
        invariant("root-3", "telecom.exists()", "warning"),
    ]
    root.right("a name", name=[NAMED]).wrong("both", name=[NAMED], identifier=[{"value": "1"}])
    root.wrong("neither").wrong("too late", name=[NAMED], birthDate="2040-01-01")
    functions = group("rule-functions", "Observation",
                      row("Observation.code", constraint=[
                          invariant("fun-1", f"coding.where(system = '{CODES}').count() = 1")]),
                      row("Observation.subject", constraint=[
                          invariant("fun-2", "reference.matches('^Patient/[a-z]+$')")]),
                      row("Observation.component", constraint=[
                          invariant("fun-3", "%resource.component.code.text.isDistinct()"),
                          invariant("fun-4", "value.ofType(Quantity).exists() or value.ofType(string).exists()")]),
                      more=(ALPHABET,))  # fmt: skip
    base = {"code": concept("a"), "subject": {"reference": "Patient/abc"}}
    functions.right("all", **base).wrong("no such code", **{**base, "code": {"text": "a"}})
    functions.wrong("no match", **{**base, "subject": {"reference": "Patient/1"}})
    functions.right("two components", **base, component=[
        {"code": {"text": "a"}, "valueString": "x"}, {"code": {"text": "b"}, "valueString": "x"}])  # fmt: skip
    functions.wrong("not distinct", **base, component=[
        {"code": {"text": "a"}, "valueString": "x"}, {"code": {"text": "a"}, "valueString": "x"}])  # fmt: skip
    functions.wrong(
        "no such type", **base, component=[{"code": {"text": "a"}, "valueBoolean": True}]
    )
    resolving = group("rule-resolve", "Observation", row("Observation.subject", constraint=[
        invariant("res-1", "resolve().ofType(Patient).name.exists()")]))  # fmt: skip
    resolving.right("contained", contained=[{"resourceType": "Patient", "id": "p", "name": [NAMED]}],
                    subject={"reference": "#p"})  # fmt: skip
    resolving.wrong("contained and nameless", contained=[{"resourceType": "Patient", "id": "p", "active": True}],
                    subject={"reference": "#p"})  # fmt: skip
    return [one, root, functions, resolving]


def typed() -> list[Group]:
    whole = profile(
        "whole-name", "HumanName", row("HumanName.family", min=1), row("HumanName.given", max="1")
    )
    one = group("type-profile", "Patient", row("Patient.name", min=0, type=[
        {"code": "HumanName", "profile": [PROFILE + "whole-name"]}]), more=(whole,))  # fmt: skip
    one.right("it conforms", name=[NAMED]).wrong("without family", name=[{"given": ["A"]}])
    one.wrong("two given names", name=[{"family": "A", "given": ["A", "B"]}])
    either = profile("text-name", "HumanName", row("HumanName.text", min=1))
    two = group("type-profiles", "Patient", row("Patient.name", type=[
        {"code": "HumanName", "profile": [PROFILE + "whole-name", PROFILE + "text-name"]}]),
        more=(whole, either))  # fmt: skip
    two.right("the first", name=[NAMED]).right("the second", name=[{"text": "A"}])
    two.wrong("neither", name=[{"prefix": ["Dr"]}])
    simple = group("type-simple", "Observation", row("Observation.value[x]", type=[
        {"code": "Quantity", "profile": [BASE + "SimpleQuantity"]}]))  # fmt: skip
    simple.right("simple", valueQuantity={"value": 1})
    simple.wrong("with a comparator", valueQuantity={"value": 1, "comparator": "<"})
    derived_base = profile("derived-base", "Patient", row("Patient.name", min=1))
    derived = Group("derived", [
        profile("derived", "Patient", row("Patient.birthDate", min=1), base=PROFILE + "derived-base"),
        derived_base], {"resourceType": "Patient"})  # fmt: skip
    derived.right("both", name=[NAMED], birthDate="2020").wrong("its own", name=[NAMED])
    derived.wrong("its base's", birthDate="2020")
    other = Group("claimed", [profile("claimed", "Patient", row("Patient.name", min=0))],
                  {"resourceType": "Practitioner", "active": True})  # fmt: skip
    other.wrong("by another type", "it passes over a profile of another type")
    versioned = Group("versioned", [profile("versioned", "Patient", row("Patient.name", min=1), version="2.0")],
                      {"resourceType": "Patient"}, claims=False)  # fmt: skip
    versioned.wrong("this version", meta={"profile": [PROFILE + "versioned|2.0"]})
    versioned.right(
        "this version, and right", meta={"profile": [PROFILE + "versioned|2.0"]}, name=[NAMED]
    )
    return [one, two, simple, derived, other, versioned]


def repeated() -> list[Group]:
    """Elements that are defined elsewhere in the same type, by contentReference."""
    items = group("content-items", "Questionnaire",
                  row("Questionnaire.item.item", max="2"),
                  row("Questionnaire.item.item.text", min=1))  # fmt: skip
    item = {"linkId": "1", "type": "group"}

    def below(*inside):
        return [{**item, "item": list(inside)}]

    items.right("a text below", item=below({"linkId": "2", "text": "a", "type": "string"}))
    items.right("none on top", item=[{"linkId": "1", "type": "string"}])
    items.wrong("none below", item=below({"linkId": "2", "type": "string"}))
    items.right("deeper is free", item=below({"linkId": "2", "text": "a", "type": "group", "item": [
        {"linkId": "3", "type": "string"}]}))  # fmt: skip
    items.wrong("three below", item=below(*[
        {"linkId": str(at), "text": "a", "type": "string"} for at in (2, 3, 4)]))  # fmt: skip
    ranges = group(
        "content-ranges", "Observation", row("Observation.component.referenceRange.text", min=1)
    )
    ranges.right("a text", component=[{"code": {"text": "a"}, "referenceRange": [{"text": "a"}]}])
    ranges.wrong(
        "none", component=[{"code": {"text": "a"}, "referenceRange": [{"low": {"value": 1}}]}]
    )
    ranges.right("only of components", referenceRange=[{"low": {"value": 1}}])
    parts = group("content-parts", "Parameters",
                  row("Parameters.parameter.part", min=1),
                  row("Parameters.parameter.part.value[x]", type=[{"code": "string"}]))  # fmt: skip
    parts.right("a string", parameter=[{"name": "a", "part": [{"name": "b", "valueString": "x"}]}])
    parts.wrong(
        "another type", parameter=[{"name": "a", "part": [{"name": "b", "valueInteger": 1}]}]
    )
    parts.wrong("no part", parameter=[{"name": "a", "valueString": "x"}])
    return [items, ranges, parts]


def groups() -> list[Group]:
    return [*counted(), *fixed(), *patterns(), *limited(), *ruled(), *typed(), *repeated()]
