"""An instrument's TOML drafted from a Questionnaire: codes and marks are taken, no verdict is guessed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from app import fhir
from app.domain.instrument import CATEGORIES, CATEGORY, HELP_WISH, LOINC, segment
from app.errors import Invalid
from app.fhir import Resource, listed

_SDC: Final = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-"
_EXTRACT: Final = f"{_SDC}observationExtract"
_CATEGORY: Final = (f"{_SDC}observation-extract-category", f"{_SDC}observationExtractCategory")
_UNIT: Final = "http://hl7.org/fhir/StructureDefinition/questionnaire-unit"
_TYPES: Final = {
    "boolean": "boolean", "choice": "choice", "date": "date", "dateTime": "date",
    "decimal": "decimal", "integer": "integer", "open-choice": "choice", "quantity": "decimal",
    "string": "string", "text": "string",
}  # fmt: skip
_NOWHERE: Final = "urn:kinbridge:form"  # of codes that the form does not say the system of
_HEAD: Final = """\
# {name}: drafted from a Questionnaire by `kinbridge map import-questionnaire`.
# Source: {url}
# Look at each line: labels are the form's own words and may not be yours to ship; no answer has a
# verdict yet. docs/add-an-instrument.md explains every key.
"""


def draft(questionnaire: Any, *, identity: str = "") -> str:
    """
    The file of an instrument that asks what a Questionnaire asks.

    identity    the instrument's id; "" for one made of the Questionnaire's name
    raises      Invalid: this is no Questionnaire, or it asks nothing that can be observed
    """
    if not isinstance(questionnaire, dict) or questionnaire.get("resourceType") != "Questionnaire":
        raise Invalid("This is no Questionnaire.")
    url = str(questionnaire.get("url", ""))
    items = list(_items(questionnaire, marked=_says(questionnaire)))
    marked = any(mark is not None for _, mark in items)
    asked = [
        (item, _code(item, url, mark))
        for item, mark in items
        if item.get("type") in _TYPES
        and segment(str(item.get("linkId", ""))) != HELP_WISH
        and (mark is not False and (mark is not None or not marked))
    ]
    if not asked:
        raise Invalid("This Questionnaire asks nothing that can be observed.")
    name = str(questionnaire.get("title") or questionnaire.get("name") or "Form")
    systems = [code["system"] for _, code in asked]
    system = max(set(systems), key=systems.count)
    lines = [_HEAD.format(name=name, url=url or "a Questionnaire without url")]
    lines += [f"id = {_text(identity or _slug(name))}", f"name = {_text(name)}"]
    if system != LOINC:
        lines.append(f"system = {_text(system)}")
    panel = _panel(questionnaire) or {"system": url or _NOWHERE, "code": _slug(name)}
    code = str(panel["code"])
    own = f", system = {_text(panel['system'])}" if panel["system"] != system else ""
    lines.append(f"canonicals = [{_text(url)}]" if url else "canonicals = []")
    lines.append(f"panels = [{{ code = {_text(code)}{own}, label = {_text(name)} }}]")
    groups = [
        one["code"]
        for item, _ in items
        if item.get("type") == "group"
        for one in listed(item.get("code"))
        if one.get("system") == system and one.get("code") != code
    ]
    if groups:
        lines.append(f"groups = [{', '.join(map(_text, groups))}]")
    for item, coding in asked:
        lines += ["", *_question(item, coding, system, questionnaire)]
    return "\n".join(lines) + "\n"


def _panel(questionnaire: Resource) -> Resource | None:
    """The code of the whole form: its own, else that of the one group that holds everything."""
    holders = [questionnaire]
    items = listed(questionnaire.get("item"))
    holders += [one for one in items if len(items) == 1 and one.get("type") == "group"]
    for holder in holders:
        for one in listed(holder.get("code")):
            if isinstance(one, dict) and one.get("system") and one.get("code"):
                return one
    return None


def _items(holder: Resource, *, marked: bool | None) -> Iterator[tuple[Resource, bool | None]]:
    """Every item, with whether it is marked for extraction: by itself or by what is above it."""
    for item in listed(holder.get("item")):
        if isinstance(item, dict):
            says = _says(item)
            mark = marked if says is None else says
            if any(_says(one) for one in listed(item.get("code")) if isinstance(one, dict)):
                mark = True
            yield item, mark
            yield from _items(item, marked=mark)


def _says(holder: Resource) -> bool | None:
    """ObservationExtract of an item or a code; None where it does not say."""
    for one in fhir.extensions(holder, _EXTRACT):
        if "valueBoolean" in one:
            return bool(one["valueBoolean"])
        return one.get("valueCode") != "none"
    return None


def _code(item: Resource, url: str, mark: bool | None) -> dict[str, str]:  # noqa: FBT001
    """The item's code: the one that is marked, else LOINC's, else the first, else its linkId."""
    codes = [one for one in listed(item.get("code")) if isinstance(one, dict) and one.get("code")]
    marked = [one for one in codes if mark and _says(one)]
    loinc = [one for one in codes if one.get("system") == LOINC]
    chosen = (marked or loinc or codes or [{}])[0]
    return {
        "system": str(chosen.get("system") or url or _NOWHERE),
        "code": str(chosen.get("code") or item.get("linkId", "")),
    }


def _question(
    item: Resource, coding: dict[str, str], system: str, questionnaire: Resource
) -> list[str]:
    kind = _TYPES[item["type"]]
    options = _options(item, coding, questionnaire) if kind == "choice" else []
    lines = ["[[questions]]", f"code = {_text(coding['code'])}"]
    if coding["system"] != system:
        lines.append(f"system = {_text(coding['system'])}")
    lines.append(f"label = {_text(str(item.get('text') or coding['code']))}")
    if categories := _categories(item):
        lines.append(f"categories = [{', '.join(map(_text, categories))}]")
    if kind == "choice" and not options:
        kind = "string"
        lines.append("# its answers stand in a value set that is not here: add them as answers")
    if kind != "choice":
        lines.append(f"type = {_text(kind)}")
    unit: Resource = next((one.get("valueCoding", {}) for one in fhir.extensions(item, _UNIT)), {})
    if unit.get("code") and kind in {"decimal", "integer"}:
        lines.append(f"unit = {_text(unit['code'])}")
    if item.get("repeats"):
        lines.append("repeats = true")
    if options:
        lines += ["answers = [", *options, "]"]
    return lines


def _categories(item: Resource) -> list[str]:
    """The domains that the extraction's category marks name."""
    return [
        one["code"]
        for each in fhir.extensions(item, *_CATEGORY)
        for one in listed(each.get("valueCodeableConcept", {}).get("coding"))
        if one.get("system") == CATEGORY and one.get("code") in CATEGORIES
    ]


def _options(item: Resource, coding: dict[str, str], questionnaire: Resource) -> list[str]:
    """A line for each answer that the form offers, from the item or its contained value set."""
    codings = [
        one["valueCoding"] if "valueCoding" in one else {"display": str(value)}
        for one in listed(item.get("answerOption"))
        if isinstance(one, dict)
        for value in [next((v for k, v in one.items() if k.startswith("value")), "")]
        if "valueReference" not in one  # what is referred to is no answer of a list
    ]
    named = str(item.get("answerValueSet", ""))
    for inside in listed(questionnaire.get("contained")):
        if named in (f"#{inside.get('id')}", inside.get("url")):
            codings += [
                {**one, "system": each.get("system", one.get("system"))}
                for each in listed(inside.get("compose", {}).get("include"))
                for one in listed(each.get("concept"))
            ]
            codings += listed(inside.get("expansion", {}).get("contains"))
    lines, seen = [], set()
    for one in codings:
        code = str(one.get("code") or _slug(str(one.get("display", ""))))
        if code in seen:
            continue
        seen.add(code)
        local = str(questionnaire.get("url") or _NOWHERE)
        own = one.get("system") or (local if coding["system"] == LOINC else coding["system"])
        system = f", system = {_text(own)}" if own != coding["system"] else ""
        lines.append(
            f"  {{ code = {_text(code)}{system}, label = {_text(str(one.get('display') or code))} }},"
        )
    return lines


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "form"


def _text(value: str) -> str:
    """A TOML basic string; JSON's escapes are TOML's."""
    return json.dumps(" ".join(value.split()), ensure_ascii=False)
