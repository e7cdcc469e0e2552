"""XML as a tree of elements that know where they stand; entities and DTDs are refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from app.errors import Malformed, TooLarge

MAX_DEPTH: Final = 128  # a resource of real life reaches some 20
MAX_ELEMENTS: Final = 2_000_000
_SEPARATOR: Final = "\n"  # between a namespace and a name; stands in neither


@dataclass(eq=False, slots=True)
class Markup:
    """
    One element.

    line, column    where it begins, from 1
    content         its texts and elements, in order
    """

    namespace: str
    name: str
    attributes: dict[str, str]
    line: int
    column: int
    content: list[str | Markup] = field(default_factory=list)

    @property
    def children(self) -> list[Markup]:
        return [one for one in self.content if isinstance(one, Markup)]

    @property
    def has_text(self) -> bool:
        return any(isinstance(one, str) and one.strip() for one in self.content)

    def written(self, namespace: str = "") -> str:
        """
        As XML again; comments are gone.

        namespace   that holds where it is written
        """
        said = f" xmlns={quoteattr(self.namespace)}" if self.namespace != namespace else ""
        said += "".join(
            f" {key.rpartition(_SEPARATOR)[2]}={quoteattr(value)}"
            for key, value in self.attributes.items()
        )
        if not self.content:
            return f"<{self.name}{said}/>"
        inside = "".join(
            escape(one) if isinstance(one, str) else one.written(self.namespace)
            for one in self.content
        )
        return f"<{self.name}{said}>{inside}</{self.name}>"


def read(raw: bytes, most: int = MAX_ELEMENTS) -> Markup:
    """
    The root element of an XML document.

    most        elements
    raises      Malformed: not well formed, a DTD or an entity of its own, nested too deep
                TooLarge: more elements than any resource has
    """
    reader = _Reader(most)
    try:
        reader.parser.Parse(raw, True)  # noqa: FBT003 — expat's own: this is all
    except expat.ExpatError as error:
        reason = expat.errors.messages[error.code]
        raise Malformed(
            f"The file is not well-formed XML: {reason}, line {error.lineno}."
        ) from None
    except (LookupError, ValueError, UnicodeError):
        raise Malformed(
            "The file is not XML in an encoding that can be read; send UTF-8."
        ) from None
    if reader.root is None:
        raise Malformed("The file is not well-formed XML: there is no element.")
    return reader.root


class _Reader:
    def __init__(self, most: int) -> None:
        self.root: Markup | None = None
        self._most = most
        self._open: list[Markup] = []
        self._count = 0
        parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
        parser.buffer_text = True
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.XmlDeclHandler = _declared
        parser.StartDoctypeDeclHandler = _refuse
        parser.EntityDeclHandler = _refuse
        parser.ExternalEntityRefHandler = _refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        self.parser: Any = parser

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > self._most:
            raise TooLarge(f"The XML has more than {self._most} elements.")
        if len(self._open) >= MAX_DEPTH:
            raise Malformed(f"The XML is nested deeper than {MAX_DEPTH} levels.")
        namespace, _, local = name.rpartition(_SEPARATOR)
        line, column = self.parser.CurrentLineNumber, self.parser.CurrentColumnNumber + 1
        made = Markup(namespace, local, attributes, line, column)
        if self._open:
            self._open[-1].content.append(made)
        else:
            self.root = made
        self._open.append(made)

    def _end(self, _: str) -> None:
        self._open.pop()

    def _text(self, text: str) -> None:
        self._open[-1].content.append(text)


def _declared(_: str, encoding: str | None, __: int) -> None:
    """Raises Malformed: an encoding in which marks are other bytes, and could not be counted."""
    if encoding and b"=" not in "=".encode(encoding):
        raise Malformed("The file is not XML in an encoding that can be read; send UTF-8.")


def _refuse(*_: object) -> int:
    raise Malformed("The XML has a DTD or an entity of its own, which FHIR does not allow.")
