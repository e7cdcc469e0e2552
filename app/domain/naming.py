"""What the entries of a change are called, and what the references between them come to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from app import fhir
from app.domain import condition
from app.domain.change import Change, Entry
from app.domain.condition import Condition
from app.domain.loaded import Loaded
from app.errors import Malformed, Stale
from app.fhir import listed

_ALONE: Final = frozenset({"create", "update"})  # one resource, whose references are its own
_URN: Final = re.compile(r"urn:(?:uuid|oid):[0-9a-zA-Z.\-]+")


@dataclass(slots=True)
class Names:
    """
    The names that the entries of one change have come to.

    urls        {fullUrl: Type/id}
    conditions  {(type, condition that the entry came with): Type/id}
    order       the name of each entry, in their order
    taken       the same names, to be looked up
    gone        what the change deletes, which is before all else: nothing is met by it
    unnamed     {Type/id as it was sent: names} of what is created, and has no fullUrl
    carrying    as _carrying makes it
    source      https://hl7.org/fhir/R4/http.html#trules, https://hl7.org/fhir/R4/bundle.html#references
    """

    change: Change
    urls: dict[str, str] = field(default_factory=dict)
    conditions: dict[tuple[str, Condition], str] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    gone: frozenset[str] = frozenset()
    unnamed: dict[str, list[str]] = field(default_factory=dict)
    carrying: dict[tuple[str, str, str], list[str]] | None = None

    def add(self, entry: Entry, name: str) -> None:
        """Raises Malformed: another entry has the same fullUrl."""
        if entry.full_url in self.urls:
            at = f"{entry.at.removesuffix('.resource')}.fullUrl" if entry.at else ""
            raise Malformed("Two entries have the same fullUrl.", expression=at)
        if entry.full_url:
            self.urls[entry.full_url] = name
        elif entry.method == "POST" and "id" in entry.resource and self.change.act not in _ALONE:
            self.unnamed.setdefault(f"{entry.type}/{entry.resource['id']}", []).append(name)
        if entry.method != "DELETE" and (said := entry.if_none_exist or entry.condition):
            self.conditions[entry.type, said] = name
        self.order.append(name)
        self.taken.add(name)

    def alone(self, entry: Entry, name: str) -> None:
        """
        What a condition that nothing met makes is the only one in the change that will meet it.

        raises      Malformed: another entry makes one as well
        source      https://hl7.org/fhir/R4/http.html#trules: identities that overlap
        """
        wanted = condition.identified(entry.if_none_exist or entry.condition)
        made = self._carrying().get((entry.type, *wanted), []) if wanted else []
        if any(one != name for one in made) or (entry.method == "PUT" and len(made) > 1):
            text = "Another entry makes a resource that meets this condition; send it once."
            raise Malformed(text, expression=entry.at.removesuffix(".resource"))

    def plain(self, entry: Entry, target: str, loaded: Loaded) -> str:
        """
        A literal reference of an entry as it is stored.

        raises      NotLoaded: it is a conditional one, about what stands
                    Malformed: a urn that no entry carries
                    Stale: a conditional one that not one resource meets
                    Forbidden: a conditional one, by who may not search
        """
        if target in self.urls:
            return self.urls[target]
        if target.startswith("urn:"):
            text = "This urn is the fullUrl of no entry; in a batch none leads to another."
            raise Malformed(text, expression=entry.type)
        if self.urls and (found := self._beside(entry, target)):
            return found
        said = target.removeprefix(f"{self.change.base}/")
        if "?" in said and self.change.act not in _ALONE:
            return self._conditional(entry, said, loaded)
        if said != target:
            return fhir.versionless(said)
        if self.unnamed and (made := self.unnamed.get(fhir.versionless(target))):
            return self._unnamed(entry, target, made, loaded)
        return target

    def link(self, entry: Entry, said: str) -> str:
        """
        A url of an entry, or narrative, as it is stored: each urn of an entry leads to its resource.

        What is no urn leads to a Binary alone, a file's: another may be a canonical, which stays.

        source      https://hl7.org/fhir/R4/http.html#trules: url, uri, oid, uuid, <a href>, <img src>
        """
        if (named := self.urls.get(said) or self._beside(entry, said)).startswith("Binary/"):
            return named
        return _URN.sub(lambda found: self.urls.get(found[0], found[0]), said)

    def _beside(self, entry: Entry, target: str) -> str:
        """The entry that a RESTful reference leads to, "" for none; its version was another's."""
        plain = target.partition("/_history/")[0]
        root = entry.full_url.removesuffix(entry.full_url.partition(f"/{entry.type}/")[2])
        root = root.removesuffix(f"{entry.type}/")
        found = self.urls.get(plain, "")
        if not found and root.startswith("http"):
            found = self.urls.get(root + plain, "")
        return target if found == plain else found  # kept with its version: it is what we have

    def _unnamed(self, entry: Entry, target: str, made: list[str], loaded: Loaded) -> str:
        """What is created under this id, where nobody else is meant by it."""
        name = fhir.versionless(target)
        stands = name in self.taken or loaded.standing(self.change.shelf.key, name)
        if stands or len(made) > 1:
            text = "What is created under this id has no fullUrl, and another may be meant; give it one."
            raise Malformed(text, expression=entry.type)
        return made[0]

    def _conditional(self, entry: Entry, target: str, loaded: Loaded) -> str:
        asked = condition.referred(target)
        if asked is None:
            return target
        kind, said = asked[0], condition.read(asked[1], asked[0], entry.type)
        if (kind, said) in self.conditions:
            return self.conditions[kind, said]
        wanted = condition.identified(said)  # only an identifier can be told here
        names = set(self._carrying().get((kind, *wanted), ())) if wanted else set()
        self.change.caller.must("s", condition.searched(said))
        names |= set(loaded.meeting(self.change.shelf.key, said)) - self.gone
        if len(names) != 1:
            how = "Several resources meet" if names else "No resource meets"
            text = f"{how} the condition of a reference; it must be met by one."
            raise Stale(text, expression=entry.type)
        return names.pop()

    def _carrying(self) -> dict[tuple[str, str, str], list[str]]:
        """The entries by the identifiers that they bring: {(type, system, value): names}, made once."""
        if self.carrying is None:
            self.carrying = {}
            for entry, name in zip(self.change.entries, self.order, strict=True):
                if entry.method not in {"POST", "PUT"}:
                    continue
                for one in listed(entry.resource.get("identifier")):
                    if isinstance(one, dict) and "value" in one:
                        key = (entry.type, one.get("system", ""), one["value"])
                        self.carrying.setdefault(key, []).append(name)
        return self.carrying
