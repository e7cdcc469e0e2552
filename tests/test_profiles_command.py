"""kinbridge profiles: guides are added, listed, taken out, made whole and compared."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app

SHARED = Path(__file__).parents[2] / "shared"
BASE = "http://hl7.org/fhir/StructureDefinition/"
URL = "http://example.org/StructureDefinition/named"


def named(*rows, version="1.0.0"):
    return {
        "resourceType": "StructureDefinition", "url": URL, "version": version, "name": "Named",
        "status": "draft", "kind": "resource", "abstract": False, "type": "Patient",
        "derivation": "constraint", "baseDefinition": BASE + "Patient",
        "differential": {"element": [{"id": "Patient", "path": "Patient"}, *rows]},
    }  # fmt: skip


def element(path, **more):
    return {"id": path, "path": path, **more}


def package(name, version, *definitions, dependencies=None):
    """The bytes of a FHIR package."""
    manifest = {"name": name, "version": version, "dependencies": dependencies or {}}
    members = {"package.json": manifest}
    members |= {f"d{at}.json": one for at, one in enumerate(definitions)}
    to = io.BytesIO()
    with tarfile.open(fileobj=to, mode="w") as archive:
        for file, content in members.items():
            raw = json.dumps(content).encode()
            info = tarfile.TarInfo(f"package/{file}")
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))
    return gzip.compress(to.getvalue(), mtime=0)


FIRST = package("example.guide", "1.0.0", named(element("Patient.name", min=1)),
                dependencies={"hl7.fhir.r4.core": "4.0.1", "example.base": "2.0.x"})  # fmt: skip
NEXT = package("example.guide", "1.1.0", named(element("Patient.name", min=2), version="1.1.0"))
BELOW = package("example.base", "2.0.7", {
    "resourceType": "ValueSet", "url": "http://example.org/ValueSet/x", "version": "2.0.7"})  # fmt: skip


@dataclass
class Registry:
    """A package registry on this machine; what it serves can be spoilt."""

    url: str = ""
    archives: dict[tuple[str, str], bytes] = field(default_factory=dict)
    dist: dict[str, object] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str) -> tuple[int, bytes]:
        name, _, version = path.strip("/").partition("/")
        if (name, version) in self.archives:
            return 200, self.archives[name, version]
        known = {v: raw for (n, v), raw in self.archives.items() if n == name}
        if version or not known:
            return 404, b"{}"
        versions = {
            v: {"name": name, "version": v, "dist": {
                "shasum": hashlib.sha1(raw).hexdigest(), "tarball": f"{self.url}/{name}/{v}",
                **self.dist}}
            for v, raw in known.items()
        }  # fmt: skip
        said = {"name": name, "dist-tags": {"latest": max(known)}, "versions": versions}
        return 200, json.dumps(said).encode()


@pytest.fixture
def registry():
    made = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            made.asked.append(self.path)
            status, body = made.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    made.archives = {
        ("example.guide", "1.0.0"): FIRST, ("example.guide", "1.1.0"): NEXT,
        ("example.base", "2.0.7"): BELOW, ("example.base", "2.1.0"): BELOW,
    }  # fmt: skip
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(tmp_path, monkeypatch, registry):
    """The command, with a folder and a registry of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KINBRIDGE_PACKAGES", str(tmp_path / "added"))
    monkeypatch.setenv("KINBRIDGE_REGISTRY_URL", registry.url)

    def call(*words, command="profiles"):
        return CliRunner().invoke(app, [command, *map(str, words)])

    return call


def added(run):
    rows = json.loads(run("list", "--format", "json").stdout)
    return {(one["name"], one["version"]) for one in rows if one["sha256"]}


def test_a_package_is_fetched_by_its_name(run, registry):
    """NAME@VERSION comes from the registry, is listed with where it came from, and is used."""
    result = run("add", "example.guide@1.0.0")

    assert result.exit_code == 0, result.stderr
    assert added(run) == {("example.guide", "1.0.0")}
    assert "needs example.base 2.0.x" in result.stderr
    assert f"{registry.url}/example.guide/1.0.0" in run("list").stdout
    Path("one.json").write_text('{"resourceType": "Patient"}')
    checked = run("one.json", "--profile", URL, command="validate")
    assert checked.exit_code == 1
    assert "error: Patient [cardinality]" in checked.stdout


@pytest.mark.parametrize(
    ("wanted", "version"),
    [("example.guide", "1.1.0"), ("example.guide@latest", "1.1.0"), ("example.guide#1.0.0", "1.0.0"),
     ("example.guide@1.0.x", "1.0.0"), ("example.guide@1.x", "1.1.0")],
)  # fmt: skip
def test_versions_are_named_as_registries_name_them(run, wanted, version):
    """Latest, an exact version, and the newest of a series."""
    assert run("add", wanted).exit_code == 0
    assert added(run) == {("example.guide", version)}


def test_what_a_package_depends_on_comes_too_where_it_is_asked_for(run):
    """--dependencies fetches what is not loaded, and leaves out what comes with the service."""
    result = run("add", "example.guide@1.0.0", "--dependencies")

    assert result.exit_code == 0, result.stderr
    assert added(run) == {("example.guide", "1.0.0"), ("example.base", "2.0.7")}


@pytest.mark.parametrize(
    ("dist", "word"),
    [
        ({"shasum": "0" * 40}, "shasum"),
        ({"integrity": "sha512-AAAA"}, "integrity"),
        ({"shasum": ""}, "no checksum"),
        ({"tarball": "file:///etc/passwd"}, "neither itself nor https"),
        ({"tarball": "http://192.0.2.1/x.tgz"}, "neither itself nor https"),
    ],
)
def test_what_is_not_what_was_promised_is_not_added(run, registry, dist, word):
    """A checksum that differs, none at all, or an address elsewhere: nothing is added, and why."""
    registry.dist = dist

    result = run("add", "example.guide@1.0.0")

    assert result.exit_code == 2
    assert word in result.stderr
    assert added(run) == set()


def test_a_checksum_can_be_pinned(run):
    """--sha256 is held against what the registry sends, and against a file."""
    Path("guide.tgz").write_bytes(FIRST)
    digest = hashlib.sha256(FIRST).hexdigest()

    assert run("add", "example.guide@1.0.0", "--sha256", "0" * 64).exit_code == 2
    assert run("add", "guide.tgz", "--sha256", "0" * 64).exit_code == 2
    assert added(run) == set()
    assert run("add", "example.guide@1.0.0", "--sha256", digest).exit_code == 0


def test_another_package_under_the_name_is_refused(run, registry):
    """An archive that says it is something else is not added."""
    registry.archives["example.guide", "9.9.9"] = BELOW

    assert "another package" in run("add", "example.guide@9.9.9").stderr
    assert added(run) == set()


@pytest.mark.parametrize("wanted", ["example.none@1.0.0", "example.guide@7.0.0", "../x@1", "a b"])
def test_what_the_registry_does_not_have_is_said(run, wanted):
    """A name or a version that is not there ends with exit 2 and a sentence."""
    result = run("add", wanted)

    assert result.exit_code == 2
    assert result.stderr.startswith("kinbridge: ")


def test_a_registry_that_is_not_there_is_said(run):
    """No answer is an exit 2, and no stack trace."""
    result = run("add", "example.guide", "--registry", "http://127.0.0.1:9")

    assert result.exit_code == 2
    assert "does not answer" in result.stderr


def test_files_folders_and_definitions_are_added(run):
    """A package, a folder of definitions and a single definition, in JSON or XML."""
    Path("guide.tgz").write_bytes(FIRST)
    Path("one.json").write_text(json.dumps(named(element("Patient.name", min=1))))
    Path("loose").mkdir()
    Path("loose/package.json").write_text('{"name": "loose", "version": "0.1"}')
    Path("loose/d.json").write_text(json.dumps(named()))

    result = run("add", "guide.tgz", "one.json", "loose")

    assert result.exit_code == 0, result.stderr
    assert added(run) == {
        ("example.guide", "1.0.0"), ("loose", "0.1"),
        ("example.org-StructureDefinition-named", "1.0.0"),
    }  # fmt: skip


def test_the_same_again_changes_nothing_and_another_of_the_same_name_is_refused(run):
    """What is there is never replaced unasked."""
    Path("guide.tgz").write_bytes(FIRST)
    Path("other.tgz").write_bytes(package("example.guide", "1.0.0", named()))

    assert [run("add", one).exit_code for one in ("guide.tgz", "guide.tgz", "other.tgz")] == [
        0,
        0,
        2,
    ]
    assert run("remove", "example.guide@1.0.0").exit_code == 0
    assert added(run) == set()
    assert run("remove", "example.guide").exit_code == 2
    assert run("add", "other.tgz").exit_code == 0


def test_a_pack_that_was_changed_on_disk_is_not_loaded(run, tmp_path):
    """What lies in the folder is what was added, or nothing is checked."""
    run("add", "example.guide@1.0.0")
    (pack,) = (tmp_path / "added").glob("*.pack")
    pack.write_bytes(pack.read_bytes() + b"x")
    Path("one.json").write_text('{"resourceType": "Patient"}')

    assert run("list").exit_code == 2
    assert run("one.json", command="validate").exit_code == 2


def test_the_service_loads_what_was_added(run, tmp_path):
    """The folder of the settings is read at the start of the service."""
    import asyncio

    from app import settings
    from app.main import open_service

    run("add", "example.guide@1.0.0")
    read = settings.read(database_url=f"sqlite:///{tmp_path / 'x.db'}")

    async def look():
        service = await open_service(read)
        try:
            return service.definitions.resource(URL, "StructureDefinition")
        finally:
            await service.partners.close()
            await service.database.close()

    assert asyncio.run(look())["url"] == URL


def test_a_profile_is_made_whole(run):
    """The command writes the definition with every element, from a file or by its canonical."""
    Path("one.json").write_text(json.dumps(named(element("Patient.name", min=1))))
    run("add", "example.guide@1.0.0")

    for profile in ("one.json", URL):
        result = run("snapshot", profile)

        rows = {row["id"]: row for row in json.loads(result.stdout)["snapshot"]["element"]}
        assert result.exit_code == 0
        assert rows["Patient.name"]["min"] == 1
        assert "Patient.birthDate" in rows


def test_a_profile_that_cannot_be_is_said_and_exits_1(run):
    """What contradicts the base is named on standard error."""
    Path("one.json").write_text(json.dumps(named(element("Patient.bogus", min=1))))

    result = run("snapshot", "one.json")

    assert result.exit_code == 1
    assert "error: Patient.bogus" in result.stderr


def test_what_a_new_version_changes_is_told_by_element(run):
    """Cardinality, type, binding, value and what came or went, each with its effect."""
    old = named(
        element("Patient.name", min=1), element("Patient.gender", min=1),
        element("Patient.contact", slicing={"discriminator": [{"type": "value", "path": "gender"}],
                                            "rules": "open"}),
        {"id": "Patient.contact:mother", "path": "Patient.contact", "sliceName": "mother"},
    )  # fmt: skip
    new = named(
        element("Patient.name", min=0, max="1"),
        element("Patient.gender", min=1, patternCode="female"),
        element("Patient.deceased[x]", type=[{"code": "boolean"}]),
        element("Patient.maritalStatus", binding={
            "strength": "required", "valueSet": "http://hl7.org/fhir/ValueSet/marital-status"}),
        element("Patient.photo", max="0"),
        version="2.0.0",
    )  # fmt: skip
    Path("old.json").write_text(json.dumps(old))
    Path("new.json").write_text(json.dumps(new))

    said = json.loads(run("diff", "old.json", "new.json", "--format", "json").stdout)
    text = run("diff", "old.json", "new.json").stdout

    found = {(one["element"], one["what"], one["effect"]) for one in said["changed"][URL]}
    assert found >= {
        ("Patient.name", "cardinality", "both"),
        ("Patient.gender", "value", "stricter"),
        ("Patient.deceased[x]", "type", "stricter"),
        ("Patient.maritalStatus", "binding", "stricter"),
        ("Patient.photo", "cardinality", "stricter"),
        ("Patient.contact", "slicing", "other"),
    }
    assert {one["what"] for one in said["changed"][URL] if "mother" in one["element"]} == {
        "removed"
    }
    assert "  Patient.name: cardinality: 1..* -> 0..1 [both]" in text
    assert (
        json.loads(run("diff", "old.json", "old.json", "--format", "json").stdout)["changed"] == {}
    )


@pytest.mark.shared
def test_us_core_6_and_7_are_compared(run):
    """Between two versions of US Core: which profiles came and went, and what became stricter."""
    old = SHARED / "packages/hl7.fhir.us.core-6.1.0.tgz"

    result = run("diff", old, "hl7.fhir.us.core@7.0.0", "--format", "json")

    said = json.loads(result.stdout)
    patient = said["changed"]["http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"]
    assert result.exit_code == 0
    assert "us-core-average-blood-pressure" in " ".join(said["added"])
    assert len(said["removed"]) < len(said["changed"])
    assert all(re.fullmatch(r"stricter|looser|both|other", one["effect"]) for one in patient)
    narrow = run("diff", old, "hl7.fhir.us.core@7.0.0", "--profile", "us-core-patient")
    assert narrow.stdout.endswith("1 of 1 profiles change\n")
