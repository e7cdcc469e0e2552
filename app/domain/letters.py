"""Letters, as who has fewer of them on a keyboard writes them."""

from __future__ import annotations

import unicodedata
from typing import Final

# what no normal form of Unicode takes apart, and what stands for an apostrophe or a hyphen
_PLAIN: Final = str.maketrans(
    {
        "æ": "ae",
        "œ": "oe",
        "þ": "th",
        "đ": "d",
        "ð": "d",
        "ħ": "h",
        "\u0131": "i",
        "ł": "l",
        "ŋ": "n",
    }
    | {"ø": "o", "ŧ": "t"}
    | dict.fromkeys("\u2018\u2019\u201b\u02b9\u02bb\u02bc\u02bd\u02be\u02bf\u02c8", "'")
    | dict.fromkeys("\u2010\u2012\u2013\u2014\u2015\u2212", "-")
)


def plain(text: str) -> str:
    """
    Without case and accents, each letter and mark as the nearest that every keyboard has.

    source      https://hl7.org/fhir/R4/search.html#string
    """
    text = text.replace("`", "'")
    if text.isascii():
        return text.casefold()
    apart = unicodedata.normalize("NFKD", text.replace("\u00b4", "'"))
    return (
        "".join(one for one in apart if not unicodedata.combining(one)).casefold().translate(_PLAIN)
    )
