"""What a narrative may hold; https://hl7.org/fhir/R4/narrative.html#rules."""

from __future__ import annotations

import re
from typing import Any, Final
from xml.parsers import expat  # a DOCTYPE ends the reading, so no entity is expanded

XHTML: Final = "http://www.w3.org/1999/xhtml"
MAX_DEPTH: Final = 200

_ELEMENTS: Final = frozenset(
    "p br div h1 h2 h3 h4 h5 h6 a span b em i strong small big tt dfn q var abbr acronym cite "
    "blockquote hr address bdo kbd sub sup ul ol li dl dt dd pre table caption colgroup col thead "
    "tr tfoot tbody th td code samp img map area ins del u s strike center".split()
)
_ATTRIBUTES: Final = frozenset(
    "title style class id lang xml:lang dir accesskey tabindex abbr align axis bgcolor border "
    "cellhalign cellpadding cellspacing cellvalign char charoff cite clear colspan compact coords "
    "datetime headers height href hreflang hspace longdesc name nohref noshade nowrap rel rev "
    "rowspan rules scope shape span src alt start summary type valign value vspace width frame "
    "usemap ismap charset color size face xmlns".split()
)
_ACTIVE: Final = re.compile(r"\s*(?:javascript|vbscript|data(?!:image/))\s*:", re.IGNORECASE)
_PREDEFINED: Final = frozenset(("&lt;", "&gt;", "&amp;", "&quot;", "&apos;"))
_ENTITY: Final = re.compile(r"&[A-Za-z][A-Za-z0-9]*;")


class _NotAllowedError(Exception):
    """The narrative holds what it may not."""


class _Reader:
    def __init__(self) -> None:
        self.depth = 0
        self.content = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH or name not in _ELEMENTS:
            raise _NotAllowedError
        if self.depth == 1 and (name != "div" or attributes.get("xmlns") != XHTML):
            raise _NotAllowedError
        for attribute, value in attributes.items():
            if attribute not in _ATTRIBUTES or _ACTIVE.match(value):
                raise _NotAllowedError
        self.content = self.content or name == "img"

    def end(self, _: str) -> None:
        self.depth -= 1

    def text(self, data: str) -> None:
        self.content = self.content or not data.isspace()

    def refused(self, *_: Any) -> None:
        raise _NotAllowedError


def safe(div: str) -> bool:
    """Whether a narrative is well-formed, only formats, and says something."""
    reader = _Reader()
    # HTML's own entities are allowed; XML does not know them without a DOCTYPE.
    text = _ENTITY.sub(lambda found: found[0] if found[0] in _PREDEFINED else "x", div)
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.refused
    parser.ProcessingInstructionHandler = reader.refused
    try:
        parser.Parse(text, True)  # noqa: FBT003 — expat takes no keywords
    except (expat.ExpatError, _NotAllowedError, ValueError):
        return False
    return reader.content
