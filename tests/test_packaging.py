"""What is shipped: the wheel from an empty directory, the image's parts, the tables, the lock."""

import asyncio
import re
import shlex
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from typer.testing import CliRunner

from app import settings
from app.cli import app as cli
from app.storage import migration
from app.storage.tables import METADATA

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_has_its_data(wheel):
    """Mappings and profiles are in the wheel, and nothing that belongs to the checkout."""
    names = zipfile.ZipFile(wheel).namelist()

    assert "app/mappings/disclosure.toml" in names
    assert any(name.startswith("app/fhir_profiles/") for name in names)
    assert "app/fhir_profiles/kinbridge/StructureDefinition-cps-report-request.json" in names
    assert "app/fhir_profiles/kinbridge/examples/report.json" in names
    assert not [name for name in names if name.startswith(("tests/", "mappings/"))]


def test_the_wheel_works_from_an_empty_directory(wheel, tmp_path):
    """Installed elsewhere, the command finds its rules without the checkout."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    zipfile.ZipFile(wheel).extractall(site)
    ours = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "others.pth").write_text(ours)
    empty = tmp_path / "empty"
    empty.mkdir()

    code = "import app, app.cli; print(app.__file__); app.cli.app(['policy', 'explain'])"
    done = subprocess.run(
        [tmp_path / "venv/bin/python", "-c", code],
        cwd=empty,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.startswith(str(site))
    assert "report-with-attestation" in done.stdout


def test_the_images_parts_are_there():
    """Each path that the Dockerfile copies exists, its commands exist, it is not root and has a health check."""
    text = (ROOT / "Dockerfile").read_text()

    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        for source in shlex.split(line)[:-1]:
            assert (ROOT / source).exists(), source
    assert re.search(r"^USER kinbridge$", text, re.MULTILINE)
    assert "HEALTHCHECK" in text
    command = [sys.executable, "-m", "app.cli", "serve", "--help"]
    assert subprocess.run(command, capture_output=True, check=True).stdout


def test_the_image_asks_for_clients(tmp_path):
    """With the image's own settings and no client, the start is refused."""
    from app import settings
    from app.main import NotRegistered, build

    found = re.findall(r"(KINBRIDGE_[A-Z_]+)=(\S+)", (ROOT / "Dockerfile").read_text())
    values = {name.removeprefix("KINBRIDGE_").lower(): value for name, value in found}
    values["database_url"] = values["database_url"].replace("/data", str(tmp_path))

    with pytest.raises(NotRegistered):
        asyncio.run(build(settings.read(**values)))


def test_the_migrations_make_the_tables(tmp_path):
    """What the migrations make is what the program expects, to the last column and index."""
    url = f"sqlite:///{tmp_path / 'k.db'}"
    migration.migrate(url)

    with sqlalchemy.create_engine(url).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_no_two_test_files_have_one_name():
    """Run together, the second would not be read: the whole run fails, and each folder passes."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]

    assert sorted(names) == sorted(set(names))


def test_the_lock_names_no_host():
    """Every requirement is pinned with hashes, and none says where it came from."""
    for name in ("requirements.lock", "requirements.runtime.lock"):
        text = (ROOT / name).read_text()
        assert "://" not in text
        assert "--hash=sha256:" in text
    assert "pytest" not in text


def test_policy_explain_says_every_rule():
    """A privacy officer reads each rule with its basis, what it requires and what it shows."""
    command = [sys.executable, "-m", "app.cli", "policy", "explain"]

    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    for rule in (
        "report-with-attestation",
        "referral-with-consent",
        "progress-with-consent",
        "receipt",
    ):
        assert rule in said
    assert "What no rule permits is denied" in said
    assert "45 CFR 164.512(b)(1)(ii)" in said


def test_policy_explain_says_the_rules_that_are_in_force(tmp_path):
    """Where the service reads rules of its own, the officer is shown those and no others."""
    shutil.copytree(settings.folder("mappings"), tmp_path / "mappings")
    rules = tmp_path / "mappings" / "disclosure.toml"
    rules.write_text(rules.read_text().replace('id = "receipt"', 'id = "our-receipt"'))
    config = tmp_path / "kinbridge.toml"
    config.write_text(f'mappings = "{tmp_path}/mappings"\n')

    by_file = CliRunner().invoke(cli, ["policy", "explain", "--config", str(config)])
    by_environment = CliRunner(env={"KINBRIDGE_MAPPINGS": str(tmp_path / "mappings")}).invoke(
        cli, ["policy", "explain"]
    )

    assert "our-receipt" in by_file.stdout
    assert "our-receipt" in by_environment.stdout
