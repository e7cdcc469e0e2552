"""
Regular expressions that cannot hang.

FHIRPath wants the dialect of Perl, look-around and all, so RE2 does not do; the module regex
knows it and stops after a time. It takes a tenth of a second to import and is so only when used.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from app.fhirpath.refusals import BudgetError, EvaluationError

if TYPE_CHECKING:
    import regex

TIMEOUT_SECONDS: Final = 0.25
MAX_PATTERN: Final = 4_000  # characters


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> regex.Pattern[str]:
    import regex  # noqa: PLC0415 — see above

    if len(pattern) > MAX_PATTERN:
        raise EvaluationError("A regular expression is longer than it may be.")
    try:
        return regex.compile(pattern, regex.DOTALL | regex.VERSION0)
    except (regex.error, RecursionError, OverflowError):
        raise EvaluationError("A regular expression cannot be read.") from None


def found(pattern: str, text: str) -> bool:
    """Whether the pattern matches somewhere in the text."""
    return _bounded(_compiled(pattern).search, text) is not None


def matched(pattern: str, text: str) -> bool:
    """Whether the pattern matches the whole text."""
    return _bounded(_compiled(pattern).fullmatch, text) is not None


def replaced(pattern: str, text: str, substitution: str) -> str:
    """The text with each match replaced; $1 and ${name} are what a group has matched."""
    result = _bounded(_compiled(pattern).sub, _template(substitution), text)
    return str(result)


def _bounded(call: Any, *arguments: Any) -> Any:
    try:
        return call(*arguments, timeout=TIMEOUT_SECONDS)
    except TimeoutError:
        raise BudgetError("A regular expression takes longer than it may.") from None
    except (IndexError, MemoryError):
        raise EvaluationError("A substitution names a group that is not there.") from None


@lru_cache(maxsize=512)
def _template(substitution: str) -> Any:
    """$1 and ${name} in the words of the module regex."""
    import regex  # noqa: PLC0415 — see above

    pieces = regex.split(r"(\\.|\$\d+|\$\{\w+\})", substitution, flags=regex.DOTALL)

    def expand(match: Any) -> str:
        out = []
        for piece in pieces:
            if piece.startswith("\\") and len(piece) == 2:
                out.append(piece[1])
            elif piece.startswith("${"):
                name = piece[2:-1]
                out.append(match.group(int(name) if name.isdigit() else name) or "")
            elif piece.startswith("$") and len(piece) > 1:
                out.append(match.group(int(piece[1:])) or "")
            else:
                out.append(piece)
        return "".join(out)

    return expand
