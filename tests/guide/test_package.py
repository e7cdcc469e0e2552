"""`kinbridge profiles package`: an installable FHIR package, the same bytes each time."""

import gzip
import io
import json
import subprocess
import sys
import tarfile

import pytest
from guided import DEFINITIONS, EXAMPLES, GUIDE, read

from app.conformance import packages, packing
from app.errors import Malformed


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    path = tmp_path_factory.mktemp("package") / "package.tgz"
    command = [sys.executable, "-m", "app.cli", "profiles", "package", "--output", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


def members(raw):
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        return {one.name: archive.extractfile(one).read() for one in archive}


def test_the_package_is_the_same_twice(package, loaded):
    """Made again, by another process at another time, it has the same bytes."""
    raw = package.read_bytes()

    assert packing.pack(GUIDE, loaded) == raw
    assert gzip.decompress(raw)[257:262] == b"ustar"


def test_the_package_has_everything(package):
    """Every definition and every good example is in it, and the index names each definition."""
    found = members(package.read_bytes())

    for path in DEFINITIONS:
        assert f"package/{path.name}" in found
    for path in EXAMPLES:
        assert json.loads(found[f"package/example/{path.name}"]) == read(path)
    index = json.loads(found["package/.index.json"])
    assert {one["filename"] for one in index["files"]} == {one.name for one in DEFINITIONS}
    assert all(one["url"] for one in index["files"])


def test_every_profile_in_the_package_has_a_snapshot(package):
    """A snapshot holds at least what the differential says, and every element of it is defined."""
    for name, raw in members(package.read_bytes()).items():
        if name.startswith("package/StructureDefinition-"):
            found = json.loads(raw)
            rows = {one["id"]: one for one in found["snapshot"]["element"]}
            for told in found["differential"]["element"]:
                assert told["id"] in rows, (name, told["id"])
                assert told.get("min", 0) <= rows[told["id"]]["min"]
            assert all(one["definition"] for one in rows.values())


def test_the_guide_lists_its_package(package):
    """The ImplementationGuide names every other definition."""
    found = members(package.read_bytes())
    guide = next(json.loads(raw) for name, raw in found.items() if "/ImplementationGuide-" in name)

    listed = {one["reference"]["reference"] for one in guide["definition"]["resource"]}

    named = {path.stem.replace("-", "/", 1) for path in DEFINITIONS}
    assert listed == named - {f"ImplementationGuide/{guide['id']}"}


def test_the_package_can_be_loaded(package):
    """Our own loader reads it back, with its name, version and dependencies."""
    found = packages.read_archive(package.read_bytes())

    assert (found.name, len(found.entries)) == ("kinbridge.fhir.us.childwelfare", len(DEFINITIONS))
    assert found.dependencies["hl7.fhir.us.core"] == "7.0.0"


def test_a_folder_without_a_manifest_is_refused(tmp_path, loaded):
    """A folder that says neither name nor version becomes no package."""
    with pytest.raises(Malformed):
        packing.pack(tmp_path, loaded)
