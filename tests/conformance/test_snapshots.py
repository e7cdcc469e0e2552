"""
Snapshots made from differentials, beside those that their publishers have made.

Compared, for each profile and extension (derivation `constraint`) that has both: which elements
there are, by id, and in which order; and of each element path, sliceName, min, max, base, types
with their profiles and targets, contentReference, the binding's strength and value set,
constraints (key, severity, expression), fixed, pattern, minValue, maxValue, maxLength, slicing
(discriminators, rules, ordered), mustSupport, isModifier, isSummary, representation, condition.
Not compared: texts for people and mappings, and of a constraint where it comes from.
"""

from __future__ import annotations

from collections import Counter

import pytest

from app.conformance import packages
from app.conformance.snapshots import Snapshots
from app.errors import Malformed

BASE = "http://hl7.org/fhir/StructureDefinition/"
COMPARED = (
    "path", "sliceName", "min", "max", "base", "type", "contentReference", "binding", "constraint",
    "slicing", "mustSupport", "isModifier", "isSummary", "maxLength", "representation", "condition",
)  # fmt: skip
VALUES = ("fixed", "pattern", "minValue", "maxValue", "defaultValue")

# What differs, and why, by profile, element and what. Packages that SUSHI made differ besides in
# what an extension's root says to the element that has it: it does not take over conditions and
# constraints, HL7's publisher does.
OTHER_BASE = {"us-core-questionnaireresponse"}  # stands on SDC 3.0.0; 4.0.0-ci is what is here
KNOWN = {
    ("*", "Observation.effective[x]", "constraint"):
        "US Core's vital signs were made on a later R4, whose vs-1 reads otherwise",
    ("us-core-condition-encounter-diagnosis", "Condition.extension:assertedDate", "condition"):
        "made with another version of the extension",
    ("us-core-condition-problems-health-concerns", "Condition.extension:assertedDate", "condition"):
        "made with another version of the extension",
    ("SDOHCC-Condition", "Condition.meta", "missing"):
        "made with a Meta that R4 does not have, with project, author, account and more",
    ("SDOHCC-Condition", "Condition.extension:asserterDevice", "missing"):
        "unfolded in the package, though nothing is said of what is below it",
    ("sdc-questionnaireresponsecommon", "QuestionnaireResponse.source", "missing"):
        "unfolded in the package, though nothing is said of what is below it",
    ("structuredefinition-fhir-type", "Extension.value[x]", "binding"):
        "its binding is not in the snapshot that its publisher made",
    ("no-fixed-address", "Extension.value[x]", "slicing"):
        "closed in the publisher's snapshot, open by what its differential says",
}  # fmt: skip


def compared(key, row):
    """What of an element's member is held to be the same."""
    value = row.get(key)
    if key in ("mustSupport", "isModifier", "isSummary"):
        return value is True
    if value is None:
        return None
    if key == "constraint":
        return sorted((one["key"], one["severity"], one.get("expression")) for one in value)
    if key == "binding":
        return (value.get("strength"), value.get("valueSet"))
    if key == "type":
        return [(one["code"], one.get("profile"), one.get("targetProfile")) for one in value]
    if key == "slicing":
        told = [(one["type"], one["path"]) for one in value.get("discriminator", ())]
        return (told, value.get("rules"), value.get("ordered", False))
    if key == "condition":
        return sorted(value)
    return value.rpartition("#")[2] if key == "contentReference" else value


def differences(definition, snapshot):
    """(element, what) of each place where a snapshot is not the published one."""
    theirs = {row["id"]: row for row in definition["snapshot"]["element"]}
    ours = {row["id"]: row for row in snapshot.rows}
    yield from ((one, "missing") for one in theirs.keys() - ours.keys())
    yield from ((one, "extra") for one in ours.keys() - theirs.keys())
    if [one for one in theirs if one in ours] != [one for one in ours if one in theirs]:
        yield "", "order"
    for one in theirs.keys() & ours.keys():
        told = {*theirs[one], *ours[one]}
        for key in (*COMPARED, *(key for key in told if key.startswith(VALUES))):
            if compared(key, theirs[one]) != compared(key, ours[one]):
                yield one, key


def is_known(profile, element, what, *, sushi):
    if profile in OTHER_BASE:
        return True
    if sushi and (what == "condition" or (what == "constraint" and "xtension" in element)):
        return True
    return any(
        name in (profile, "*")
        and what == key
        and (element == above or element.startswith(above + "."))
        for name, above, key in KNOWN
    )


class Loaded:
    """The StructureDefinitions of packages; of two with one canonical the later stands."""

    def __init__(self, loaded, *, own):
        self.all = {}
        for package in loaded:
            for entry in package.entries:
                if entry.resource_type == "StructureDefinition":
                    self.all[entry.url] = self.all[f"{entry.url}|{entry.version}"] = (
                        package, entry)  # fmt: skip
        self.own = own

    def find(self, canonical):
        """A definition, without its snapshot where we are to make them all."""
        found = self.all.get(canonical) or self.all.get(canonical.partition("|")[0])
        if found is None:
            return None
        definition = found[0].read(found[1])
        if self.own and definition.get("derivation") == "constraint":
            definition.pop("snapshot", None)
        return definition


def profiles(package):
    for entry in package.entries:
        if entry.resource_type == "StructureDefinition" and entry.derivation == "constraint":
            definition = package.read(entry)
            if "snapshot" in definition and definition.get("differential", {}).get("element"):
                yield definition


def unequal(package, loaded, *, own=False, sushi=False):
    """How many profiles were compared, and (profile, element, what) of each difference."""
    snapshots = Snapshots(Loaded(loaded, own=own).find)
    found, count = [], 0
    for definition in profiles(package):
        count += 1
        name = definition["url"].rpartition("/")[2]
        for element, what in differences(definition, snapshots.make(definition)):
            if not is_known(name, element, what, sushi=sushi):
                found.append((name, element, what))
    return count, found


@pytest.fixture(scope="module")
def packs(definitions):
    return {one.name: one for one in definitions.packages}


@pytest.fixture(scope="module")
def sdc(shared):
    return packages.load(shared / "packages/hl7.fhir.uv.sdc-4.0.0-ci-compiled.tgz")[0]


CORE, EXTENSIONS = "hl7.fhir.r4.core", "hl7.fhir.uv.extensions.r4"
US_CORE, SDOHCC = "hl7.fhir.us.core", "hl7.fhir.us.sdoh-clinicalcare"


@pytest.mark.shared
@pytest.mark.parametrize("own", [False, True], ids=["on-theirs", "on-ours"])
def test_us_core_comes_to_what_hl7_published(packs, sdc, own):
    """Each profile of US Core 7 equals its snapshot, on HL7's snapshots and on ours alike."""
    loaded = [packs[EXTENSIONS], packs[CORE], sdc, packs[US_CORE]]

    count, found = unequal(packs[US_CORE], loaded, own=own)

    assert (count, found) == (63, [])


@pytest.mark.parametrize("own", [False, True], ids=["on-theirs", "on-ours"])
def test_sdoh_clinical_care_comes_to_what_was_published(packs, own):
    """Each profile of SDOH Clinical Care equals its snapshot, through US Core too."""
    loaded = [packs[one] for one in (EXTENSIONS, CORE, US_CORE, SDOHCC)]

    count, found = unequal(packs[SDOHCC], loaded, own=own, sushi=True)

    assert (count, found) == (25, [])


def test_hl7s_extensions_come_to_what_was_published(packs):
    """Each of HL7's common extensions equals its snapshot."""
    count, found = unequal(packs[EXTENSIONS], [packs[CORE], packs[EXTENSIONS]])

    assert (count, found) == (526, [])


@pytest.mark.shared
def test_a_guide_that_nobody_looked_at_while_writing_this_comes_out_the_same(packs, sdc, shared):
    """US Core 6.1 and Structured Data Capture, which do not come with the service."""
    old = packages.load(shared / "packages/hl7.fhir.us.core-6.1.0.tgz")[0]

    count, found = unequal(old, [packs[EXTENSIONS], packs[CORE], sdc, old])
    others, more = unequal(sdc, [packs[EXTENSIONS], packs[CORE], sdc], sushi=True)

    assert (count, found) == (59, [])
    assert (others, more) == (88, [])


def test_of_r4s_own_profiles_those_equal_that_need_no_tool_of_2019(packs):
    """R4's profiles were made by another tool; the figure is said, so that it cannot get worse."""
    count, found = unequal(packs[CORE], [packs[CORE]])

    unlike = {name for name, _, _ in found}
    assert count == 439
    assert len(unlike) <= 46, Counter(what for _, _, what in found)


# Definitions that cannot be so


def profile(*rows, url="http://example.org/one", base=BASE + "Patient", **more):
    return {
        "resourceType": "StructureDefinition", "url": url, "type": "Patient", "kind": "resource",
        "derivation": "constraint", "baseDefinition": base,
        "differential": {"element": [{"path": "Patient"}, *rows]}, **more,
    }  # fmt: skip


def test_slices_carry_what_their_element_has(definitions):
    """A new slice has the children of what it slices, may be absent, and stands behind it."""
    sliced = profile(
        {"path": "Patient.contact", "slicing": {
            "discriminator": [{"type": "value", "path": "gender"}], "rules": "open"}},
        {"path": "Patient.contact", "sliceName": "a", "max": "1"},
        {"path": "Patient.contact.gender", "fixedCode": "female"},
        {"path": "Patient.contact", "sliceName": "a/b"},
    )  # fmt: skip

    made = definitions.snapshot(sliced)

    rows = {row["id"]: row for row in made.rows}
    assert made.issues == ()
    assert [one for one in rows if one.startswith("Patient.contact") and one.count(".") == 1] == [
        "Patient.contact", "Patient.contact:a", "Patient.contact:a/b",
    ]  # fmt: skip
    assert rows["Patient.contact:a.gender"]["fixedCode"] == "female"
    assert rows["Patient.contact:a/b"]["max"] == "1"
    assert "fixedCode" not in rows["Patient.contact.gender"]
    assert rows["Patient.contact:a.name"]["base"]["path"] == "Patient.contact.name"


@pytest.mark.parametrize(
    ("row", "place", "word"),
    [
        ({"path": "Patient.bogus", "min": 1}, "Patient.bogus", "no such element"),
        ({"path": "Patient.name.family.bogus"}, "Patient.name.family.bogus", "no such element"),
        ({"path": "Patient.link.other", "min": 0}, "Patient.link.other", "min"),
        ({"path": "Patient.active", "max": "2"}, "Patient.active", "max"),
        ({"path": "Patient.active", "min": 2}, "Patient.active", "more often"),
        ({"path": "Patient.active", "type": [{"code": "string"}]}, "Patient.active", "type"),
        ({"path": "Patient.gender", "binding": {"strength": "example"}}, "Patient.gender",
         "required below"),
        ({"path": "Patient.name", "sliceName": "a"}, "Patient.name", "told apart"),
        ({"path": "Patient.name", "sliceName": "a/b"}, "Patient.name:a/b", "no such element"),
    ],
)  # fmt: skip
def test_what_contradicts_the_base_is_named_with_its_place(definitions, row, place, word):
    """A differential that cannot be so is said to be, with the element's id and what to do."""
    made = definitions.snapshot(profile(row))

    assert [(one.severity, one.expression) for one in made.issues] == [("error", place)]
    assert word in made.issues[0].text


@pytest.mark.usefixtures("soon")
def test_a_profile_that_stands_on_itself_is_refused(definitions):
    """A circle of base definitions ends, and says what to do."""
    one = profile(base="http://example.org/two")
    two = profile(url="http://example.org/two", base="http://example.org/one")
    find = {each["url"]: each for each in (one, two)}.get

    with pytest.raises(Malformed, match="stands on itself"):
        Snapshots(find).make(one)


@pytest.mark.usefixtures("soon")
def test_an_extension_may_have_itself_inside(definitions):
    """A definition whose element is of its own profile is unfolded once, by its type."""
    url = "http://example.org/nested"
    inner = {"path": "Extension.extension", "sliceName": "again",
             "type": [{"code": "Extension", "profile": [url]}]}  # fmt: skip
    nested = profile(url=url, base=BASE + "Extension", type="Extension")
    nested["differential"]["element"] = [
        {"path": "Extension"}, inner, {"path": "Extension.extension.url", "fixedUri": url},
    ]  # fmt: skip
    known = definitions.resource

    def find(canonical):
        return nested if canonical == url else known(canonical, "StructureDefinition")

    rows = {row["id"]: row for row in Snapshots(find).make(nested).rows}

    assert rows["Extension.extension:again.url"]["fixedUri"] == url


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    "rows",
    [
        [{"path": "Patient" + ".extension" * 5000}],
        [{"path": f"Patient.bogus{number}"} for number in range(15_000)],
        [{"path": "Patient.contact", "sliceName": f"s{number}"} for number in range(19_000)],
        [{"path": "Patient.name", "sliceName": "/".join("a" * 5000)}],
        [{"path": "Patient.name", "mapping": [{"map": str(one)} for one in range(100_000)]}],
        [{"path": "Patient.name"}] * 100_000,
        [{"path": 7}],
        [{"path": "Observation.code"}],
        [{"path": "Patient.name", "min": "1"}],
        [{"path": "Patient.name", "type": "HumanName"}],
        [{"path": "Patient.name", "max": "many"}],
        [{"path": "Patient.name", "binding": []}],
        [7],
    ],
    ids=["deep", "unknown", "slices", "reslices", "list", "rows", "path", "type", "min", "types",
         "max", "binding", "row"],
)  # fmt: skip
def test_a_hostile_differential_ends_soon_and_says_why(definitions, rows):
    """However a differential is broken or blown up, it ends in a refusal or an issue."""
    issues = ()
    try:
        issues = definitions.snapshot(profile(*rows)).issues
    except Malformed as refusal:
        issues = refusal.issues

    assert issues[0].text


@pytest.mark.usefixtures("soon")
def test_a_type_that_comes_without_a_snapshot_is_checked_all_the_same(definitions, now):
    """A package need not hold snapshots: a type is taken from its differential."""
    found = definitions.snapshot(definitions.resource(BASE + "Quantity", "StructureDefinition"))

    assert [row["path"] for row in found.rows] == [
        "Quantity", "Quantity.id", "Quantity.extension", "Quantity.value", "Quantity.comparator",
        "Quantity.unit", "Quantity.system", "Quantity.code",
    ]  # fmt: skip
