"""
A folder of definitions made into a FHIR package: a `.tgz` that any FHIR tool installs.

The same folder gives the same bytes: no time, owner or order of this machine is in them.
source      https://confluence.hl7.org/display/FHIR/NPM+Package+Specification
"""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app import fhir
from app.errors import Malformed

if TYPE_CHECKING:
    from app.conformance.definitions import Definitions

_INDEXED: Final = ("id", "url", "version", "kind", "type", "supplements", "content")


def pack(folder: Path, definitions: Definitions) -> bytes:
    """
    The package of a folder: package.json, definitions with snapshots, an index, the examples.

    folder          has a package.json, one definition a file, and it may have `examples/`
    definitions     has what the folder's profiles stand on
    raises          Malformed: no package.json, a profile that cannot be, or that stands on what is
                    not loaded
    """
    manifest = _manifest(folder)
    found = {path.name: fhir.decode(path.read_bytes()) for path in sorted(folder.glob("*.json"))}
    del found["package.json"]
    whole = {
        name: _with_snapshot(one, definitions)
        for name, one in found.items()
        if one.get("resourceType")
    }
    for name, one in whole.items():
        if one["resourceType"] == "ImplementationGuide":
            whole[name] = _guide(one, whole)
    members = {f"package/{name}": _text(one) for name, one in whole.items()}
    for path in sorted((folder / "examples").glob("*.json")):
        members[f"package/example/{path.name}"] = _text(fhir.decode(path.read_bytes()))
    members["package/.index.json"] = _text(_index(whole))
    return _archive({"package/package.json": _text(manifest), **dict(sorted(members.items()))})


def _manifest(folder: Path) -> Any:
    path = folder / "package.json"
    manifest = fhir.decode(path.read_bytes()) if path.is_file() else None
    if not isinstance(manifest, dict) or not manifest.get("name") or not manifest.get("version"):
        raise Malformed("The folder has no package.json with a name and a version.")
    return manifest


def _with_snapshot(definition: Any, definitions: Definitions) -> Any:
    """
    A StructureDefinition with its snapshot.

    raises          Malformed: what the differential says cannot be so
    """
    if definition["resourceType"] != "StructureDefinition":
        return definition
    made = definitions.snapshot(definition)
    wrong = tuple(one for one in made.issues if one.severity in ("error", "fatal"))
    if wrong:
        raise Malformed(issues=wrong)
    rows = [_told(row) for row in made.rows]
    kept = {name: value for name, value in definition.items() if name != "differential"}
    return {**kept, "snapshot": {"element": rows}, "differential": definition["differential"]}


def _told(row: fhir.Resource) -> fhir.Resource:
    """
    An element with the words that R4 asks of a snapshot (sdf-3, sdf-10, eld-18).

    The guides that come with the service come without prose, so an element that says nothing of
    itself points at the one that it is of.
    """
    of = f"As {row.get('base', {}).get('path') or row['path']} is defined."
    told = {**row, "definition": row.get("definition", of)}
    if row.get("isModifier"):
        told.setdefault("isModifierReason", of)
    binding = row.get("binding")
    if binding and not binding.get("valueSet"):
        told["binding"] = {"description": of, **binding}
    return told


def _guide(guide: Any, whole: dict[str, Any]) -> Any:
    """The ImplementationGuide with the list of what is in the package."""
    listed = [
        {
            "reference": {"reference": f"{one['resourceType']}/{one['id']}"},
            "name": one.get("title", one["id"]),
            "exampleBoolean": False,
        }
        for one in whole.values()
        if one is not guide
    ]
    return {**guide, "definition": {**guide.get("definition", {}), "resource": listed}}


def _index(whole: dict[str, Any]) -> Any:
    files = [
        {
            "filename": name,
            "resourceType": one["resourceType"],
            **{key: one[key] for key in _INDEXED if isinstance(one.get(key), str)},
        }
        for name, one in whole.items()
    ]
    return {"index-version": 2, "files": files}


def _text(value: Any) -> bytes:
    return fhir.encode(value) + b"\n"


def _archive(members: dict[str, bytes]) -> bytes:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, raw in members.items():
            header = tarfile.TarInfo(name)
            header.size, header.mode = len(raw), 0o644
            archive.addfile(header, io.BytesIO(raw))
    return gzip.compress(tar.getvalue(), 9, mtime=0)
