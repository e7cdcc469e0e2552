"""FHIR packages as bytes: archives, folders, single definitions and our own compiled packs."""

from __future__ import annotations

import io
import re
import struct
import tarfile
import zlib
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

from app import fhir
from app.errors import Malformed, TooLarge

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC: Final = b"KINPACK1"
MAX_ARCHIVE: Final = 256 * 2**20  # HL7's own terminology, the largest guide, has 2 MiB
MAX_UNPACKED: Final = 1024 * 2**20  # and unpacks to some 100 MiB
MAX_MEMBER: Final = 64 * 2**20
MAX_MEMBERS: Final = 100_000
_BLOCK: Final = 2**17  # bytes that are pressed together


Words = tuple[str, str, str, str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """
    What the index of a package says about one definition.

    kind, type, derivation, base    of a StructureDefinition; "" elsewhere
    place                           where the package finds the definition's bytes
    """

    resource_type: str
    url: str
    version: str
    name: str
    kind: str
    type: str
    derivation: str
    base: str
    place: tuple[int, int, int]


@dataclass(eq=False, slots=True)
class Package:
    """
    Definitions of one origin, read one at a time.

    dependencies    name to version, as the package's manifest says
    """

    name: str
    version: str
    dependencies: dict[str, str]
    entries: list[Entry]
    _blocks: list[bytes] = field(default_factory=list)
    _file: Path | None = None
    _base: int = 0
    _spans: list[tuple[int, int]] = field(default_factory=list)

    def read(self, entry: Entry) -> fhir.Resource:
        """
        The definition itself, a new value at each call.

        raises      Malformed: the pack is damaged
        """
        block, offset, length = entry.place
        raw = (
            _block(self._file, self._base + self._spans[block][0], self._spans[block][1])
            if self._file
            else _inflate(self._blocks[block])
        )
        found: fhir.Resource = msgspec.json.decode(raw[offset : offset + length], type=dict)
        return found


def load(path: Path) -> list[Package]:
    """
    The packages at a path: a `.pack`, a `.tgz`, a folder, or one definition in JSON.

    A folder is one package if it has definitions, and else every pack and package in it.
    raises      Malformed, TooLarge: as `read_archive` and `read_definition`
    """
    if path.suffix == ".pack":
        return [open_pack(path)]
    if path.is_dir():
        return _load_folder(path)
    if path.stat().st_size > MAX_ARCHIVE:
        raise TooLarge(f"The package is larger than {MAX_ARCHIVE >> 20} MiB.")
    raw = path.read_bytes()
    return [read_archive(raw) if raw[:2] == b"\x1f\x8b" else read_definition(raw)]


def open_pack(path: Path) -> Package:
    """
    A pack that `scripts/compile_packages.py` has made; only its index is read.

    raises      Malformed: not such a file
    """
    with path.open("rb") as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            raise Malformed("The file is not a compiled pack.")
        (length,) = struct.unpack(">I", stream.read(4))
        index = msgspec.json.decode(zlib.decompress(stream.read(length)))
    return Package(
        index["name"],
        index["version"],
        index["dependencies"],
        [Entry(*row) for row in index["entries"]],
        _file=path,
        _base=len(MAGIC) + 4 + length,
        _spans=[(start, size) for start, size in index["blocks"]],
    )


def pack(package: Package, *, origin: str) -> bytes:
    """A package as a pack, whose index is read alone; open_pack opens it."""
    members = [
        (
            (e.resource_type, e.url, e.version, e.name, e.kind, e.type, e.derivation, e.base),
            fhir.encode(package.read(e)),
        )
        for e in package.entries
    ]
    return packed(package, members, origin=origin)


def packed(package: Package, members: list[tuple[Words, bytes]], *, origin: str) -> bytes:
    """
    A pack of these definitions.

    members     the words of their entries, and their bytes
    """
    blocks: list[bytes] = []
    rows: list[list[Any]] = []
    block = b""
    for words, raw in sorted(members):
        if block and len(block) + len(raw) > _BLOCK:
            blocks.append(block)
            block = b""
        rows.append([*words, [len(blocks), len(block), len(raw)]])
        block += raw
    pressed = [zlib.compress(one, 9) for one in [*blocks, block]]
    starts = [sum(map(len, pressed[:at])) for at in range(len(pressed))]
    index = {
        "name": package.name,
        "version": package.version,
        "source": origin,
        "dependencies": package.dependencies,
        "blocks": [[start, len(one)] for start, one in zip(starts, pressed, strict=True)],
        "entries": rows,
    }
    header = zlib.compress(msgspec.json.encode(index), 9)
    return MAGIC + struct.pack(">I", len(header)) + header + b"".join(pressed)


def named(package: Package, name: str, version: str) -> Package:
    """The same package under another name and version."""
    return replace(package, name=name, version=version)


def read_archive(raw: bytes) -> Package:
    """
    A FHIR package, a `.tgz`, from its bytes; nothing is written to disk.

    raises      Malformed: not such an archive; a link, a device or a path that leads out of it
                TooLarge: more members or more bytes than any guide has
    source      https://confluence.hl7.org/display/FHIR/NPM+Package+Specification
    """
    if len(raw) > MAX_ARCHIVE:
        raise TooLarge(f"The package is larger than {MAX_ARCHIVE >> 20} MiB.")
    try:
        return _gather(_members(raw))
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError, struct.error):
        raise Malformed("The file is not a FHIR package: a tar archive under gzip.") from None


def read_definition(raw: bytes) -> Package:
    """
    One definition in JSON as a package of its own.

    raises      Malformed: not JSON, or not a definition
    """
    package = _gather(iter([("definition.json", raw)]))
    if not package.entries:
        raise Malformed("The file is not a FHIR definition that has a url.")
    return package


def summary(found: fhir.Resource) -> Words:
    """The fields of an Entry before its place, from a definition."""
    return (
        _text(found, "resourceType"),
        _text(found, "url"),
        _text(found, "version"),
        _text(found, "name"),
        _text(found, "kind"),
        _text(found, "type"),
        _text(found, "derivation"),
        _text(found, "baseDefinition"),
    )


def order(version: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts versions: numbers as numbers, a release after its pre-releases."""
    release, dash, label = version.partition("-")
    parts = [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in release.split(".")]
    return (*parts, (0, 0, label) if dash else (0, 1, ""))


def _text(found: fhir.Resource, key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""


def _load_folder(folder: Path) -> list[Package]:
    inner = folder / "package"
    if (inner / "package.json").is_file():
        folder = inner
    packs = [open_pack(path) for path in sorted(folder.glob("*.pack"))]
    loose = _gather(_files(folder))
    if loose.entries:
        return [*packs, loose]
    archives = [found for path in sorted(folder.glob("*.tgz")) for found in load(path)]
    inside = [found for path in sorted(folder.iterdir()) if path.is_dir() for found in load(path)]
    return [*packs, *archives, *inside]


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """A folder's own JSON files; a link in it that leads elsewhere is passed over."""
    total = 0
    for count, path in enumerate(sorted(folder.glob("*.json"))):
        if path.is_symlink() or not path.is_file():
            continue
        total += path.stat().st_size
        if count > MAX_MEMBERS or total > MAX_UNPACKED or path.stat().st_size > MAX_MEMBER:
            raise TooLarge("The folder holds more than any FHIR package does.")
        yield path.name, path.read_bytes()


def _members(raw: bytes) -> Iterator[tuple[str, bytes]]:
    with (
        _Bounded(raw) as stream,
        tarfile.open(fileobj=_whole(stream), mode="r|", errorlevel=2) as archive,
    ):
        for count, member in enumerate(archive):
            if count > MAX_MEMBERS:
                raise TooLarge(f"The package has more than {MAX_MEMBERS} members.")
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts or "\\" in member.name:
                raise Malformed("A member of the package has a path that leads out of it.")
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise Malformed("The package has a link or a device in it.")
            if len(path.parts) != 2 or path.parts[0] != "package" or path.suffix != ".json":
                continue
            if member.size > MAX_MEMBER:
                raise TooLarge(f"A member of the package is over {MAX_MEMBER >> 20} MiB.")
            content = archive.extractfile(member)
            if content is not None:
                yield path.name, content.read()


def _whole(stream: io.RawIOBase) -> IO[bytes]:
    return io.BufferedReader(stream, 2**16)


class _Bounded(io.RawIOBase):
    """A gzip stream that ends in TooLarge when it unpacks to more than any package."""

    def __init__(self, raw: bytes) -> None:
        super().__init__()
        self._raw = raw
        self._inflate = zlib.decompressobj(wbits=31)
        self._at = self._unpacked = 0
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        room = len(buffer)
        while not self._inflate.eof:
            piece = self._inflate.unconsumed_tail
            if not piece:
                piece = self._raw[self._at : self._at + 2**16]
                self._at += len(piece)
            if not piece:
                raise EOFError
            got = self._inflate.decompress(piece, room)
            if got:
                self._unpacked += len(got)
                if self._unpacked > MAX_UNPACKED:
                    raise TooLarge(f"The package unpacks to over {MAX_UNPACKED >> 20} MiB.")
                buffer[: len(got)] = got
                return len(got)
        return 0


def _gather(files: Iterator[tuple[str, bytes]]) -> Package:
    package = Package("", "", {}, [])
    for name, raw in files:
        if name == "package.json":
            _manifest(package, raw)
        elif not name.startswith(".") and b"resourceType" in raw:
            _definition(package, raw)
    return package


def _manifest(package: Package, raw: bytes) -> None:
    manifest = fhir.decode(raw)
    if not isinstance(manifest, dict):
        raise Malformed("The package's package.json is not an object.")
    package.name, package.version = _text(manifest, "name"), _text(manifest, "version")
    dependencies = manifest.get("dependencies")
    if isinstance(dependencies, dict):
        package.dependencies = {
            key: value for key, value in dependencies.items() if isinstance(value, str)
        }


def _definition(package: Package, raw: bytes) -> None:
    found = fhir.decode(raw.removeprefix(b"\xef\xbb\xbf"))
    if not isinstance(found, dict) or not _text(found, "url") or not _text(found, "resourceType"):
        return  # an example, or what is no definition
    words = summary(found)
    place = (len(package._blocks), 0, len(raw))  # noqa: SLF001 — its own maker
    package.entries.append(Entry(*words, place))
    package._blocks.append(zlib.compress(raw, 1))  # noqa: SLF001 — its own maker


@lru_cache(maxsize=8)
def _block(path: Path, start: int, length: int) -> bytes:
    with path.open("rb") as stream:
        stream.seek(start)
        return _inflate(stream.read(length))


def _inflate(raw: bytes) -> bytes:
    return zlib.decompress(raw)


def split(canonical: str) -> tuple[str, str]:
    """A canonical's url and version; what follows `#` is left out."""
    url, _, version = canonical.partition("|")
    return _FRAGMENT.sub("", url), _FRAGMENT.sub("", version)


_FRAGMENT: Final = re.compile(r"#.*", re.DOTALL)
