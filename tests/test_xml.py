"""FHIR in XML: read without loss, with places, and safe against what XML can do."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app import conformance
from app.cli import app, checked
from app.errors import Malformed, Refusal
from app.formats import xml

SHARED = Path(__file__).parents[2] / "shared"
PATIENT = b"""<?xml version="1.0" encoding="UTF-8"?>
<!-- a remark -->
<Patient xmlns="http://hl7.org/fhir" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    xsi:schemaLocation="http://hl7.org/fhir patient.xsd">
  <id value="one"/>
  <text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml"><p class="a">A &lt; B<br/></p></div></text>
  <contained><Organization><id value="org"/></Organization></contained>
  <extension url="http://example.org/one"><valueDecimal value="1.50"/></extension>
  <active value="true"/>
  <name>
    <family value="Chalmers"><extension url="http://example.org/two"><valueCode value="x"/></extension></family>
    <given value="Peter"/>
    <given id="g2"/>
    <given value="James"/>
  </name>
  <gender value="lion"/>
  <birthDate value="1974-12-25"/>
  <multipleBirthInteger value="2"/>
</Patient>
"""
JSON = {
    "resourceType": "Patient", "id": "one",
    "text": {"status": "generated", "div":
             '<div xmlns="http://www.w3.org/1999/xhtml"><p class="a">A &lt; B<br/></p></div>'},
    "contained": [{"resourceType": "Organization", "id": "org"}],
    "extension": [{"url": "http://example.org/one", "valueDecimal": Decimal("1.50")}],
    "active": True,
    "name": [{
        "family": "Chalmers",
        "_family": {"extension": [{"url": "http://example.org/two", "valueCode": "x"}]},
        "given": ["Peter", None, "James"], "_given": [None, {"id": "g2"}, None],
    }],
    "gender": "lion", "birthDate": "1974-12-25", "multipleBirthInteger": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def definitions():
    return conformance.load()


def read(raw, definitions):
    return xml.read(raw, definitions.structure)


def patient(inside):
    return f'<Patient xmlns="http://hl7.org/fhir">\n{inside}\n</Patient>'.encode()


def test_a_resource_in_xml_is_its_json(definitions):
    """Order, digits, primitives' extensions, narrative and contained resources come over whole."""
    document = read(PATIENT, definitions)

    assert document.resource == JSON
    assert list(document.resource) == list(JSON)
    assert str(document.resource["extension"][0]["valueDecimal"]) == "1.50"
    assert document.issues == ()


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("Patient", 3), ("Patient.gender", 16), ("Patient.name[0].given[2]", 14),
        ("Patient.multipleBirth.ofType(integer)", 18), ("Patient.contained[0].id", 7),
        ("Patient.name[0].family.extension[0].value.ofType(code)", 11),
        ("Patient.name[0].use", 10), ("Patient.name[7]", 10), ("Patient.text.div", 6),
    ],
)  # fmt: skip
def test_a_path_leads_back_to_its_line(definitions, path, line):
    """What an issue points to is found in the XML, and what is missing in what it would stand in."""
    assert read(PATIENT, definitions).find(path)[0] == line


def test_the_command_names_line_and_column_in_xml(tmp_path):
    """`kinbridge validate` reads XML as it reads JSON, alone and in a folder."""
    (tmp_path / "one.xml").write_bytes(PATIENT)

    result = CliRunner().invoke(app, ["validate", str(tmp_path)])

    assert result.exit_code == 1
    assert "one.xml:16:3: error: Patient.gender [binding]" in result.stdout


@pytest.mark.parametrize(
    ("inside", "place"),
    [
        ("<active>true</active>", "Patient.active"),
        ("stray", "Patient"),
        ('<active value="true" other="1"/>', "Patient.active"),
        ('<gender value="male"/><active value="true"/>', "Patient"),
        ('<other xmlns="http://example.org"/>', "Patient"),
        ("<contained><Basic/><Basic/></contained>", "Patient.contained[0]"),
        ("<active/>", "Patient.active"),
        ('<name><given/><given value="A"/></name>', "Patient.name[0].given[0]"),
    ],
)
def test_what_is_wrong_only_as_xml_is_said(definitions, inside, place):
    """Text, attributes, order and namespaces that JSON would lose are issues at their places."""
    found = read(patient(inside), definitions).issues

    assert [(one.rule, one.expression) for one in found] == [("xml-element", place)]


@pytest.mark.parametrize(
    ("inside", "place"),
    [
        ('<bogus value="1"/>', "Patient.bogus"),
        ('<active value="yes"/>', "Patient.active"),
        ('<birthDate value="1974-13-01"/>', "Patient.birthDate"),
        ('<active value="true"/><active value="true"/>', "Patient.active"),
        ('<maritalStatus><text value="a"/></maritalStatus><maritalStatus><text value="b"/></maritalStatus>',
         "Patient.maritalStatus"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_any_form_is_found_at_its_place(definitions, now, inside, place):
    """Unknown elements, wrong values and too many are errors as they are in JSON."""
    document = read(patient(inside), definitions)
    found = definitions.check(document.resource, now=now)

    errors = [one.expression for one in found if one.severity == "error"]
    assert errors
    assert errors[0].startswith(place)


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        ('<active value="yes"/>', "The value is not of its type; write true or false."),
        ('<multipleBirthInteger value="two"/>', "The value is not of its type; write a whole number of 32 bits."),
        ('<active value="true"/><active value="true"/>', "This element may stand once; keep one of them."),
        ("<maritalStatus/>", "This is empty; fill it or leave it out."),
        ('<bogus value="1"/>', "FHIR R4 has no such element here; mend its name, or send it as an extension."),
        ('<maritalStatus value="single"/>', "An attribute stands here that FHIR does not have."),
    ],
)  # fmt: skip
def test_who_sends_xml_reads_nothing_of_json(definitions, now, inside, said):
    """No brackets, no quotes, no page about JSON."""
    one = checked.check(
        definitions, patient(inside), file="a.xml", line=1, now=now, profiles=(), claims=False
    )

    errors = [found.issue for found in one.found if found.issue.severity == "error"]
    assert said in [issue.text for issue in errors]
    assert not [
        issue for issue in errors if "json" in f"{issue.text}{issue.rule}{issue.url}".lower()
    ]


@pytest.fixture
def now():
    from datetime import UTC, datetime

    return datetime(2026, 11, 23, tzinfo=UTC)


BILLION = """<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<Patient xmlns="http://hl7.org/fhir"><id value="&b;"/></Patient>"""
OUTSIDE = """<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<Patient xmlns="http://hl7.org/fhir"><id value="one"/>&x;</Patient>"""


@pytest.mark.parametrize(
    "raw",
    [
        BILLION.encode(), OUTSIDE.encode(),
        b'<!DOCTYPE Patient SYSTEM "http://example.org/x.dtd"><Patient xmlns="http://hl7.org/fhir"/>',
        b'<Patient xmlns="http://hl7.org/fhir">&undefined;</Patient>',
        b"<Patient>", b"<Patient/>", b"<", b"", b"<?xml version='1.0' encoding='nonsense'?><a/>",
        b'<Patient xmlns="http://hl7.org/fhir"><a x="1" x="2"/></Patient>',
        b'<Patient xmlns="http://hl7.org/fhir"><id value="\xff"/></Patient>',
        patient("<contact>" * 100_000 + "</contact>" * 100_000),
    ],
    ids=["billion-laughs", "external", "dtd", "undefined", "open", "no-namespace", "start", "empty",
         "encoding", "twice", "bytes", "deep"],
)  # fmt: skip
def test_hostile_xml_is_refused_soon(definitions, raw):
    """Entities, DTDs, nesting without end and broken bytes are refused, and nothing is fetched."""
    start = time.process_time()

    with pytest.raises(Malformed) as refused:
        read(raw, definitions)

    assert time.process_time() - start < 2
    assert "passwd" not in refused.value.issues[0].text


def test_a_type_that_is_none_is_left_to_the_check(definitions, now):
    """A root that R4 does not have is an issue like any other."""
    document = read(b'<Bogus xmlns="http://hl7.org/fhir"><id value="x"/></Bogus>', definitions)

    assert [one.rule for one in definitions.check(document.resource, now=now)] == ["resource-type"]


def test_a_profile_in_xml_is_loaded(tmp_path):
    """--package takes a definition in XML as it takes one in JSON."""
    profile = """<StructureDefinition xmlns="http://hl7.org/fhir">
      <url value="http://example.org/named"/><name value="Named"/><status value="draft"/>
      <kind value="resource"/><abstract value="false"/><type value="Patient"/>
      <baseDefinition value="http://hl7.org/fhir/StructureDefinition/Patient"/>
      <derivation value="constraint"/>
      <differential><element id="Patient.name"><path value="Patient.name"/><min value="3"/></element>
      </differential></StructureDefinition>"""
    (tmp_path / "named.xml").write_text(profile)
    (tmp_path / "patient.json").write_text(json.dumps({"resourceType": "Patient"}))

    result = CliRunner().invoke(app, [
        "validate", str(tmp_path / "patient.json"), "--package", str(tmp_path / "named.xml"),
        "--profile", "http://example.org/named",
    ])  # fmt: skip

    assert result.exit_code == 1
    assert "error: Patient [cardinality]" in result.stdout


@pytest.mark.shared
def test_definitions_in_xml_can_be_used(definitions):
    """The XML files of the validator's cases are read without a loss that XML would name."""
    files = sorted((SHARED / "validator-cases/files").rglob("*.xml"))

    assert len(files) == 8
    for file in files:
        try:
            document = read(file.read_bytes(), definitions)
        except Refusal as refusal:
            pytest.fail(f"{file.name}: {refusal.issues[0].text}")
        assert document.resource["resourceType"] == "StructureDefinition"
