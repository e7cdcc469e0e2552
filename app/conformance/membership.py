"""
Sets of codes of which only part is known, and what comes of joining and cutting them.

Of a code a set says True, False, or None: that cannot be told from what is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

Rest = Callable[[str], bool | None]

NOTHING: Final[frozenset[str]] = frozenset()


def _untold(_: str) -> None:
    """One function for all that is not told, so that sets of several are asked it once."""


@dataclass(frozen=True, slots=True)
class Part:
    """
    Codes of one system.

    listed      those that are known to be in it
    rest        asked in turn of any other code; one True is enough, none means False
    folds       whether case is not told apart
    """

    listed: frozenset[str] = NOTHING
    rest: tuple[Rest, ...] = ()
    folds: bool = False

    @staticmethod
    def unknown(among: Collection[str] | None = None, *, listed: Iterable[str] = ()) -> Part:
        """
        Any code may be in it, or any of some; those that are listed are.

        among       None for any
        """
        if among is None:
            return Part(frozenset(listed), (_untold,))
        return Part(frozenset(listed), (lambda code: None if code in among else False,))

    def has(self, code: str) -> bool | None:
        if code in self.listed:
            return True
        answer: bool | None = False
        for one in self.rest:
            found = one(code)
            if found:
                return True
            if found is None:
                answer = None
        return answer


@dataclass(frozen=True, slots=True)
class Parts:
    """
    Codes of several systems.

    known       whether no code of any other system is in it; else that cannot be told
    """

    of: dict[str, Part] = field(default_factory=dict)
    known: bool = True

    @staticmethod
    def unknown() -> Parts:
        return Parts(known=False)

    @property
    def decided(self) -> bool:
        return self.known and not any(part.rest for part in self.of.values())

    def part(self, system: str) -> Part:
        found = self.of.get(system)
        if found is not None:
            return found
        return Part() if self.known else Part.unknown()


def either(several: list[Parts]) -> Parts:
    """What is in one of them at least."""
    systems = dict.fromkeys(system for one in several for system in one.of)
    found = {}
    for system in systems:
        parts = [one.of[system] for one in several if system in one.of]
        found[system] = Part(
            frozenset().union(*(part.listed for part in parts)),
            tuple(dict.fromkeys(rest for part in parts for rest in part.rest)),
            any(part.folds for part in parts),
        )
    return Parts(found, all(one.known for one in several))


def both(several: list[Parts]) -> Parts:
    """What is in all of them."""
    if len(several) == 1:
        return several[0]
    known = any(one.known for one in several)
    found = {}
    for system in dict.fromkeys(system for one in several for system in one.of):
        part = _common([one.part(system) for one in several])
        if part.listed or part.rest:
            found[system] = part
    return Parts(found, known)


def without(whole: Parts, less: Parts) -> Parts:
    """What is in the one and not in the other."""
    found = {}
    for system, part in whole.of.items():
        other = less.part(system)
        open_ = bool(part.rest) or any(other.has(code) is None for code in part.listed)
        listed = frozenset(code for code in part.listed if other.has(code) is False)
        rest = (_cut(part, other),) if open_ else ()
        found[system] = Part(listed, rest, part.folds)
    return Parts(found, whole.known)


def _common(parts: list[Part]) -> Part:
    def rest(code: str) -> bool | None:
        answers = {part.has(code) for part in parts}
        return False if False in answers else None if None in answers else True

    named = frozenset().union(*(part.listed for part in parts))
    answers = {code: rest(code) for code in named}
    listed = frozenset(code for code, answer in answers.items() if answer)
    open_ = all(part.rest for part in parts) or None in answers.values()
    return Part(listed, (rest,) if open_ else (), any(part.folds for part in parts))


def _cut(part: Part, other: Part) -> Rest:
    def rest(code: str) -> bool | None:
        answers = (part.has(code), other.has(code))
        if answers[0] is False or answers[1] is True:
            return False
        return True if answers == (True, False) else None

    return rest
