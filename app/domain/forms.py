"""The loaded instruments as they are looked up: by canonical, by question, by what is asked together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from app.domain import crosswalk
from app.domain.instrument import Instrument, Question, plain
from app.domain.plan import Waiting
from app.fhir import Resource, listed

Asked = tuple[Instrument, Question]
_KEPT: Final = 256  # canonicals come from resources


class Forms:
    """
    Instruments and crosswalks, indexed once.

    crosswalks  {(tenant, environment): {key: target}}
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        crosswalks: Mapping[tuple[str, str], Mapping[str, str]] | None = None,
    ) -> None:
        self.instruments = tuple(instruments)
        self.crosswalks = crosswalks or {}
        self.by_id = {one.id: one for one in instruments}
        self.by_canonical = {url: one for one in instruments for url in one.canonicals}
        self.asked: dict[tuple[str, str], list[Asked]] = defaultdict(list)
        self.codes: dict[str, set[str]] = defaultdict(set)  # code: the systems it is known in
        self.headings: dict[tuple[str, str], list[Instrument]] = defaultdict(list)
        self.computed: dict[tuple[str, str], list[Instrument]] = defaultdict(list)
        for instrument in instruments:
            for question in instrument.questions:
                self.asked[question.system, question.code].append((instrument, question))
                self.codes[question.code].add(question.system)
            for system, code in instrument.headings:
                self.headings[system, code].append(instrument)
                self.codes[code].add(system)
            for code in instrument.computed:
                self.computed[instrument.system, code].append(instrument)
                self.codes[code].add(instrument.system)
        self._links: dict[str, dict[str, Resource] | None] = {}

    def named(self, canonical: str) -> Instrument | None:
        return self.by_canonical.get(canonical.split("|", 1)[0])

    def says(self, *, sensitive: bool) -> frozenset[str]:
        """
        system|code by which a resource is an answer to the loaded instruments, or was proposed by one.

        Local codes of the crosswalks among the mappings are known too, and codes without a system.
        sensitive   those of partner violence alone
        """
        said = {(one.id, *key) for one in self.instruments for key in one.says(sensitive=sensitive)}
        codes = {(system, code) for _, system, code in said}
        asked = {(name, code) for name, _, code in said}
        for rows in self.crosswalks.values():
            for key, target in rows.items():
                instrument, _, question = target.partition("|")
                if (instrument, question) in asked and (local := crosswalk.coded(key)):
                    codes.add(local)
        return frozenset(f"{name}|{code}" for system, code in codes for name in ("", system))

    def knows(self, key: tuple[str, str]) -> bool:
        return key in self.asked or key in self.headings or key in self.computed

    def maps(self, place: tuple[str, str], waiting: Waiting) -> bool:
        """
        Whether a crosswalk among the mappings, or an instrument, may know what waits.

        place       tenant and environment
        """
        if waiting.key in self.crosswalks.get(place, ()) or waiting.key.startswith("sha256:"):
            return True
        key = (waiting.system, waiting.code)
        if waiting.kind == "question":
            return self.knows(key) or (not key[0] and key[1] in self.codes)
        name, _, code = waiting.question.partition("|")
        asked = self.by_id[name].questions if name in self.by_id else ()
        return any(
            key in one.options or plain(waiting.text) in one.words
            for one in asked
            if one.code == code
        )

    def loaded(
        self, canonical: str, read: Callable[[str], Resource | None]
    ) -> dict[str, Resource] | None:
        """{linkId: item} of a Questionnaire that is loaded; None where it is not."""
        kept = self._links
        if canonical not in kept:
            if len(kept) >= _KEPT:
                kept = self._links = {}
            found = read(canonical)
            kept[canonical] = links(found) if found else None
        return kept[canonical]


def links(questionnaire: Resource) -> dict[str, Resource]:
    """{linkId: item}, at whatever depth."""
    found: dict[str, Resource] = {}
    queue = [questionnaire]
    while queue:
        for item in listed(queue.pop().get("item")):
            if isinstance(item, dict) and isinstance(item.get("linkId"), str):
                found.setdefault(item["linkId"], item)
                queue.append(item)
    return found


def chosen(
    asked: Sequence[Sequence[Asked]],
    fits: Callable[[int, Question], bool],
    named: Iterable[Instrument] = (),
) -> list[tuple[Asked | None, list[Asked]]]:
    """
    For each item the instrument that asks it, and the rivals where nothing tells them apart.

    Those named come first; then the one that has most of the items, answers that are on its list
    counting before those that are not; where that is even, the smallest.

    asked       for each item, whoever asks it
    fits        whether the item's answers are on the list of this question
    named       what the items name as theirs: nothing is left to choose
    """
    first = {one.id for one in named}
    found: list[tuple[Asked | None, list[Asked]]] = [(None, []) for _ in asked]
    left = {index for index, several in enumerate(asked) if several}
    while left:
        weight: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        pool: dict[str, Instrument] = {}
        for index in left:
            for instrument, question in asked[index]:
                pool[instrument.id] = instrument
                if not question.shared:
                    weight[instrument.id][0] += fits(index, question)
                    weight[instrument.id][1] += 1

        def order(name: str, weight: dict[str, list[int]] = weight) -> tuple[bool, list[int]]:
            return (name in first, weight[name])

        ranked = sorted(pool, key=lambda name: (order(name), -len(pool[name].questions)))
        best = ranked[-1]
        even = [name for name in ranked if order(name) == order(best) and name != best]
        taken = set()
        for index in left:
            mine = next((one for one in asked[index] if one[0].id == best), None)
            if mine and (not mine[1].shared or best in first or weight[best][1]):
                rivals = [one for one in asked[index] if one[0].id in even]
                found[index] = (mine, rivals)
                taken.add(index)
        if not taken:
            break  # what is left is shared with instruments that are not here
        left -= taken
    return found
