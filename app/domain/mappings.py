"""What informaticists and privacy officers edit, read and checked once: the folder mappings/."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from app import conformance, settings
from app.conformance import Definitions
from app.domain import concept_map
from app.domain.completeness import Standard
from app.domain.concept_map import ConceptMaps
from app.domain.crosswalk import Crosswalk
from app.domain.disclosure import FACTS, Rule
from app.domain.event import Outcomes
from app.domain.forms import Forms
from app.domain.instrument import AnswerOption, Instrument, Question, SignOff
from app.domain.jurisdiction import Jurisdiction
from app.domain.making import Templates
from app.domain.profiles import Held, complete, known
from app.errors import MappingError

_Model = TypeVar("_Model", bound=BaseModel)
_ACKNOWLEDGED: Final = timedelta(minutes=15)  # where no jurisdiction is on file


@dataclass(frozen=True, slots=True)
class Mappings:
    """
    Everything that is data.

    advice      {fact: what to do where it does not hold}
    """

    forms: Forms
    templates: Templates
    rules: tuple[Rule, ...]
    advice: dict[str, str]
    outcomes: Outcomes
    jurisdictions: dict[str, Jurisdiction]
    completeness: Standard
    profiles: tuple[Held, ...]
    concept_maps: ConceptMaps

    def asked(self, rule: Rule, jurisdiction: str) -> Rule:
        """The rule with what the form of a jurisdiction asks for besides."""
        form = self.jurisdictions.get(jurisdiction)
        return rule.asked(form.flags if form else ())

    def acknowledged(self, jurisdiction: str) -> timedelta:
        """In what time intake acknowledges a report."""
        found = self.jurisdictions.get(jurisdiction)
        return found.acknowledge if found else _ACKNOWLEDGED

    def hotline(self, jurisdiction: str) -> str:
        """A sentence that names the hotline; "" where no jurisdiction is on file."""
        found = self.jurisdictions.get(jurisdiction)
        return f"If a child is in danger now, call {found.hotline} ({found.name})." if found else ""


class _Disclosure(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    facts: dict[str, str]
    rules: tuple[Rule, ...]

    @model_validator(mode="before")
    @classmethod
    def _like(cls, data: Any) -> Any:
        """A rule that is like another says only what is different."""
        rules = [one for one in data.get("rules", ()) if isinstance(one, dict)]
        named = {one.get("id"): one for one in rules if "like" not in one}
        made = []
        for one in rules:
            if "like" in one and one["like"] not in named:
                text = f"rules: {one.get('id')} is like a rule that is not there, or that is like another"
                raise ValueError(text)
            made.append({**named.get(one.get("like"), {}), **one})
        return {**data, "rules": made}


class SignedRule(BaseModel):
    """One line of mappings/sign-offs.toml: an analyst's rule that somebody answers for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    instrument: str
    question: str
    answer: str
    by: str = Field(min_length=1)
    on: date


class SignOffs(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: tuple[SignedRule, ...] = ()


class _Profiles(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    profiles: tuple[Held, ...]


def load(folder: Path, definitions: Definitions | None = None) -> Mappings:
    """
    Read the folder.

    definitions     what templates and profiles are held against; None: they are not

    raises      MappingError: a file is missing, is not TOML, or has a key or value that nobody knows;
                the text names file and key
    """
    disclosure = _read(folder / "disclosure.toml", _Disclosure)
    named = {fact for rule in disclosure.rules for fact in rule.requires}
    for unknown in sorted((named | disclosure.facts.keys()) - FACTS):
        raise MappingError(f"{folder / 'disclosure.toml'}: nobody knows the fact {unknown}")
    for silent in sorted(named - disclosure.facts.keys()):
        raise MappingError(
            f"{folder / 'disclosure.toml'}: [facts] does not say what {silent} needs"
        )
    jurisdictions = [_read(path, Jurisdiction) for path in _files(folder / "jurisdictions")]
    completeness = _read(folder / "completeness.toml", Standard)
    for place in jurisdictions:
        for unknown in sorted(set(place.flags) - completeness.flags):
            path = folder / "jurisdictions" / f"{place.id}.toml"
            raise MappingError(f"{path}: flags: no element asks for {unknown}")
    forms = _forms(folder)
    profiles = _read(folder / "profiles.toml", _Profiles).profiles
    complete(profiles, disclosure.rules)
    if definitions is not None:
        known(profiles, definitions)
    return Mappings(
        forms=forms,
        templates=Templates(forms, definitions),
        rules=tuple(_withholding(one, forms) for one in disclosure.rules),
        advice=disclosure.facts,
        outcomes=_read(folder / "outcomes.toml", Outcomes),
        jurisdictions={one.id: one for one in jurisdictions},
        completeness=completeness,
        profiles=profiles,
        concept_maps=concept_map.load(conformance.folder() / "kinbridge"),
    )


def _withholding(rule: Rule, forms: Forms) -> Rule:
    """The rule with the codes of the answers that stay behind."""
    if not rule.withholds_screenings:
        return rule
    codes = forms.says(sensitive=rule.withholds_screenings == "sensitive")
    return rule.model_copy(update={"withholds_codes": rule.withholds_codes | codes})


def _forms(folder: Path) -> Forms:
    """The instruments with what is signed off, and the crosswalks that lead to them."""
    files = {path: _read(path, Instrument) for path in _files(folder / "instruments")}
    _apart({path: [one.id] for path, one in files.items()}, "id")
    _apart({path: one.canonicals for path, one in files.items()}, "canonical")
    instruments = list(files.values())
    signed = folder / "sign-offs.toml"
    if signed.exists():
        for rule in _read(signed, SignOffs).rules:
            instruments = _signed(instruments, rule, signed)
    crosswalks: dict[tuple[str, str], dict[str, str]] = {}
    for path in sorted((folder / "crosswalks").glob("*.toml")):
        one = _read(path, Crosswalk)
        rows = crosswalks.setdefault((one.tenant, one.environment), {})
        try:
            more = one.rows(instruments)
        except MappingError as error:
            raise MappingError(f"{path}: {error}") from None
        if again := rows.keys() & more.keys():
            raise MappingError(f"{path}: {len(again)} rows stand in another file already")
        rows.update(more)
    return Forms(instruments, crosswalks)


def _apart(said: Mapping[Path, Iterable[str]], what: str) -> None:
    """
    No two files say the same.

    raises      MappingError: two do; both are named
    """
    seen: dict[str, Path] = {}
    for path, values in said.items():
        for value in values:
            if value in seen:
                text = f"{what}: {value} stands in {seen[value].name} already"
                raise MappingError(f"{path}: {text}; take one of the two files out")
            seen[value] = path


def copied(folder: Path) -> None:
    """
    The mappings that come with the service, in a new folder.

    raises      MappingError: something stands there already, or it cannot be written
    """
    if folder.exists():
        raise MappingError(f"{folder}: it is there already")
    try:
        shutil.copytree(settings.folder("mappings"), folder)
    except OSError as error:
        raise MappingError(f"{folder}: {error.strerror}") from None


def crosswalk(path: Path, instruments: Iterable[Instrument]) -> Crosswalk:
    """
    A crosswalk that is not among the mappings.

    raises      MappingError: it cannot be read, or leads nowhere
    """
    found = _read(path, Crosswalk)
    try:
        found.rows(instruments)
    except MappingError as error:
        raise MappingError(f"{path}: {error}") from None
    return found


def sign_off(folder: Path, rule: tuple[str, str, str], *, by: str, on: date) -> None:
    """
    Write down in sign-offs.toml who answers for a rule, and since when.

    rule        instrument, question, answer
    raises      MappingError: there is no such rule, it needs nobody, or the file cannot be written
    """
    path = folder / "sign-offs.toml"
    instrument, question, answer = rule
    signed = SignedRule(instrument=instrument, question=question, answer=answer, by=by, on=on)
    known = [_read(one, Instrument) for one in _files(folder / "instruments")]
    _signed(known, signed, path)
    wanted = next(
        one
        for each in known
        if each.id == instrument
        for asked in each.questions
        if asked.code == question
        for one in asked.answers
        if one.code == answer
    )
    if wanted.evidence != "analyst":
        raise MappingError(
            f"{instrument} {question} {answer}: this rule stands on {wanted.evidence}"
        )
    before = path.read_text(encoding="utf-8") if path.exists() else _SIGN_OFFS
    standing = tomllib.loads(before).get("rules", [])
    if any((one["instrument"], one["question"], one["answer"]) == rule for one in standing):
        raise MappingError(f"{instrument} {question} {answer}: it is signed off already")
    names = {"instrument": instrument, "question": question, "answer": answer, "by": by}
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in names.items()]
    try:
        more = "\n".join(["", "[[rules]]", *lines, f"on = {on.isoformat()}", ""])
        path.write_text(before + more, encoding="utf-8")
    except OSError as error:
        raise MappingError(f"{path}: {error.strerror}") from None


_SIGN_OFFS: Final = """\
# Who answers for an analyst's rule on what an answer says, written by `kinbridge map sign-off`.
# A rule without a line here gives no verdict. Take a line out to switch its rule off again.
"""


def _signed(instruments: list[Instrument], rule: SignedRule, path: Path) -> list[Instrument]:
    """
    The instruments with one rule signed off.

    raises      MappingError: there is no such rule that waits for it
    """
    where = f"{path}: {rule.instrument} {rule.question} {rule.answer}"
    found = False

    def answer(one: AnswerOption) -> AnswerOption:
        nonlocal found
        if one.code != rule.answer or one.need is None:
            return one
        found = True
        return one.model_copy(update={"signed_off": SignOff(by=rule.by, on=rule.on)})

    def question(one: Question) -> Question:
        if one.code != rule.question:
            return one
        if one.never_a_need:
            raise MappingError(f"{where}: this question is recorded and never a need")
        return one.model_copy(update={"answers": tuple(answer(each) for each in one.answers)})

    made = [
        one.model_copy(update={"questions": tuple(question(each) for each in one.questions)})
        if one.id == rule.instrument
        else one
        for one in instruments
    ]
    if not found:
        raise MappingError(f"{where}: there is no such rule")
    return made


def _files(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.toml"))
    if not found:
        raise MappingError(f"{folder}: no mapping is there")
    return found


def _read(path: Path, model: type[_Model]) -> _Model:
    try:
        data: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return TypeAdapter(model).validate_python(data)
    except OSError as error:
        raise MappingError(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MappingError(f"{path}: {error}") from None
    except ValidationError as error:
        faults = [
            ": ".join(filter(None, (str(path), ".".join(map(str, fault["loc"])), _told(fault))))
            for fault in error.errors(include_input=False, include_url=False)
        ]
        raise MappingError("\n".join(faults)) from None


def _told(fault: Mapping[str, Any]) -> str:
    if fault["type"] == "extra_forbidden":
        return "nobody knows this key"
    return str(fault["msg"]).removeprefix("Value error, ")
