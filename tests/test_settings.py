"""A setting that was written wrongly stops the start and is named; none is passed over."""

import asyncio

import pytest

from app import main, settings

INBOX = {"id": "inbox", "kind": "cps-report", "role": "source"}
INTAKE = {"id": "intake", "kind": "cps-report", "role": "recipient"}


def tenant(*shelves, **more):
    return {"id": "agency", "name": "Agency", "shelves": list(shelves), **more}


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ({"public_url": "kinbridge.example.org"}, "settings: public_url: "),
        ({"public_url": "https://kinbridge.example.org/?a=b"}, "settings: public_url: "),
        ({"tenants": [tenant(INTAKE, identifiers=["1234567893"])]}, "tenants.0.identifiers: "),
        ({"tenants": [tenant(INTAKE), tenant(INBOX)]}, "a tenant stands twice"),
        ({"tenants": [tenant(INTAKE, {**INTAKE, "id": "second"})]}, "tenants.0.shelves: "),
        ({"tenants": [tenant({**INBOX, "audience": "reporter"})]}, "tenants.0.shelves.0: "),
        ({"tenants": [tenant({**INBOX, "person": "urn:npi|1"})]}, "tenants.0.shelves.0: "),
        (
            {"tenants": [tenant({**INBOX, "audience": "treating", "person": "1"})]},
            "system|value",
        ),
    ],
)
def test_what_would_never_be_met_is_refused(said, at):
    """A name that no partner carries, an inbox of nobody: whoever waits there would wait for good."""
    with pytest.raises(settings.SettingsError) as refusal:
        settings.read(**said)

    assert at in str(refusal.value)


def test_a_jurisdiction_that_is_not_on_file_is_refused(tmp_path):
    """Mistyped, it would leave the family without its hotline and the reporter without a deadline."""
    read = settings.read(
        database_url=f"sqlite:///{tmp_path / 'x.db'}",
        tenants=[tenant(INTAKE, jurisdiction="exmaple")],
    )

    with pytest.raises(settings.SettingsError, match="agency: jurisdiction: "):
        asyncio.run(main.open_service(read))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "tcp://10.0.0.1:8000"), ("DATABASE_URL", "mysql://x"), ("TENANTS", "agency")],
)
def test_a_variable_is_named_and_not_the_file(tmp_path, monkeypatch, name, value):
    """Who looks for the fault in the file does not find it there."""
    file = tmp_path / "kinbridge.toml"
    file.write_text("port = 8001")
    monkeypatch.setenv(f"KINBRIDGE_{name}", value)

    with pytest.raises(settings.SettingsError) as refusal:
        settings.read(file)

    assert str(refusal.value).startswith("KINBRIDGE_")
    assert name in str(refusal.value).upper()
    assert "kinbridge.toml" not in str(refusal.value)
    assert value not in str(refusal.value)


def test_a_variable_that_no_setting_is_read_from_is_said(monkeypatch):
    """With the database's name mistyped the service would begin an empty one, and say nothing of it."""
    monkeypatch.setenv("KINBRIDGE_DATABASE", "postgresql://kinbridge@db/kinbridge")
    monkeypatch.setenv("KINBRIDGE_PUBLIC_URL", "https://kinbridge.example.org")

    assert "KINBRIDGE_DATABASE" in settings.unread()
    assert "KINBRIDGE_PUBLIC_URL" not in settings.unread()
