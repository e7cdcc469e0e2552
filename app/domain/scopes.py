"""SMART's scopes: which of those that a client asks for it gets."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Final

_SCOPE: Final = re.compile(r"system/(\*|[A-Z][A-Za-z]+)\.(read|write|\*|[cruds]+)")
_FIRST_VERSION: Final = {"read": "rs", "write": "cud", "*": "cruds"}
ACTS: Final = ("kinbridge/account", "kinbridge/metrics", "kinbridge/refer", "kinbridge/report")


def is_scope(text: str) -> bool:
    """Whether a client can be registered with it; version 2 of SMART's alone, so that it is said once."""
    found = _SCOPE.fullmatch(text)
    return text in ACTS or bool(found and found[2] not in _FIRST_VERSION)


def granted(asked: str, registered: frozenset[str]) -> frozenset[str]:
    """
    Of what is asked for, what the client is registered for; a scope can come back narrower.

    asked       separated by spaces, those of SMART's first version too; "" for all
    source      https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
    """
    if not asked.split():
        return registered
    given: defaultdict[str, set[str]] = defaultdict(set)
    for scope in asked.split():
        if found := _SCOPE.fullmatch(scope):
            letters = {*_FIRST_VERSION.get(found[2], found[2])}
            for kind, has in _letters(registered).items():
                narrower = kind if found[1] == "*" else found[1]
                if kind in {"*", narrower}:
                    given[narrower] |= letters & has
    made = {
        f"system/{kind}.{''.join(one for one in 'cruds' if one in letters)}"
        for kind, letters in given.items()
        if letters
    }
    return frozenset(made | {*asked.split()} & registered & {*ACTS})


def _letters(scopes: frozenset[str]) -> dict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for scope in scopes:
        if of := _SCOPE.fullmatch(scope):
            found[of[1]] |= {*of[2]}
    return found
