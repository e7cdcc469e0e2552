"""Packages: what is read of them, and what is refused."""

from __future__ import annotations

import gzip
import io
import json
import tarfile

import pytest

from app.conformance import Definitions, packages
from app.errors import Malformed, TooLarge


def archive(*members, mode="w:gz"):
    """A package of (name, bytes) or ready-made TarInfo."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as made:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                made.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                made.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


def manifest(name, version, **dependencies):
    said = {"name": name, "version": version, "dependencies": dependencies}
    return "package/package.json", json.dumps(said).encode()


def value_set(version, code):
    made = {
        "resourceType": "ValueSet",
        "url": "http://example.org/set",
        "version": version,
        "compose": {
            "include": [{"system": "http://example.org/codes", "concept": [{"code": code}]}]
        },
    }
    return f"package/ValueSet-{version}.json", json.dumps(made).encode()


def test_versions_stand_side_by_side():
    """A canonical with a version means that version, and without it the newest."""
    definitions = Definitions()
    definitions.add(archive(manifest("one", "1.0.0"), value_set("1.9.0", "old")))
    definitions.add(archive(manifest("one", "2.0.0"), value_set("1.10.0", "new")))

    found = {
        version: definitions.find(f"http://example.org/set{version}")[1].version
        for version in ("", "|1.9.0", "|1.10", "|1")
    }

    assert found == {"": "1.10.0", "|1.9.0": "1.9.0", "|1.10": "1.10.0", "|1": "1.10.0"}
    assert definitions.find("http://example.org/set|3") is None


def test_a_package_sees_what_it_depends_on():
    """Within a guide a canonical without version means the version that the guide depends on."""
    old = packages.read_archive(archive(manifest("one", "1.0.0"), value_set("1.0.0", "old")))
    new = packages.read_archive(archive(manifest("one", "2.0.0"), value_set("2.0.0", "new")))
    guide = packages.read_archive(archive(manifest("guide", "1.0.0", one="1.0.0")))
    definitions = Definitions()
    for package in (old, new, guide):
        definitions.add(package)

    found = definitions.find("http://example.org/set", within=guide)

    assert found[1].version == "1.0.0"


def test_a_folder_and_a_single_file_are_packages_too(tmp_path):
    """A definition is found whether it came in an archive, a folder or alone."""
    name, raw = value_set("1.0.0", "one")
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose" / "set.json").write_bytes(raw)

    for source in (tmp_path / "loose", tmp_path / "loose" / "set.json", tmp_path, raw):
        definitions = Definitions()
        definitions.add(source)
        assert definitions.resource("http://example.org/set")["version"] == "1.0.0", name


@pytest.mark.parametrize("path", ["../evil.json", "/etc/evil.json", "package/../../evil.json"])
def test_a_path_that_leads_out_is_refused(path):
    """Nobody makes the service write or read beside a package."""
    with pytest.raises(Malformed):
        packages.read_archive(archive((path, b"{}")))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_a_link_or_a_device_is_refused(kind):
    """A package has files in it and nothing that stands for something else."""
    link = tarfile.TarInfo("package/evil.json")
    link.type = kind
    link.linkname = "/etc/passwd"

    with pytest.raises(Malformed):
        packages.read_archive(archive(link))


def test_a_bomb_is_refused_before_it_fills_the_memory(monkeypatch):
    """What unpacks to more than any guide is not unpacked to its end."""
    monkeypatch.setattr(packages, "MAX_UNPACKED", 2**20)
    bomb = archive(("package/bomb.json", b" " * 2**24))

    assert len(bomb) < 2**16
    with pytest.raises(TooLarge):
        packages.read_archive(bomb)


def test_a_member_that_lies_about_its_size_is_refused():
    """A header that says more than there is ends the reading."""
    whole = gzip.decompress(archive(("package/one.json", b"{}" * 4000)))

    with pytest.raises(Malformed):
        packages.read_archive(gzip.compress(whole[:3000]))


@pytest.mark.parametrize(
    "raw", [b"", b"\x1f\x8b", b"\x1f\x8bnonsense", gzip.compress(b"no tar" * 200, mtime=0)]
)
def test_what_is_no_archive_is_refused(raw):
    """Bytes that are no package are said to be none."""
    with pytest.raises(Malformed):
        packages.read_archive(raw)


def test_a_definition_nested_without_end_is_refused():
    """A definition is JSON like any other, and no deeper than it may be."""
    deep = b'{"resourceType":"ValueSet","url":' + b"[" * 100_000 + b"]" * 100_000 + b"}"

    with pytest.raises(Malformed):
        packages.read_archive(archive(("package/deep.json", deep)))


def test_a_value_set_that_includes_itself_ends():
    """Of a value set that goes in a circle nothing is said."""
    circle = {
        "resourceType": "ValueSet",
        "url": "http://example.org/circle",
        "compose": {"include": [{"valueSet": ["http://example.org/circle"]}]},
    }
    definitions = Definitions()
    definitions.add(json.dumps(circle).encode())

    assert definitions.terminology.codes("http://example.org/circle").has("any", "one") is None


def test_what_comes_with_the_service_has_no_snomed_lists(definitions):
    """No list of SNOMED CT or CPT codes is handed on, and what lost its list says so."""
    withheld = 0
    for package, entry in definitions.entries("ValueSet"):
        for include in package.read(entry).get("compose", {}).get("include", []):
            if include.get("system") in (
                "http://snomed.info/sct",
                "http://www.ama-assn.org/go/cpt",
            ):
                assert "concept" not in include
                withheld += include.get("withheld", False)

    assert withheld > 40


def test_the_compiled_guides_are_small():
    """What is kept in the repository stays a few megabytes."""
    from app import conformance

    total = sum(path.stat().st_size for path in conformance.folder().glob("*.pack"))

    assert 10**6 < total < 8 * 10**6
