"""Slicing: five discriminators, order, closing, slices of slices, slices that say more."""

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
    listed,
    profile,
    reference,
    row,
    slicing,
)  # fmt: skip

A, B, C = ({"system": f"urn:x:{name}", "value": "1"} for name in "abc")
OLD = {"value": "1", "period": {"start": "2020-01-01"}}
NEW = {"value": "2"}


def _by_system(identity: str = "Patient.identifier", **more):
    return (
        slicing(identity, ("value", "system"), **more),
        row(f"{identity}:a", min=1, max="1"),
        row(f"{identity}:a.system", min=1, fixedUri="urn:x:a"),
        row(f"{identity}:a.value", min=1),
        row(f"{identity}:b", min=0, max="1"),
        row(f"{identity}:b.system", min=1, fixedUri="urn:x:b"),
    )


def by_value() -> list[Group]:
    made = []
    open_ = group("slice-value-open", "Patient", *_by_system())
    open_.right("one in each", identifier=[A, B]).right("one that is in none", identifier=[C, A])
    open_.wrong("none in the required one", identifier=[B]).wrong(
        "two in one", identifier=[A, B, B]
    )
    open_.wrong("no identifier at all")
    open_.wrong("what the slice asks", identifier=[{"system": "urn:x:a"}])
    open_.right("what another slice asks", identifier=[A, {"system": "urn:x:b"}])
    closed = group("slice-value-closed", "Patient", *_by_system(rules="closed"))
    closed.right("both", identifier=[B, A]).wrong("one that is in none", identifier=[A, C])
    at_end = group("slice-value-end", "Patient", *_by_system(rules="openAtEnd"))
    at_end.right("others behind", identifier=[A, B, C])
    at_end.wrong("others before", "it does not look at openAtEnd", identifier=[C, A])
    ordered = group("slice-value-ordered", "Patient", *_by_system(ordered=True))
    ordered.right("in order", identifier=[A, B]).wrong("out of order", identifier=[B, A])
    ordered.right("others between", identifier=[A, C, B])
    made += [open_, closed, at_end, ordered]

    codes = group(
        "slice-value-code", "Observation",
        slicing("Observation.category", ("value", "coding.code"), ("value", "coding.system")),
        row("Observation.category:a", min=1, max="1"),
        row("Observation.category:a.coding", min=1, max="1"),
        row("Observation.category:a.coding.system", min=1, fixedUri=CODES),
        row("Observation.category:a.coding.code", min=1, fixedCode="a"),
        more=(ALPHABET,),
    )  # fmt: skip
    codes.right("it is there", category=[concept("b"), concept("a")])
    codes.wrong("another code", category=[concept("b")])
    codes.wrong("another system", category=[{"coding": [{"system": "urn:x:y", "code": "a"}]}])
    codes.wrong("twice", category=[concept("a"), concept("a")])
    codes.right("text beside", category=[{**concept("a"), "text": "a"}])
    made.append(codes)

    this = group(
        "slice-value-this", "Observation",
        slicing("Observation.category", ("value", "$this"), rules="closed"),
        row("Observation.category:a", min=1, max="1", patternCodeableConcept=concept("a")),
        row("Observation.category:b", min=0, max="1", patternCodeableConcept=concept("b")),
    )  # fmt: skip
    this.right("both", category=[concept("a"), concept("b")])
    this.right("more codes beside it", category=[concept("a", "c")])
    this.wrong("another", category=[concept("a"), concept("c")])
    this.wrong("only the other", category=[concept("b")])
    made.append(this)

    bound = group(
        "slice-value-bound", "Observation",
        slicing("Observation.category", ("value", "$this")),
        row("Observation.category:few", min=1, max="1",
            binding={"strength": "required", "valueSet": "http://example.org/fhir/ValueSet/few"}),
        more=(ALPHABET, listed("few", "a", "b")),
    )  # fmt: skip
    bound.right("one of the list", category=[concept("a")])
    bound.right("one of the list beside another", category=[concept("c"), concept("b")])
    bound.wrong("none of the list", category=[concept("c")])
    bound.wrong("two of the list", category=[concept("a"), concept("b")])
    made.append(bound)
    return made


def by_several() -> list[Group]:
    """By two values, and by one that is deeper."""
    made = []
    whole = group(
        "slice-value-two", "Patient",
        slicing("Patient.telecom", ("value", "system"), ("value", "use"), rules="closed"),
        row("Patient.telecom:homePhone", min=1, max="1"),
        row("Patient.telecom:homePhone.system", min=1, fixedCode="phone"),
        row("Patient.telecom:homePhone.use", min=1, fixedCode="home"),
        row("Patient.telecom:workMail", min=0, max="*"),
        row("Patient.telecom:workMail.system", min=1, fixedCode="email"),
        row("Patient.telecom:workMail.use", min=1, fixedCode="work"),
    )  # fmt: skip
    phone = {"system": "phone", "use": "home", "value": "1"}
    mail = {"system": "email", "use": "work", "value": "1"}
    whole.right("both", telecom=[phone, mail]).right("many mails", telecom=[mail, phone, mail])
    whole.wrong("half of what tells it apart", telecom=[phone, {**mail, "use": "home"}])
    whole.wrong("only a system", telecom=[phone, {"system": "email", "value": "1"}])
    made.append(whole)

    nested = group(
        "slice-value-nested", "Observation",
        slicing("Observation.component", ("pattern", "code")),
        row("Observation.component:a", min=1, max="1"),
        row("Observation.component:a.code", min=1, patternCodeableConcept=concept("a")),
        row("Observation.component:a.value[x]", min=1, type=[{"code": "Quantity"}]),
        row("Observation.component:b", min=0, max="1"),
        row("Observation.component:b.code", min=1, patternCodeableConcept=concept("b")),
        row("Observation.component:b.value[x]", max="0"),
    )  # fmt: skip
    quantity = {"value": 1, "unit": "x"}
    nested.right("as asked", component=[{"code": concept("a"), "valueQuantity": quantity}])
    nested.wrong("no value", component=[{"code": concept("a")}])
    nested.wrong("another type", component=[{"code": concept("a"), "valueString": "x"}])
    nested.wrong("a value where none may be", component=[
        {"code": concept("a"), "valueQuantity": quantity},
        {"code": concept("b"), "valueString": "x"}])  # fmt: skip
    nested.right("a component of neither", component=[
        {"code": concept("a"), "valueQuantity": quantity},
        {"code": concept("c"), "valueString": "x"}])  # fmt: skip
    nested.right("no value where none may be", component=[
        {"code": concept("b")}, {"code": concept("a"), "valueQuantity": quantity}])  # fmt: skip
    made.append(nested)
    return made


def by_existence() -> list[Group]:
    one = group(
        "slice-exists", "Patient",
        slicing("Patient.identifier", ("exists", "period"), rules="closed"),
        row("Patient.identifier:old", min=0, max="1"),
        row("Patient.identifier:old.period", min=1),
        row("Patient.identifier:new", min=1, max="*"),
        row("Patient.identifier:new.value", min=1),
        row("Patient.identifier:new.period", max="0"),
    )  # fmt: skip
    one.right("both", identifier=[OLD, NEW]).wrong("two old ones", identifier=[OLD, OLD, NEW])
    one.wrong("no new one", identifier=[OLD])
    one.wrong("a new one without value", identifier=[{"system": "urn:x:y"}])
    return [one]


def by_type() -> list[Group]:
    choice = group(
        "slice-type-choice", "Observation",
        slicing("Observation.value[x]", ("type", "$this"), rules="closed"),
        row("Observation.value[x]:valueQuantity", min=0, max="1", type=[{"code": "Quantity"}]),
        row("Observation.value[x]:valueQuantity.unit", min=1),
        row("Observation.value[x]:valueString", min=0, max="1", type=[{"code": "string"}], maxLength=3),
    )  # fmt: skip
    choice.right("a quantity", valueQuantity={"value": 1, "unit": "x"})
    choice.wrong("a quantity without unit", valueQuantity={"value": 1})
    choice.right("a string", valueString="abc").wrong("a long string", valueString="abcd")
    choice.wrong(
        "another type", "it does not look at closed slices of a choice", valueBoolean=True
    ).right("nothing")

    opened = group(
        "slice-type-open", "Observation",
        slicing("Observation.value[x]", ("type", "$this")),
        row("Observation.value[x]:valueQuantity", min=0, max="1", type=[{"code": "Quantity"}]),
        row("Observation.value[x]:valueQuantity.code", min=1),
    )  # fmt: skip
    opened.right("another type", valueBoolean=True)
    opened.wrong("what the slice asks", valueQuantity={"value": 1})

    required = group(
        "slice-type-required", "Observation",
        slicing("Observation.value[x]", ("type", "$this")),
        row("Observation.value[x]:valueQuantity", min=1, max="1", type=[{"code": "Quantity"}]),
    )  # fmt: skip
    required.right("it is there", valueQuantity={"value": 1})
    required.wrong("another type", valueString="x").wrong("nothing")

    short = group("slice-type-short", "Observation", row("Observation.valueQuantity", min=0),
                  row("Observation.valueQuantity.unit", min=1))  # fmt: skip
    short.right("whole", valueQuantity={"value": 1, "unit": "x"}).right("nothing")
    short.wrong("without unit", valueQuantity={"value": 1}).wrong("another type", valueString="x")
    two = group("slice-type-shorts", "Observation", row("Observation.valueQuantity", min=0),
                row("Observation.valueString", min=0, maxLength=3))  # fmt: skip
    two.right("the one", valueQuantity={"value": 1}).right("the other", valueString="abc")
    two.wrong("a third type", valueBoolean=True).wrong("what it asks", valueString="abcd")
    unsaid = group("slice-type-unsaid", "Observation", row(
        "Observation.value[x]:valueQuantity", min=0, max="1", type=[{"code": "Quantity"}]))  # fmt: skip
    unsaid.right("it", valueQuantity={"value": 1}).wrong("another type", valueString="x")
    needed = group("slice-type-needed", "Observation", row("Observation.valueQuantity", min=1))
    needed.right("it", valueQuantity={"value": 1}).wrong("another type", valueString="x").wrong(
        "nothing"
    )

    narrowed = group("choice-narrowed", "Observation",
                     row("Observation.value[x]", type=[{"code": "Quantity"}, {"code": "string"}]))  # fmt: skip
    narrowed.right("one of the two", valueString="x").wrong("a third", valueInteger=1)

    resources = group(
        "slice-type-entry", "Bundle",
        slicing("Bundle.entry", ("type", "resource"), rules="closed"),
        row("Bundle.entry:patient", min=1, max="1"),
        row("Bundle.entry:patient.resource", min=1, type=[{"code": "Patient"}]),
        row("Bundle.entry:observation", min=0, max="*"),
        row("Bundle.entry:observation.resource", min=1, type=[{"code": "Observation"}]),
    )  # fmt: skip
    patient = {"fullUrl": "urn:uuid:00000000-0000-4000-8000-000000000001",
               "resource": {"resourceType": "Patient", "active": True}}  # fmt: skip
    observation = {"fullUrl": "urn:uuid:00000000-0000-4000-8000-000000000002",
                   "resource": {"resourceType": "Observation", "status": "final",
                                "code": {"text": "x"}}}  # fmt: skip
    basic = {"fullUrl": "urn:uuid:00000000-0000-4000-8000-000000000003",
             "resource": {"resourceType": "Basic", "code": {"text": "x"}}}  # fmt: skip
    other = {**patient, "fullUrl": "urn:uuid:00000000-0000-4000-8000-000000000004"}
    resources.right("both", entry=[observation, patient]).wrong("no patient", entry=[observation])
    resources.wrong("another type", entry=[patient, basic]).wrong("two", entry=[patient, other])

    resolved = group(
        "slice-type-resolve", "Task",
        slicing("Task.input", ("type", "value.ofType(Reference).resolve()")),
    )  # fmt: skip
    resolved = group(
        "slice-type-resolve", "Observation",
        slicing("Observation.performer", ("type", "resolve()")),
        row("Observation.performer:person", min=1, max="1", type=reference("Practitioner")),
        row("Observation.performer:organization", min=0, max="1", type=reference("Organization")),
    )  # fmt: skip
    resolved.right("one of each", contained=[{"resourceType": "Practitioner", "id": "p", "active": True},
                                             {"resourceType": "Organization", "id": "o", "name": "o"}],
                   performer=[{"reference": "#p"}, {"reference": "#o"}])  # fmt: skip
    resolved.wrong("only the other", contained=[{"resourceType": "Organization", "id": "o", "name": "o"}],
                   performer=[{"reference": "#o"}])  # fmt: skip
    resolved.wrong("two of one", contained=[{"resourceType": "Practitioner", "id": "p", "active": True},
                                            {"resourceType": "Practitioner", "id": "q", "active": True}],
                   performer=[{"reference": "#p"}, {"reference": "#q"}])  # fmt: skip
    return [choice, opened, required, short, two, unsaid, needed, narrowed, resources, resolved]


def by_profile() -> list[Group]:
    named = profile("named-patient", "Patient", row("Patient.name", min=1))
    aged = profile("aged-patient", "Patient", row("Patient.birthDate", min=1))
    one = group(
        "slice-profile-entry", "Bundle",
        slicing("Bundle.entry", ("profile", "resource")),
        row("Bundle.entry:named", min=1, max="1"),
        row("Bundle.entry:named.resource", min=1,
            type=[{"code": "Patient", "profile": [PROFILE + "named-patient"]}]),
        more=(named,),
    )  # fmt: skip
    url = "urn:uuid:00000000-0000-4000-8000-00000000000"
    right = {"fullUrl": url + "1", "resource": {"resourceType": "Patient", "name": [{"text": "a"}]}}
    wrong = {"fullUrl": url + "2", "resource": {"resourceType": "Patient", "active": True}}
    one.right("it conforms", entry=[right]).right("beside another", entry=[wrong, right])
    one.wrong("it does not conform", entry=[wrong])
    two = group(
        "slice-profile-resolve", "Observation",
        slicing("Observation.focus", ("profile", "resolve()")),
        row("Observation.focus:named", min=1, max="1", type=reference(PROFILE + "named-patient")),
        row("Observation.focus:aged", min=0, max="1", type=reference(PROFILE + "aged-patient")),
        more=(named, aged),
    )  # fmt: skip
    p = {"resourceType": "Patient", "id": "p", "name": [{"text": "a"}]}
    q = {"resourceType": "Patient", "id": "q", "birthDate": "2020"}
    two.right("both", contained=[p, q], focus=[{"reference": "#q"}, {"reference": "#p"}])
    two.wrong("only the other", contained=[q], focus=[{"reference": "#q"}])
    return [one, two]


def of_slices() -> list[Group]:
    one = group(
        "slice-resliced", "Observation",
        slicing("Observation.category", ("value", "coding.system")),
        row("Observation.category:own", min=1, max="*",
            slicing={"discriminator": [{"type": "value", "path": "coding.code"}], "rules": "closed"}),
        row("Observation.category:own.coding", min=1, max="1"),
        row("Observation.category:own.coding.system", min=1, fixedUri=CODES),
        row("Observation.category:own/a", min=1, max="1"),
        row("Observation.category:own/a.coding", min=1, max="1"),
        row("Observation.category:own/a.coding.system", min=1, fixedUri=CODES),
        row("Observation.category:own/a.coding.code", min=1, fixedCode="a"),
        row("Observation.category:own/b", min=0, max="1"),
        row("Observation.category:own/b.coding", min=1, max="1"),
        row("Observation.category:own/b.coding.system", min=1, fixedUri=CODES),
        row("Observation.category:own/b.coding.code", min=1, fixedCode="b"),
        more=(ALPHABET,),
    )  # fmt: skip
    other = {"coding": [{"system": "urn:x:y", "code": "z"}]}
    outer = "it tells slices of a slice apart by the outer slicing alone"
    one.right("both", outer, category=[concept("a"), concept("b")])
    one.right("another system beside", outer, category=[other, concept("a")])
    one.wrong("a third of the own system", category=[concept("a"), concept("c")])
    one.wrong("without the required one", category=[concept("b")])
    one.wrong("twice", category=[concept("a"), concept("a")])

    below = profile("sliced-base", "Patient", *_by_system())
    derived = Group("slice-derived", [
        profile("slice-derived", "Patient",
                row("Patient.identifier:b", min=1),
                row("Patient.identifier:c", min=0, max="1"),
                row("Patient.identifier:c.system", min=1, fixedUri="urn:x:c"),
                base=PROFILE + "sliced-base"), below],
        {"resourceType": "Patient"})  # fmt: skip
    derived.right("all", identifier=[A, B, C]).wrong("what it asks more", identifier=[A])
    derived.wrong("what its base asks", identifier=[B]).wrong("its own slice twice",
                                                             identifier=[A, B, C, C])  # fmt: skip
    inner = group(
        "slice-inside", "Observation",
        slicing("Observation.component", ("value", "code.text")),
        row("Observation.component:a", min=1, max="1"),
        row("Observation.component:a.code.text", min=1, fixedString="a"),
        slicing("Observation.component:a.interpretation", ("value", "text"), rules="closed"),
        row("Observation.component:a.interpretation:high", min=1, max="1"),
        row("Observation.component:a.interpretation:high.text", min=1, fixedString="high"),
    )  # fmt: skip
    inner.right(
        "as asked", component=[{"code": {"text": "a"}, "interpretation": [{"text": "high"}]}]
    )
    inner.wrong("not in the slice inside", component=[
        {"code": {"text": "a"}, "interpretation": [{"text": "high"}, {"text": "low"}]}])  # fmt: skip
    inner.wrong("the slice inside is missing", component=[{"code": {"text": "a"}}])
    inner.right("another component is free", component=[
        {"code": {"text": "a"}, "interpretation": [{"text": "high"}]},
        {"code": {"text": "b"}, "interpretation": [{"text": "low"}]}])  # fmt: skip

    coded = group(
        "slice-coding", "Observation",
        slicing("Observation.code.coding", ("pattern", "$this"), min=1),
        row("Observation.code.coding:a", min=1, max="1", patternCoding={"system": CODES, "code": "a"}),
        row("Observation.code.coding:a.display", min=1),
    )  # fmt: skip
    coded.right(
        "it is there",
        code={"coding": [coding("b"), coding("a", display="a")]},
        hl7="a display that the code system does not have is wrong to it",
    )
    coded.wrong("without display", code={"coding": [coding("a")]})
    coded.wrong("it is missing", code={"coding": [coding("b")]}).wrong(
        "no coding", code={"text": "a"}
    )

    counted = group(
        "slice-counted", "Patient", *(_by_system()[0] | {"min": 2, "max": "3"},), *_by_system()[1:],
    )  # fmt: skip
    counted.right("two", identifier=[A, C]).wrong("too few in all", identifier=[A])
    counted.wrong("too many in all", identifier=[A, C, C, C])
    return [one, derived, inner, coded, counted]


def ended() -> list[Group]:
    closed = group(
        "slice-default", "Patient",
        slicing("Patient.identifier", ("value", "system"), rules="closed"),
        row("Patient.identifier:a", min=1, max="1"),
        row("Patient.identifier:a.system", min=1, fixedUri="urn:x:a"),
        row("Patient.identifier:@default", min=0, max="1"),
        row("Patient.identifier:@default.value", min=1),
        row("Patient.identifier:@default.system", min=0, max="0"),
    )  # fmt: skip
    closed.right("only the slice", identifier=[{"system": "urn:x:a"}])
    closed.right("one by default", identifier=[A, {"value": "1"}])
    closed.wrong(
        "what the default asks", "it does not know @default", identifier=[A, {"use": "usual"}]
    )
    closed.wrong("what the default forbids", identifier=[A, C])
    closed.wrong("too many by default", identifier=[A, {"value": "1"}, {"value": "2"}])
    extension = group(
        "slice-extension", "Patient",
        slicing("Patient.extension", ("value", "url"), rules="closed"),
        row("Patient.extension:mothers", min=1, max="1", type=[
            {"code": "Extension", "profile": [BASE + "patient-mothersMaidenName"]}]),
    )  # fmt: skip
    mothers = {"url": BASE + "patient-mothersMaidenName", "valueString": "a"}
    place = {"url": BASE + "patient-birthPlace", "valueAddress": {"city": "a"}}
    extension.right("it is there", extension=[mothers]).wrong("it is missing")
    extension.wrong("another beside", extension=[mothers, place])
    extension.wrong("twice", extension=[mothers, mothers])
    return [closed, extension]


def groups() -> list[Group]:
    return [
        *by_value(),
        *by_several(),
        *by_existence(),
        *by_type(),
        *by_profile(),
        *of_slices(),
        *ended(),
    ]
