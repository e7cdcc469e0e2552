"""Why a narrative may not stand in a resource, if so; https://hl7.org/fhir/R4/narrative.html."""

from __future__ import annotations

import re
from typing import Final
from xml.parsers import expat

_NAMESPACE: Final = "http://www.w3.org/1999/xhtml"
_DEPTH: Final = 200
_ELEMENTS: Final = frozenset(
    "p br div h1 h2 h3 h4 h5 h6 a span b em i strong small big tt dfn q var abbr acronym "
    "cite blockquote hr address bdo kbd sub sup ul ol li dl dt dd pre table caption "
    "colgroup col thead tr tfoot tbody th td code samp img map area ins del u s strike "
    "center".split()
)
_ATTRIBUTES: Final = frozenset(
    "title style class id lang xml:lang dir accesskey tabindex abbr align axis bgcolor "
    "border cellhalign cellpadding cellspacing cellvalign char charoff cite clear colspan "
    "compact coords datetime headers height href hreflang hspace longdesc name nohref "
    "noshade nowrap rel rev rowspan rules scope shape span src alt start summary type "
    "valign value vspace width frame usemap ismap charset color size face xmlns".split()
)
_ACTIVE: Final = re.compile(
    r"[\s\x00-\x1f]*(?:javascript|vbscript|data(?!:image/))\s*:", re.IGNORECASE
)
_STYLE: Final = re.compile(r"expression\s*\(|javascript:|@import|behavior\s*:", re.IGNORECASE)
_ENTITY: Final = re.compile(r"&(?!(?:lt|gt|amp|quot|apos);)[A-Za-z][A-Za-z0-9]{1,31};")


class _Refused(Exception):  # noqa: N818 — a verdict on its way up, not a fault
    pass


class _Reader:
    def __init__(self) -> None:
        self.depth = 0
        self.content = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > _DEPTH:
            raise _Refused("txt-1", "The narrative is nested too deep; flatten it.")
        if self.depth == 1:
            if name != "div":
                raise _Refused("txt-1", "The narrative's outermost element has to be a div.")
            if attributes.get("xmlns") != _NAMESPACE:
                raise _Refused("txt-1", f'The div has to say xmlns="{_NAMESPACE}".')
        if name not in _ELEMENTS:
            text = (
                "The narrative has an element that is not basic formatting, such as a script, a "
                "form or a frame; take it out."
            )
            raise _Refused("txt-1", text)
        for attribute, value in attributes.items():
            if attribute not in _ATTRIBUTES and not attribute.startswith("xmlns:"):
                text = (
                    "The narrative has an attribute that is not basic formatting, such as an "
                    "event handler; take it out."
                )
                raise _Refused("txt-1", text)
            if _ACTIVE.match(value) or (attribute == "style" and _STYLE.search(value)):
                text = "The narrative has a link or a style that runs a script; take it out."
                raise _Refused("txt-1", text)
        self.content = self.content or name == "img"

    def end(self, _: str) -> None:
        self.depth -= 1

    def text(self, data: str) -> None:
        self.content = self.content or not data.isspace()

    def refused(self, *_: object) -> None:
        text = "The narrative has a DOCTYPE or a processing instruction; take it out."
        raise _Refused("txt-1", text)


def problem(div: str) -> tuple[str, str] | None:
    """
    What is wrong with the XHTML of a narrative: the key of its rule and a sentence.

    source      https://hl7.org/fhir/R4/narrative.html#xhtml, txt-1 and txt-2
    """
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.refused
    parser.ProcessingInstructionHandler = reader.refused
    try:
        # HTML's own entities are allowed, and XML does not know them without a DOCTYPE.
        parser.Parse(_ENTITY.sub("x", div) if "&" in div else div, True)  # noqa: FBT003 — expat takes no keywords
    except _Refused as refused:
        key, text = refused.args
        return key, text
    except (expat.ExpatError, ValueError):
        return "txt-1", "The narrative is not well-formed XHTML; close what it opens."
    return None if reader.content else ("txt-2", "The narrative says nothing; give it some text.")
