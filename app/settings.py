"""Every setting, read once: a TOML file, overridden by KINBRIDGE_… variables, by the command line."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

Kind = Literal["family-support", "cps-report"]
Role = Literal["source", "recipient"]
Audience = Literal["organization", "reporter", "treating"]

CANONICAL: Final = "https://kinbridge.example.org/fhir"
BY_TENANT: Final = f"{CANONICAL}/sid/tenant"  # the system of a tenant's name here
BY_EXCHANGE: Final = f"{CANONICAL}/sid/exchange"  # of an exchange's id
BY_COPY: Final = f"{CANONICAL}/sid/copy"  # of a copy's id here
_APP: Final = Path(__file__).parent
_VARIABLE: Final = "KINBRIDGE_"
_NAME: Final = r"^[a-z][a-z0-9-]{0,62}$"
_ORIGIN: Final = re.compile(
    r"(?P<scheme>https?)://(?:[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::(?P<port>\d{1,5}))?"
)
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_NUMBER: Final = re.compile(r"[^\s|]+\|\S(.*\S)?")  # system|value
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


def folder(name: str) -> Path:
    """A data folder that comes with the service: inside the wheel, or beside app/ in a checkout."""
    inside = _APP / name
    return inside if inside.is_dir() else _APP.parent / name


class SettingsError(Exception):
    """A setting that cannot be read; the text names file and key, never a value."""


def is_near(host: str) -> bool:
    """Whether a name is this machine's, or one without a dot, which nobody has on the net."""
    return host in _LOOPBACK or host.endswith(".localhost") or not {".", ":"} & {*host}


class Smart(BaseModel):
    """How a partner's server knows us: SMART Backend Services, with a key of our own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client_id: str = Field(min_length=1)
    key: Path  # a private JWK, as `kinbridge partner key` makes it
    scope: str = "system/*.cruds"
    token_url: str = Field(default="", pattern=r"^(https?://\S+)?$")  # "": the server says it


class Endpoint(BaseModel):
    """A partner's own FHIR server, to which what stands on its shelf is pushed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(pattern=r"^https?://[^\s?#]+$")
    plain: bool = False  # without encryption, over a network on which nobody else is
    username: str = ""
    password: SecretStr = SecretStr("")
    smart: Smart | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.smart and self.username:
            message = "a partner knows us by username or by smart, not by both"
            raise ValueError(message)
        for url in (self.url, self.smart.token_url if self.smart else ""):
            if url.startswith("http:") and not (
                self.plain or is_near(urlsplit(url).hostname or "")
            ):
                message = (
                    "by http a child's record goes in clear, and so does the password: use https,"
                    " or say plain = true where nobody else is on that network"
                )
                raise ValueError(message)
        return self


class Contact(BaseModel):
    """Whom a clinician calls when the agency's Task names nobody."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    phone: str


class Shelf(BaseModel):
    """One purpose, one audience, one FHIR base: /{tenant}/{shelf}/fhir."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=_NAME)
    kind: Kind
    role: Role
    endpoint: Endpoint | None = None
    audience: Audience = "organization"  # whose inbox a source shelf for reports is
    person: str = ""  # system|value of the Practitioner whose inbox it is
    strict: bool = False  # refuse what is otherwise stored and reported
    environment: str = Field(default="production", pattern=_NAME)  # whose crosswalk it reads
    tenant: str = ""  # set from the tenant that owns it

    @model_validator(mode="after")
    def _of_somebody(self) -> Self:
        """An inbox of nobody would be told nothing, and nobody would know why."""
        if (self.audience == "organization") is not (not self.person):
            message = "an inbox has both: audience, reporter or treating, and person"
            raise ValueError(message)
        if self.person and not _NUMBER.fullmatch(self.person):
            message = "a person is written as system|value, as in Practitioner.identifier"
            raise ValueError(message)
        return self

    @cached_property
    def key(self) -> str:
        """Tenant and shelf, the start of every key in storage."""
        return f"{self.tenant}/{self.id}"


class Tenant(BaseModel):
    """An organization and its shelves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=_NAME)
    name: str
    identifiers: tuple[str, ...] = ()  # system|value, as its partners know it
    jurisdiction: str = ""
    contact: Contact | None = None
    shelves: tuple[Shelf, ...]

    @model_validator(mode="before")
    @classmethod
    def _own(cls, data: object) -> object:
        if isinstance(data, dict) and isinstance(data.get("shelves"), (list, tuple)):
            owned = [
                {**shelf, "tenant": data.get("id", "")} if isinstance(shelf, dict) else shelf
                for shelf in data["shelves"]
            ]
            return {**data, "shelves": owned}
        return data

    @field_validator("shelves")
    @classmethod
    def _one_desk(cls, shelves: tuple[Shelf, ...]) -> tuple[Shelf, ...]:
        kinds = [one.kind for one in shelves if one.role == "recipient"]
        if len({*kinds}) != len(kinds):
            message = "a second shelf that receives the same kind would get nothing"
            raise ValueError(message)
        return shelves

    @field_validator("identifiers")
    @classmethod
    def _numbers(cls, identifiers: tuple[str, ...]) -> tuple[str, ...]:
        if not all(map(_NUMBER.fullmatch, identifiers)):
            message = "each is written as system|value, as its partners' Organization.identifier"
            raise ValueError(message)
        return identifiers

    @property
    def names(self) -> set[str]:
        """What it is known by, system|value: its own name here, and what its partners call it."""
        return {f"{BY_TENANT}|{self.id}", *self.identifiers}

    def shelf(self, *, kind: Kind, role: Role) -> Shelf | None:
        return next((one for one in self.shelves if (one.kind, one.role) == (kind, role)), None)


_CLINIC: Final = {
    "id": "clinic",
    "name": "Clinic",
    "shelves": [
        {"id": "chart", "kind": "family-support", "role": "source"},
        {"id": "reports", "kind": "cps-report", "role": "source"},
    ],
}
_AGENCY: Final = {
    "id": "agency",
    "name": "Child welfare agency",
    "jurisdiction": "example",
    "shelves": [
        {"id": "support", "kind": "family-support", "role": "recipient"},
        {"id": "intake", "kind": "cps-report", "role": "recipient"},
    ],
}


class Settings(BaseSettings):
    """Durations are seconds, sizes are bytes."""

    model_config = SettingsConfigDict(env_prefix=_VARIABLE, extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    database_url: str = Field(
        default="sqlite:///kinbridge.db", pattern="^(sqlite:///|postgresql://).+"
    )
    owner_url: str = Field(
        default="", pattern="^(postgresql://.+)?$"
    )  # for migrate, backup, restore
    database_connections: int = Field(default=10, ge=2)  # PostgreSQL: for each process, at most
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()  # of pages that call from a browser
    public_url: str = Field(
        default="", pattern=r"^(https?://[^\s?#/]+[^\s?#]*)?$"
    )  # how partners reach this service; http://host:port when empty
    mappings: Path = folder("mappings")
    packages: Path = Path("kinbridge-packages")  # FHIR packages, put there by `profiles add`
    registry_url: str = Field(default="https://packages.fhir.org", pattern="^https?://.+")
    max_body_bytes: int = Field(default=10 * 2**20, gt=0)
    max_binary_bytes: int = Field(default=20 * 2**20, gt=0)  # of content that is sent as it is
    retry_first_seconds: float = Field(default=1.0, gt=0)
    retry_longest_seconds: float = Field(default=3600.0, gt=0)
    retry_give_up_seconds: float = Field(default=5 * 86400.0, gt=0)
    tenants: tuple[Tenant, ...] = (Tenant.model_validate(_CLINIC), Tenant.model_validate(_AGENCY))

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _listed(cls, said: object) -> object:
        """A variable has them in one line, with commas between."""
        return tuple(said.replace(",", " ").split()) if isinstance(said, str) else said

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        """One that no browser ever sends would let nobody in, and nobody would know why."""
        if origins == ("*",):
            return origins
        for one in origins:
            said = _ORIGIN.fullmatch(one)
            if said is None or said["port"] == _DEFAULT_PORTS[said["scheme"]]:
                message = (
                    "an origin is written as a browser sends it, https://host or https://host:port: small"
                    " letters, no path, no slash at the end, not the scheme's own port; * stands alone"
                )
                raise ValueError(message)
            if said["scheme"] == "http" and not is_near(urlsplit(one).hostname or ""):
                message = "whoever is on the way can change a page that came by http; use https"
                raise ValueError(message)
        return origins

    @field_validator("database_url", "owner_url")
    @classmethod
    def _readable(cls, url: str) -> str:
        """What cannot be read is not shown by who tries: there is a password in it."""
        try:
            for host in urlsplit(url).netloc.rpartition("@")[2].split(","):
                _ = urlsplit(f"//{host}").port
        except ValueError:
            message = "it is written as postgresql://user:password@host:port/database"
            raise ValueError(message) from None
        if url.startswith("sqlite:") and (":memory:" in url or "?" in url):
            message = "it is written as sqlite:///FILE; in memory nothing would be kept, and options are not read"
            raise ValueError(message)
        return url

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        keys = [shelf.key for tenant in self.tenants for shelf in tenant.shelves]
        names = [name for tenant in self.tenants for name in tenant.identifiers]
        ids = [tenant.id for tenant in self.tenants]
        for what, values in (("tenant", ids), ("shelf", keys), ("tenant identifier", names)):
            if len(set(values)) != len(values):
                message = f"a {what} stands twice"
                raise ValueError(message)
        return self

    @cached_property
    def shelves(self) -> dict[str, Shelf]:
        return {shelf.key: shelf for tenant in self.tenants for shelf in tenant.shelves}

    def tenant(self, tenant_id: str) -> Tenant:
        return next(tenant for tenant in self.tenants if tenant.id == tenant_id)

    def tenant_of(self, identifiers: set[str]) -> Tenant | None:
        """The tenant that is known by one of these identifiers (system|value); None where two are."""
        found = [one for one in self.tenants if one.names & identifiers]
        return found[0] if len(found) == 1 else None

    @cached_property
    def base_url(self) -> str:
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    def token_url(self, shelf: str) -> str:
        """Where a client of the shelf, tenant/shelf, gets its access tokens."""
        return f"{self.base_url}/{shelf}/token"

    @cached_property
    def loopback(self) -> bool:
        """Whether this machine alone comes here; where public_url leads from elsewhere something passes it on."""
        return self.host in _LOOPBACK and (
            not self.public_url or is_near(urlsplit(self.public_url).hostname or "")
        )


def read(path: Path | None = None, **overrides: object) -> Settings:
    """
    The settings from a TOML file; what the environment says is stronger, what is given here strongest.

    raises      SettingsError: the file cannot be read, or a key or value is not a setting
    """
    given: dict[str, object] = {}
    if path is not None:
        try:
            given = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            message = f"{path}: {error}"
            raise SettingsError(message) from None
    strongest = {key: value for key, value in overrides.items() if value is not None}
    try:
        environment = Settings().model_dump(exclude_unset=True)
    except (ValidationError, SourceError) as error:
        raise _refused(error, lambda key: f"{_VARIABLE}{key.upper()}") from None
    try:
        return Settings.model_validate({**given, **environment, **strongest})
    except ValidationError as error:
        raise _refused(error, lambda key: f"{path or 'settings'}: {key}") from None


def _refused(error: ValidationError | SourceError, named: Callable[[str], str]) -> SettingsError:
    """
    What is wrong with each setting.

    named       where a setting stands; of what is wrong between several, "file"
    """
    if isinstance(error, SourceError):
        return SettingsError(f"{_VARIABLE}…: {error}")
    faults = []
    for fault in error.errors(include_input=False, include_url=False):
        first, *rest = map(str, fault["loc"] or ("file",))
        faults.append(f"{'.'.join([named(first), *rest])}: {fault['msg']}")
    return SettingsError("\n".join(faults))


def unread() -> list[str]:
    """Variables that are named as ours, and that no setting is read from."""
    known = {f"{_VARIABLE}{key.upper()}" for key in Settings.model_fields}
    return sorted(one for one in os.environ if one.startswith(_VARIABLE) and one not in known)
