"""QuestionnaireResponses against Questionnaires: conditions, answers, required, nesting, limits."""

from __future__ import annotations

from typing import Any

from variants.making import (
    ALPHABET,
    BASE,
    CODES,
    HERE,
    Group,
    coding,
    listed,
)  # fmt: skip

FORM = HERE + "Questionnaire/"
LETTERS = listed("letters", "a", "b")


def form(name: str, *items: dict, more: tuple = (), **said: Any) -> Group:
    made = {"resourceType": "Questionnaire", "id": name, "url": FORM + name, "status": "active",
            "name": "Variant", "subjectType": ["Patient"], "item": list(items), **said}  # fmt: skip
    seed = {"resourceType": "QuestionnaireResponse", "status": "completed", "questionnaire": FORM + name,
            "subject": {"reference": "Patient/1"}}  # fmt: skip
    return Group(name, [made, *more], seed, claims=False)


def asked(link: str, kind: str = "string", *below: dict, **more: Any) -> dict:
    return {
        "linkId": link,
        "type": kind,
        "text": link,
        **more,
        **({"item": list(below)} if below else {}),
    }


def said(link: str, *answers: Any, items: tuple = ()) -> dict:
    made: dict = {"linkId": link, "text": link}
    if answers:
        made["answer"] = list(answers)
    if items:
        made["item"] = list(items)
    return made


def text(value: str) -> dict:
    return {"valueString": value}


def yes(value: bool = True) -> dict:  # noqa: FBT001, FBT002 — an answer
    return {"valueBoolean": value}


def when(question: str, operator: str, **answer: Any) -> dict:
    return {"question": question, "operator": operator, **answer}


def conditions() -> list[Group]:
    made = []
    for name, kind, condition, on, off in (
        ("equal", "boolean", when("a", "=", answerBoolean=True), yes(), yes(value=False)),
        ("unequal", "boolean", when("a", "!=", answerBoolean=True), yes(value=False), yes()),
        ("exists", "string", when("a", "exists", answerBoolean=True), text("x"), None),
        ("not-exists", "string", when("a", "exists", answerBoolean=False), None, text("x")),
        ("more", "integer", when("a", ">", answerInteger=5), {"valueInteger": 6}, {"valueInteger": 5}),
        ("at-least", "integer", when("a", ">=", answerInteger=5), {"valueInteger": 5}, {"valueInteger": 4}),
        ("less", "decimal", when("a", "<", answerDecimal=1.5), {"valueDecimal": 1.4}, {"valueDecimal": 1.5}),
        ("at-most", "decimal", when("a", "<=", answerDecimal=1.5), {"valueDecimal": 1.5}, {"valueDecimal": 1.6}),
        ("after", "date", when("a", ">", answerDate="2020-01-01"), {"valueDate": "2020-01-02"},
         {"valueDate": "2020-01-01"}),
        ("code", "choice", when("a", "=", answerCoding=coding("a")), {"valueCoding": coding("a")},
         {"valueCoding": coding("b")}),
        ("string", "string", when("a", "=", answerString="x"), text("x"), text("y")),
        ("no-answer", "boolean", when("a", "=", answerBoolean=True), yes(), None),
    ):  # fmt: skip
        options = {"answerValueSet": HERE + "ValueSet/letters"} if kind == "choice" else {}
        one = form(f"when-{name}", asked("a", kind, **options),
                   asked("b", enableWhen=[condition], required=True), more=(ALPHABET, LETTERS))  # fmt: skip
        first = [said("a", on)] if on else []
        other = [said("a", off)] if off else []
        one.right("enabled and answered", item=[*first, said("b", text("x"))])
        if first:
            one.wrong("enabled and missing", item=first)
        one.wrong("not enabled and answered", item=[*other, said("b", text("x"))])
        if other:
            one.right("not enabled and missing", item=other)
        made.append(one)
    two = [when("a", "=", answerBoolean=True), when("b", "=", answerBoolean=True)]
    for behaviour, right in (("any", True), ("all", False)):
        one = form(f"when-{behaviour}", asked("a", "boolean"), asked("b", "boolean"),
                   asked("c", enableWhen=two, enableBehavior=behaviour))  # fmt: skip
        one.right("both", item=[said("a", yes()), said("b", yes()), said("c", text("x"))])
        half = [said("a", yes()), said("b", yes(value=False)), said("c", text("x"))]
        (one.right if right else one.wrong)("one of the two", item=half)
        one.wrong("neither", item=[said("a", yes(value=False)), said("c", text("x"))])
        made.append(one)
    group = form("when-group", asked("a", "boolean"),
                 asked("g", "group", asked("b", required=True), enableWhen=[when("a", "=", answerBoolean=True)],
                       required=True))  # fmt: skip
    group.right("enabled", item=[said("a", yes()), said("g", items=(said("b", text("x")),))])
    group.right("not enabled", item=[said("a", yes(value=False))])
    group.wrong("enabled and missing", item=[said("a", yes())])
    group.wrong("a required one inside is missing", item=[said("a", yes()), said("g")])
    group.wrong(
        "not enabled and there",
        item=[said("a", yes(value=False)), said("g", items=(said("b", text("x")),))],
    )
    made.append(group)
    chain = form("when-chain", asked("a", "boolean"),
                 asked("b", "boolean", enableWhen=[when("a", "=", answerBoolean=True)]),
                 asked("c", required=True, enableWhen=[when("b", "=", answerBoolean=True)]))  # fmt: skip
    chain.right("all the way", item=[said("a", yes()), said("b", yes()), said("c", text("x"))])
    chain.right("stopped", item=[said("a", yes(value=False))])
    made.append(chain)
    return made


def choices() -> list[Group]:
    listed_ = form("choice-set", asked("a", "choice", answerValueSet=HERE + "ValueSet/letters"),
                   more=(ALPHABET, LETTERS))  # fmt: skip
    listed_.right("in it", item=[said("a", {"valueCoding": coding("a")})])
    listed_.wrong("not in it", item=[said("a", {"valueCoding": coding("c")})])
    listed_.wrong("a text", "it takes a text for a choice", item=[said("a", text("a"))])
    opened = form("choice-open", asked("a", "open-choice", answerValueSet=HERE + "ValueSet/letters"),
                  more=(ALPHABET, LETTERS))  # fmt: skip
    opened.right("in it", item=[said("a", {"valueCoding": coding("a")})]).right(
        "a text", item=[said("a", text("z"))]
    )
    options = form("choice-options", asked("a", "choice", answerOption=[
        {"valueCoding": coding("a")}, {"valueCoding": coding("b")}]), more=(ALPHABET,))  # fmt: skip
    options.right("offered", item=[said("a", {"valueCoding": coding("b")})])
    options.wrong("not offered", item=[said("a", {"valueCoding": coding("c")})])
    strings = form(
        "choice-strings",
        asked("a", "choice", answerOption=[{"valueString": "x"}, {"valueString": "y"}]),
    )
    strings.right("offered", item=[said("a", text("x"))]).wrong(
        "not offered", item=[said("a", text("z"))]
    )
    numbers = form(
        "choice-numbers",
        asked("a", "choice", answerOption=[{"valueInteger": 1}, {"valueInteger": 2}]),
    )
    numbers.right("offered", item=[said("a", {"valueInteger": 1})])
    numbers.wrong("not offered", item=[said("a", {"valueInteger": 3})])
    dates = form("choice-dates", asked("a", "choice", answerOption=[{"valueDate": "2020-01-01"}]))
    dates.right("offered", item=[said("a", {"valueDate": "2020-01-01"})])
    dates.wrong("not offered", item=[said("a", {"valueDate": "2020-01-02"})])
    inside = {**LETTERS, "id": "in", "url": None}
    inside.pop("url")
    contained = form("choice-contained", asked("a", "choice", answerValueSet="#in"), contained=[inside],
                     more=(ALPHABET,))  # fmt: skip
    contained.right("in it", item=[said("a", {"valueCoding": coding("a")})])
    contained.wrong("not in it", item=[said("a", {"valueCoding": coding("c")})])
    return [listed_, opened, options, strings, numbers, dates, contained]


def kinds() -> list[Group]:
    made = []
    for kind, right, wrong in (
        ("boolean", yes(), text("true")), ("integer", {"valueInteger": 1}, {"valueDecimal": 1.5}),
        ("decimal", {"valueDecimal": 1.5}, text("1.5")), ("date", {"valueDate": "2020-01"}, {"valueDateTime": "2020"}),
        ("dateTime", {"valueDateTime": "2020-01-01T00:00:00Z"}, {"valueDate": "2020-01-01"}),
        ("time", {"valueTime": "10:00:00"}, text("10:00:00")), ("string", text("a"), {"valueInteger": 1}),
        ("text", text("a"), {"valueBoolean": True}), ("url", {"valueUri": "http://example.com/a"}, text("a")),
        ("quantity", {"valueQuantity": {"value": 1, "unit": "a"}}, {"valueDecimal": 1}),
        ("reference", {"valueReference": {"reference": "Patient/1"}}, text("Patient/1")),
        ("attachment", {"valueAttachment": {"contentType": "text/plain", "data": "YWE="}}, text("a")),
    ):  # fmt: skip
        one = form(f"kind-{kind.lower()}", asked("a", kind))
        one.right("its type", item=[said("a", right)]).wrong(
            "another type", item=[said("a", wrong)]
        )
        made.append(one)
    display = form("kind-display", asked("a", "display"), asked("b"))
    display.wrong("answered", item=[said("a", text("a"))]).right(
        "shown", item=[said("a"), said("b", text("a"))]
    )
    group = form("kind-group", asked("g", "group", asked("a")))
    group.wrong("answered", item=[said("g", text("a"))])
    group.right("answered inside", item=[said("g", items=(said("a", text("x")),))])
    return [*made, display, group]


def places() -> list[Group]:
    one = form(
        "place",
        asked("g", "group", asked("a"), asked("b")),
        asked("c", "string", asked("d")),
        asked("e"),
    )
    one.right("all", item=[said("g", items=(said("a", text("x")), said("b", text("x")))),
                           said("c", {**text("x"), "item": [said("d", text("x"))]}), said("e", text("x"))])  # fmt: skip
    one.right("little", item=[said("e", text("x"))]).right("nothing")
    one.wrong("an unknown link", item=[said("z", text("x"))])
    one.wrong("outside its group", item=[said("a", text("x"))])
    one.wrong("in another group", item=[said("g", items=(said("e", text("x")),))])
    one.wrong("out of order", item=[said("e", text("x")), said("g", items=(said("a", text("x")),))])
    one.wrong(
        "out of order inside", item=[said("g", items=(said("b", text("x")), said("a", text("x"))))]
    )
    one.wrong(
        "below an item and not its answer",
        item=[{**said("c", text("x")), "item": [said("d", text("x"))]}],
    )
    one.wrong("another text", item=[{"linkId": "e", "text": "other", "answer": [text("x")]}])
    one.right("no text", item=[{"linkId": "e", "answer": [text("x")]}])
    one.wrong("an item twice", item=[said("e", text("x")), said("e", text("y"))])
    many = form("repeats", asked("a", repeats=True), asked("b"), asked("g", "group", asked("c"), repeats=True),
                asked("h", "group", asked("d")))  # fmt: skip
    many.right("many answers", item=[said("a", text("x"), text("y"))])
    many.wrong("many answers to what does not repeat", item=[said("b", text("x"), text("y"))])
    many.right(
        "many groups",
        item=[said("g", items=(said("c", text("x")),)), said("g", items=(said("c", text("y")),))],
    )
    many.wrong("many of a group that does not repeat", item=[
        said("h", items=(said("d", text("x")),)), said("h", items=(said("d", text("y")),))])  # fmt: skip
    must = form("required", asked("a", required=True), asked("g", "group", asked("b", required=True)),
                asked("h", "group", asked("c"), required=True))  # fmt: skip
    whole = (said("a", text("x")), said("h", items=(said("c", text("x")),)))
    must.right("all", item=list(whole)).wrong("an item is missing", item=[whole[1]])
    must.wrong("a group is missing", item=[whole[0]])
    must.wrong("an item without answer", item=[said("a"), whole[1]])
    must.wrong("inside a group that is there", item=[whole[0], said("g", items=()), whole[1]])
    must.right("in progress", status="in-progress", item=[whole[1]])
    must.wrong("amended", status="amended", item=[whole[1]])
    return [one, many, must]


def limits() -> list[Group]:
    def more(name: str, **value: Any) -> dict:
        url = name if ":" in name else BASE + name
        return {"extension": [{"url": url, **value}]}

    long = form("limit-text", asked("a", maxLength=3))
    long.right("short", item=[said("a", text("abc"))]).wrong("long", item=[said("a", text("abcd"))])
    least = form("limit-least", asked("a", "integer", **more("minValue", valueInteger=2)))
    least.right("enough", item=[said("a", {"valueInteger": 2})]).wrong(
        "less", item=[said("a", {"valueInteger": 1})]
    )
    most = form("limit-most", asked("a", "decimal", **more("maxValue", valueDecimal=2.5)))
    most.right("as much", item=[said("a", {"valueDecimal": 2.5})])
    most.wrong("more", item=[said("a", {"valueDecimal": 2.51})])
    date = form("limit-day", asked("a", "date", **more("minValue", valueDate="2020-01-01")))
    date.right("later", item=[said("a", {"valueDate": "2020-05-05"})])
    date.wrong("earlier", item=[said("a", {"valueDate": "2019-05-05"})])
    shortest = form("limit-shortest", asked("a", **more("minLength", valueInteger=3)))
    shortest.right("long", item=[said("a", text("abc"))]).wrong(
        "short", item=[said("a", text("ab"))]
    )
    places_ = form(
        "limit-places", asked("a", "decimal", **more("maxDecimalPlaces", valueInteger=1))
    )
    places_.right("few", item=[said("a", {"valueDecimal": 1.5})])
    places_.wrong("many", item=[said("a", {"valueDecimal": 1.55})])
    regex = form("limit-regex", asked("a", **more("regex", valueString="[a-z]+")))
    regex.right("it matches", item=[said("a", text("abc"))]).wrong(
        "it does not", item=[said("a", text("ABC"))]
    )
    count = form("limit-count", asked("a", repeats=True, required=True, extension=[
        {"url": BASE + "questionnaire-minOccurs", "valueInteger": 2},
        {"url": BASE + "questionnaire-maxOccurs", "valueInteger": 3}]))  # fmt: skip
    count.right("two", item=[said("a", text("x"), text("y"))]).wrong(
        "one", item=[said("a", text("x"))]
    )
    count.wrong("four", item=[said("a", *[text(one) for one in "wxyz"])])
    refers = form(
        "limit-target",
        asked("a", "reference", **more("questionnaire-referenceResource", valueCode="Patient")),
    )
    refers.right("its type", item=[said("a", {"valueReference": {"reference": "Patient/1"}})])
    refers.wrong("another", item=[said("a", {"valueReference": {"reference": "Group/1"}})])
    size = form("limit-size", asked("a", "attachment", **more("maxSize", valueDecimal=2)))
    size.right(
        "small",
        "it takes the largest for too large",
        item=[said("a", {"valueAttachment": {"contentType": "text/plain", "data": "YWE="}})],
    )
    size.wrong(
        "large",
        item=[said("a", {"valueAttachment": {"contentType": "text/plain", "data": "YWFh"}})],
    )
    return [long, least, most, date, shortest, places_, regex, count, refers, size]


def questionnaires() -> list[Group]:
    """What a Questionnaire is by itself."""
    one = Group(
        "questionnaire",
        [LETTERS],
        {"resourceType": "Questionnaire", "status": "active"},
        claims=False,
    )
    one.right("a form", item=[asked("a"), asked("g", "group", asked("b"))])
    one.wrong("the same link twice", item=[asked("a"), asked("g", "group", asked("a"))])
    one.wrong(
        "a condition on nothing", item=[asked("a", enableWhen=[when("z", "=", answerString="x")])]
    )
    one.wrong("two conditions and no behaviour", item=[asked("a"), asked("b", enableWhen=[
        when("a", "=", answerString="x"), when("a", "=", answerString="y")])])  # fmt: skip
    one.wrong("a group without items", item=[asked("g", "group")])
    one.wrong("a display with items", item=[asked("a", "display", asked("b"))])
    one.wrong(
        "options of a boolean", item=[asked("a", "boolean", answerOption=[{"valueString": "x"}])]
    )
    one.wrong("options and a value set", item=[asked("a", "choice", answerOption=[{"valueString": "x"}],
                                                     answerValueSet=HERE + "ValueSet/letters")])  # fmt: skip
    one.wrong("a required display", item=[asked("a", "display", required=True)])
    one.wrong("a maximal length of a date", item=[asked("a", "date", maxLength=3)])
    one.wrong("a code for a display", item=[asked("a", "display", code=[coding("a")])])
    one.wrong(
        "an initial value for a group", item=[asked("g", "group", asked("a"), initial=[text("x")])]
    )
    one.wrong(
        "existence by a text",
        item=[asked("a"), asked("b", enableWhen=[when("a", "exists", answerString="x")])],
    )
    return [one]


def groups() -> list[Group]:
    return [*conditions(), *choices(), *kinds(), *places(), *limits(), *questionnaires()]


__all__ = ["CODES", "groups"]
