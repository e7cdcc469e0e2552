"""Packages that a deployer has added: a folder of packs, and a list of them with their checksums."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from app.conformance import packages
from app.errors import Conflict, Malformed, NotFound

if TYPE_CHECKING:
    from app.conformance.packages import Package

LIST: Final = "packages.json"
WHAT: Final = "FHIR packages that kinbridge profiles add has put here"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,59}")
_UNFIT: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Held:
    """
    One package in the folder.

    sha256      of the pack
    origin      from where it was added
    """

    name: str
    version: str
    sha256: str
    origin: str

    @property
    def file(self) -> str:
        return f"{self.name}-{self.version}.pack"


def held(folder: Path) -> list[Held]:
    """
    What was added, by name and version; none where the folder is not there.

    raises      Malformed: the list is damaged
    """
    try:
        said = msgspec.json.decode((folder / LIST).read_bytes())
        found = [Held(**one) for one in said["packages"]]
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError, TypeError, KeyError):
        raise Malformed(f"{folder / LIST}: the list of packages cannot be read.") from None
    if not all(_fits(one.name, one.version) for one in found):
        raise Malformed(f"{folder / LIST}: a package has a name that no file can have.")
    return sorted(found, key=lambda one: (one.name, packages.order(one.version)))


def load(folder: Path) -> list[Package]:
    """
    The packages of the folder.

    raises      Malformed: a pack is missing, or is not what was added
    """
    found = []
    for one in held(folder):
        path = folder / one.file
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError:
            raise Malformed(f"{path}: the pack is missing; add it again.") from None
        if digest != one.sha256:
            raise Malformed(f"{path}: the pack is not what was added; add it again.")
        found.append(packages.open_pack(path))
    return found


def add(folder: Path, package: Package, *, origin: str) -> Held:
    """
    One more package; the same again changes nothing.

    raises      Malformed: it has no definitions, or a name or version that no file can have
                Conflict: another package of this name and version is there
    """
    named = _named(package)
    if not package.entries:
        raise Malformed("The package has no definition in it.")
    raw = packages.pack(named, origin=origin)
    made = Held(named.name, named.version, hashlib.sha256(raw).hexdigest(), origin)
    others = held(folder)
    for one in others:
        if (one.name, one.version) == (made.name, made.version):
            if one.sha256 == made.sha256:
                return one
            raise Conflict(f"Another {one.name} {one.version} is there; remove it first.")
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / made.file, raw)
    _write(folder, [*others, made])
    return made


def remove(folder: Path, name: str, version: str) -> Held:
    """
    Takes a package out.

    raises      NotFound: it is not there
    """
    others = held(folder)
    found = [one for one in others if one.name == name and version in ("", one.version)]
    if not found:
        raise NotFound(f"{name} {version} was not added here.".replace("  ", " "))
    if len(found) > 1:
        raise NotFound(f"{name} is there in several versions; name one as {name}@VERSION.")
    _write(folder, [one for one in others if one is not found[0]])
    (folder / found[0].file).unlink(missing_ok=True)
    return found[0]


def _fits(name: str, version: str) -> bool:
    return bool(_NAME.fullmatch(name) and _VERSION.fullmatch(version) and ".." not in name)


def _named(package: Package) -> Package:
    """The package with a name and a version; a definition alone has those of its canonical."""
    name, version = package.name, package.version
    if not name and package.entries:
        first = package.entries[0]
        name = _UNFIT.sub("-", first.url.partition("://")[2])[:100].strip("-.")
        version = first.version
    version = version or "0"
    if not _fits(name, version):
        raise Malformed("The package has a name or a version that no file can have.")
    return packages.named(package, name, version)


def _write(folder: Path, of: list[Held]) -> None:
    order = sorted(of, key=lambda one: (one.name, packages.order(one.version)))
    said = {"what": WHAT, "packages": [asdict(one) for one in order]}
    _replace(folder / LIST, msgspec.json.format(msgspec.json.encode(said), indent=1) + b"\n")


def _replace(path: Path, raw: bytes) -> None:
    """All of it or nothing, whenever the power fails."""
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as stream:
        stream.write(raw)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(path)
