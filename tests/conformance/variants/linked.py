"""References, what is contained, Bundles, and extensions: what stands where, and leads where."""

from __future__ import annotations

from variants.making import (
    BASE,
    PROFILE,
    Group,
    extension,
    group,
    invariant,
    profile,
    reference,
    row,
    slicing,
)  # fmt: skip

NAMED = profile("ref-named", "Patient", row("Patient.name", min=1))
GOOD = {"resourceType": "Patient", "id": "p", "name": [{"text": "a"}]}
BAD = {"resourceType": "Patient", "id": "p", "active": True}
HERE = {"reference": "#p"}


def targets() -> list[Group]:
    one = group(
        "ref-type", "Observation", row("Observation.subject", type=reference("Patient", "Group"))
    )
    one.right("a Patient", subject={"reference": "Patient/1"}).right(
        "a Group", subject={"reference": "Group/1"}
    )
    one.wrong("another type", subject={"reference": "Device/1"})
    one.wrong("another type at a server", subject={"reference": "http://example.org/fhir/Device/1"})
    one.right("an identifier", subject={"identifier": {"value": "1"}})
    one.wrong(
        "another type by its type",
        "it does not look at the type",
        subject={"type": "Device", "identifier": {"value": "1"}},
    )
    one.right("text", subject={"display": "a"})
    one.wrong("a contained one of another type", contained=[
        {"resourceType": "Device", "id": "d", "lotNumber": "1"}], subject={"reference": "#d"})  # fmt: skip
    one.wrong("a contained one that is not there", subject={"reference": "#d"})
    held = group("ref-profile", "Observation", row("Observation.subject", type=reference(PROFILE + "ref-named")),
                 more=(NAMED,))  # fmt: skip
    held.right("it conforms", contained=[GOOD], subject=HERE)
    held.wrong("it does not", contained=[BAD], subject=HERE)
    held.right("it is elsewhere", subject={"reference": "Patient/1"})
    held.wrong("of another type elsewhere", subject={"reference": "Group/1"})
    either = group("ref-profiles", "Observation",
                   row("Observation.subject", type=reference(PROFILE + "ref-named", "Group")), more=(NAMED,))  # fmt: skip
    either.right("the other type", contained=[{"resourceType": "Group", "id": "g", "type": "person",
                                               "actual": True}], subject={"reference": "#g"})  # fmt: skip
    either.wrong("neither", contained=[BAD], subject=HERE)
    return [one, held, either]


def aggregated() -> list[Group]:
    made = []
    where = {
        "contained": {"contained": [GOOD], "subject": HERE},
        "referenced": {"subject": {"reference": "Patient/1"}},
    }
    for modes in (("contained",), ("referenced",), ("contained", "referenced"), ("bundled",)):
        one = group(f"mode-{'-'.join(modes)}", "Observation",
                    row("Observation.subject", type=reference("Patient", aggregation=list(modes))))  # fmt: skip
        for place, elements in where.items():
            (one.right if place in modes else one.wrong)(place, **elements)
        made.append(one)
    return made


def url(last: int) -> str:
    return f"urn:uuid:00000000-0000-4000-8000-{last:012}"


def entry(last: int, resource: dict) -> dict:
    return {"fullUrl": url(last), "resource": resource}


def bundled() -> list[Group]:
    held = profile("bundle-observation", "Observation",
                   row("Observation.subject", min=1, type=reference(PROFILE + "ref-named")))  # fmt: skip
    one = group("bundle-profile", "Bundle",
                slicing("Bundle.entry", ("type", "resource")),
                row("Bundle.entry:o", min=1, max="1"),
                row("Bundle.entry:o.resource", min=1, type=[
                    {"code": "Observation", "profile": [PROFILE + "bundle-observation"]}]),
                more=(held, NAMED))  # fmt: skip

    def observation(subject):
        return {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "a"},
            "subject": subject,
        }

    good = {"resourceType": "Patient", "name": [{"text": "a"}]}
    bad = {"resourceType": "Patient", "active": True}
    device = {"resourceType": "Device", "lotNumber": "1"}
    one.right("it conforms", entry=[entry(1, observation({"reference": url(2)})), entry(2, good)])
    one.wrong("it does not", entry=[entry(1, observation({"reference": url(2)})), entry(2, bad)])
    one.wrong(
        "of another type", entry=[entry(1, observation({"reference": url(2)})), entry(2, device)]
    )
    one.wrong("the entry's own fault", entry=[entry(1, {
        "resourceType": "Observation", "status": "final", "code": {"text": "a"}})])  # fmt: skip
    at = "http://example.org/fhir/"
    one.right("at a server", entry=[
        {"fullUrl": at + "Observation/1", "resource": {**observation({"reference": "Patient/2"}), "id": "1"}},
        {"fullUrl": at + "Patient/2", "resource": {**good, "id": "2"}}])  # fmt: skip
    one.wrong("at a server, not conforming", entry=[
        {"fullUrl": at + "Observation/1", "resource": {**observation({"reference": "Patient/2"}), "id": "1"}},
        {"fullUrl": at + "Patient/2", "resource": {**bad, "id": "2"}}])  # fmt: skip
    modes = profile("bundled-observation", "Observation",
                    row("Observation.subject", min=1, type=reference("Patient", aggregation=["bundled"])))  # fmt: skip
    two = group("mode-bundled-in", "Bundle",
                row("Bundle.entry.resource", min=0),
                slicing("Bundle.entry", ("type", "resource")),
                row("Bundle.entry:o", min=0, max="*"),
                row("Bundle.entry:o.resource", min=1, type=[
                    {"code": "Observation", "profile": [PROFILE + "bundled-observation"]}]),
                more=(modes,))  # fmt: skip
    two.definitions[0]["differential"]["element"].pop(1)
    two.right("in the Bundle", entry=[entry(1, observation({"reference": url(2)})), entry(2, good)])
    two.wrong("outside", entry=[entry(1, observation({"reference": "Patient/1"}))])
    claimed = Group(
        "bundle-claims", [NAMED], {"resourceType": "Bundle", "type": "collection"}, claims=False
    )
    meta = {"meta": {"profile": [PROFILE + "ref-named"]}}
    claimed.right("an entry claims", entry=[entry(1, {**good, **meta})])
    claimed.wrong("an entry claims what it is not", entry=[entry(1, {**bad, **meta})])
    claimed.wrong("a contained one claims what it is not", entry=[entry(1, {
        **observation({"reference": "#p"}), "contained": [{**bad, "id": "p", **meta}]})])  # fmt: skip
    return [one, two, claimed]


def kinds() -> list[Group]:
    """Bundles of R4, without a profile."""
    plain = Group("bundle", [NAMED], {"resourceType": "Bundle"}, claims=False)
    patient = {"resourceType": "Patient", "id": "1", "active": True}
    request = {"method": "POST", "url": "Patient"}
    response = {"status": "201"}
    plain.right(
        "transaction", type="transaction", entry=[{**entry(1, patient), "request": request}]
    )
    plain.wrong("transaction without request", type="transaction", entry=[entry(1, patient)])
    plain.wrong(
        "collection with request",
        type="collection",
        entry=[{**entry(1, patient), "request": request}],
    )
    plain.right(
        "answer", type="transaction-response", entry=[{**entry(1, patient), "response": response}]
    )
    plain.wrong("answer without response", type="transaction-response", entry=[entry(1, patient)])
    plain.wrong("the same twice", type="collection", entry=[entry(1, patient), entry(1, patient)])
    plain.wrong("an empty entry", type="collection", entry=[{"fullUrl": url(1)}])
    plain.wrong("total of no search", type="collection", total=1)
    plain.right("total of a search", type="searchset", total=1, entry=[entry(1, patient)])
    plain.wrong(
        "search of no search",
        type="collection",
        entry=[{**entry(1, patient), "search": {"mode": "match"}}],
    )
    plain.right(
        "history",
        type="history",
        entry=[{**entry(1, patient), "request": request, "response": response}],
    )
    composition = {"resourceType": "Composition", "status": "final", "type": {"text": "a"}, "date": "2020",
                   "title": "a", "author": [{"reference": url(2)}]}  # fmt: skip
    person = entry(2, {"resourceType": "Practitioner", "active": True})
    document = {"type": "document", "identifier": {"system": "urn:ietf:rfc:3986", "value": url(9)},
                "timestamp": "2020-01-01T00:00:00Z"}  # fmt: skip
    plain.right("document", **document, entry=[entry(1, composition), person])
    plain.wrong("document without Composition", **document, entry=[person])
    plain.wrong("document without identifier", **{**document, "identifier": None},
                entry=[entry(1, composition), person])  # fmt: skip
    plain.wrong("document without time", **{**document, "timestamp": None},
                entry=[entry(1, composition), person])  # fmt: skip
    plain.wrong("document without its author", **document, entry=[entry(1, composition)])
    header = {
        "resourceType": "MessageHeader",
        "eventUri": "urn:x:a",
        "source": {"endpoint": "urn:x:b"},
    }
    plain.right("message", type="message", entry=[entry(1, header)])
    plain.wrong("message without header", type="message", entry=[entry(1, patient)])
    return [plain]


def contained() -> list[Group]:
    one = Group("contained", [NAMED], {"resourceType": "Observation", "status": "final", "code": {"text": "a"}},
                claims=False)  # fmt: skip
    one.right("referred to", contained=[GOOD], subject=HERE)
    one.wrong("not referred to", contained=[GOOD])
    one.wrong("without id", contained=[{"resourceType": "Patient", "active": True}])
    one.wrong("in a contained one", contained=[{**GOOD, "contained": [{**BAD, "id": "q"}], "link": [
        {"other": {"reference": "#q"}, "type": "refer"}]}], subject=HERE)  # fmt: skip
    one.wrong("with a version", contained=[{**GOOD, "meta": {"versionId": "1"}}], subject=HERE)
    one.wrong(
        "with a security label",
        contained=[{**GOOD, "meta": {"security": [{"code": "x"}]}}],
        subject=HERE,
    )
    one.wrong("with a fault", contained=[{**GOOD, "gender": "x"}], subject=HERE)
    held = group("contained-profile", "Observation",
                 slicing("Observation.contained", ("type", "$this")),
                 row("Observation.contained:patient", min=1, max="1", type=[
                     {"code": "Patient", "profile": [PROFILE + "ref-named"]}]),
                 more=(NAMED,))  # fmt: skip
    held.right("it conforms", contained=[GOOD], subject=HERE)
    held.wrong("it does not", contained=[BAD], subject=HERE).wrong("it is missing")
    return [one, held]


COLOUR = extension("colour", row("Extension.value[x]", min=1, type=[{"code": "string"}]),
                   contexts=("Patient", "HumanName.family"))  # fmt: skip
SAID = {"url": PROFILE + "colour", "valueString": "red"}


def extensions() -> list[Group]:
    one = group("ext-simple", "Patient", more=(COLOUR,))
    one.right("where it may stand", extension=[SAID])
    one.wrong("another type", extension=[{**SAID, "valueString": None, "valueInteger": 1}])
    one.variants[-1].resource["extension"][0].pop("valueString")
    one.wrong("no value", extension=[{"url": PROFILE + "colour"}])
    one.right("on a primitive", name=[{"_family": {"extension": [SAID]}}])
    one.wrong("elsewhere", name=[{"text": "a", "extension": [SAID]}])
    one.wrong("elsewhere on a primitive", _birthDate={"extension": [SAID]})
    one.wrong(
        "with a nested one", extension=[{**SAID, "extension": [{"url": "x", "valueString": "a"}]}]
    )
    one.wrong("as one that modifies", modifierExtension=[SAID])

    modifies = extension("modifies", row("Extension", isModifier=True, isModifierReason="it changes all"),
                         row("Extension.value[x]", type=[{"code": "boolean"}]), contexts=("Patient",))  # fmt: skip
    modifies["differential"]["element"] = [
        {**modifies["differential"]["element"][0], "isModifier": True, "isModifierReason": "it changes all"},
        *[one for one in modifies["differential"]["element"][1:] if one["path"] != "Extension"]]  # fmt: skip
    two = group("ext-modifier", "Patient", more=(modifies,))
    flag = {"url": PROFILE + "modifies", "valueBoolean": True}
    two.right("as one that modifies", modifierExtension=[flag])
    two.wrong("as one that does not", extension=[flag])

    whole = extension(
        "whole",
        slicing("Extension.extension", ("value", "url")),
        row("Extension.extension:part", min=1, max="1"),
        row("Extension.extension:part.extension", max="0"),
        row("Extension.extension:part.url", fixedUri="part"),
        row("Extension.extension:part.value[x]", min=1, type=[{"code": "code"}]),
        row("Extension.extension:more", min=0, max="*"),
        row("Extension.extension:more.url", fixedUri="more"),
        row("Extension.extension:more.value[x]", min=1, type=[{"code": "string"}]),
        row("Extension.value[x]", max="0"),
    )  # fmt: skip
    three = group("ext-nested", "Patient", more=(whole,))
    part, more = {"url": "part", "valueCode": "a"}, {"url": "more", "valueString": "a"}

    def nested(*inside, **besides):
        return [
            {"url": PROFILE + "whole", **({"extension": list(inside)} if inside else {}), **besides}
        ]

    three.right("whole", extension=nested(part, more, more)).wrong(
        "a part is missing", extension=nested(more)
    )
    three.wrong("a part twice", extension=nested(part, part))
    three.wrong("another type", extension=nested({"url": "part", "valueString": "a"}))
    three.wrong("an unknown part", extension=nested(part, {"url": "other", "valueString": "a"}))
    three.wrong("a value too", extension=nested(part, valueString="a"))
    three.wrong("a value alone", extension=nested(valueString="a"))
    return [one, two, three]


def contexts() -> list[Group]:
    """Extensions that may stand in few places."""
    path = extension("by-path", row("Extension.value[x]", type=[{"code": "string"}]),
                     contexts=(("fhirpath", "Patient.name.where(use = 'official')"),))  # fmt: skip
    four = group("ext-fhirpath", "Patient", more=(path,))
    here = {"url": PROFILE + "by-path", "valueString": "a"}
    four.right("what it chooses", name=[{"use": "official", "text": "a", "extension": [here]}])
    four.wrong("what it does not choose", name=[{"use": "usual", "text": "a", "extension": [here]}])
    four.wrong("the resource", extension=[here])
    inside = extension("by-extension", row("Extension.value[x]", type=[{"code": "string"}]),
                       contexts=(("extension", PROFILE + "outer"),))  # fmt: skip
    outer = extension("outer", row("Extension.extension", min=0), contexts=("Patient",))
    five = group("ext-extension", "Patient", more=(inside, outer))
    small = {"url": PROFILE + "by-extension", "valueString": "a"}
    five.right("inside the other", extension=[{"url": PROFILE + "outer", "extension": [small]}])
    five.wrong("by itself", extension=[small])
    held = extension("held", row("Extension.value[x]", type=[{"code": "string"}]), contexts=("Element",),
                     contextInvariant=["%resource.active = true"])  # fmt: skip
    six = group("ext-invariant", "Patient", more=(held,))
    mark = {"url": PROFILE + "held", "valueString": "a"}
    six.right("where it holds", active=True, extension=[mark])
    six.wrong("where it does not", active=False, extension=[mark])
    return [four, five, six]


def required() -> list[Group]:
    """Extensions that a profile asks for, and that nobody knows."""
    seven = group("ext-required", "Patient",
                  slicing("Patient.extension", ("value", "url")),
                  row("Patient.extension:colour", min=1, max="1", type=[
                      {"code": "Extension", "profile": [PROFILE + "colour"]}]),
                  more=(COLOUR,))  # fmt: skip
    seven.right("it is there", extension=[SAID]).wrong("it is missing").wrong(
        "twice", extension=[SAID, SAID]
    )
    eight = group("ext-on-primitive", "Patient",
                  slicing("Patient.birthDate.extension", ("value", "url")),
                  row("Patient.birthDate.extension:time", min=1, max="1", type=[
                      {"code": "Extension", "profile": [BASE + "patient-birthTime"]}]))  # fmt: skip
    time = {"url": BASE + "patient-birthTime", "valueDateTime": "2020-01-01T00:00:00Z"}
    eight.right("it is there", birthDate="2020-01-01", _birthDate={"extension": [time]})
    eight.wrong("it is missing", birthDate="2020-01-01").right("nothing to extend")
    unknown = Group("ext-unknown", [NAMED], {"resourceType": "Patient"}, claims=False)
    unknown.right(
        "an unknown one", extension=[{"url": "http://example.com/unknown", "valueString": "a"}]
    )
    unknown.right("an unknown one that modifies",
                  modifierExtension=[{"url": "http://example.com/unknown", "valueString": "a"}])  # fmt: skip
    ruled = extension("ruled", row("Extension.value[x]", type=[{"code": "string"}], constraint=[
        invariant("ext-r", "$this.length() > 2")]))  # fmt: skip
    nine = group("ext-ruled", "Patient", more=(ruled,))
    nine.right("long enough", extension=[{"url": PROFILE + "ruled", "valueString": "abc"}])
    nine.wrong("too short", extension=[{"url": PROFILE + "ruled", "valueString": "a"}])
    return [seven, eight, unknown, nine]


def groups() -> list[Group]:
    return [
        *targets(),
        *aggregated(),
        *bundled(),
        *kinds(),
        *contained(),
        *extensions(),
        *contexts(),
        *required(),
    ]
