"""
The R4 type model for FHIRPath, made from HL7's own StructureDefinitions.

Run: python scripts/build_fhirpath_model.py ../shared/packages/hl7.fhir.r4.core-4.0.1.tgz
The package is hl7.fhir.r4.core 4.0.1 as HL7 publishes it (CC0); prose is left behind.
"""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent.parent / "fhir_profiles" / "r4-model.json"
TYPE_EXTENSION = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"


def definitions(package: Path) -> list[dict[str, Any]]:
    found = []
    with tarfile.open(package) as archive:
        for member in archive:
            if member.name.startswith("package/StructureDefinition-"):
                handle = archive.extractfile(member)
                one = json.load(handle) if handle else {}
                # Profiles on types are the checker's, not the model's.
                if one.get("derivation") != "constraint" and one.get("kind") != "logical":
                    found.append(one)
    return found


def type_name(element: dict[str, Any], kind: dict[str, Any]) -> str:
    path = element["base"]["path"]
    if path == "Resource.id":
        return "id"  # the definition says string; the specification's own text says id
    for extension in kind.get("extension", ()):
        if extension["url"] == TYPE_EXTENSION:
            return str(extension.get("valueUrl") or extension["valueUri"])
    return str(kind["code"])


def types_of(element: dict[str, Any], parents: set[str]) -> str:
    if "contentReference" in element:
        return str(element["contentReference"]).removeprefix("#")
    if element["path"] in parents:
        return str(element["path"])
    names = dict.fromkeys(type_name(element, kind) for kind in element.get("type", ()))
    return "|".join(names)


def model(found: list[dict[str, Any]]) -> dict[str, Any]:
    types: dict[str, Any] = {}
    for one in found:
        elements = one["snapshot"]["element"]
        parents = {e["path"].rpartition(".")[0] for e in elements}
        kind = one["kind"].removesuffix("-type")
        base = one.get("baseDefinition", "").rpartition("/")[2]
        types[one["type"]] = {"base": base, "kind": kind, "elements": {}}
        if one.get("abstract"):
            types[one["type"]]["abstract"] = True
        for element in elements[1:]:
            path = element["path"]
            holder, _, name = path.rpartition(".")
            if kind == "primitive" and name == "value":
                continue
            if path in parents and "contentReference" not in element:
                code = element["type"][0]["code"]
                types[path] = {"base": code, "kind": "backbone", "elements": {}}
            if element["base"]["path"] != path:
                continue  # inherited
            many = "*" if element["base"].get("max", element["max"]) not in ("0", "1") else ""
            types[holder]["elements"][name] = types_of(element, parents) + many
    return dict(sorted(types.items()))


def main() -> None:
    package = Path(sys.argv[1])
    document = {
        "what": "types and elements of FHIR R4: element -> types, * where it repeats",
        "source": "hl7.fhir.r4.core 4.0.1, by scripts/build_fhirpath_model.py",
        "licence": "CC0-1.0",
        "version": "4.0.1",
        "types": model(definitions(package)),
    }
    text = json.dumps(document, indent=1, ensure_ascii=False)
    TARGET.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
