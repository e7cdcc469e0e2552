"""
The same asked of HAPI's server and of ours: what the two answer differently, and nobody knows it.

    python benchmarks/beside.py [--shared ../shared]

US Core's examples and what beside_cases.py makes up are stored on both; then come searches for what
each parameter has in them, interactions, patches. What is not KNOWN there is printed; a minute or two.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
from beside_cases import CHILD, KNOWN, MADE, SEARCHES, STEPS
from peers import ROOT, hapi, missing, ours

from app import fhirpath
from app.fhirpath.values import Node

CLIENT = httpx2.Client()
PREFIXES = ("", "ne", "gt", "lt", "ge", "le", "sa", "eb")


def ask(base: str, method: str, path: str, body: Any = None, headers: Any = ()) -> Any:
    """Status, headers, and what came as JSON."""
    sent = {"Cache-Control": "no-cache", "Content-Type": "application/fhir+json", **dict(headers)}
    made = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    url = quote(f"{base}/{path}".rstrip("/"), safe="%/:?&=,$~*+@!'()")
    answer = CLIENT.request(method, url, content=made, headers=sent, timeout=60)
    is_json = answer.content and "json" in answer.headers.get("Content-Type", "")
    return answer.status_code, set(answer.headers), json.loads(answer.content) if is_json else {}


def named(resource: Any) -> str:
    return f"{resource['resourceType']}/{resource.get('id', '')}"


def found(base: str, query: str) -> str:
    """What a search finds on all its pages, in order if it is sorted; + before what is included."""
    matches, beside = [], set()
    path = query if "_count" in query else f"{query}&_count=500"
    while path:
        status, _, bundle = ask(base, "GET", path)
        if status != 200:
            return str(status)
        for entry in bundle.get("entry", ()):
            into = entry.get("search", {}).get("mode")
            matches += [named(entry["resource"])] if into == "match" else []
            beside |= {f"+{named(entry['resource'])}"} if into == "include" else set()
        links = {one["relation"]: one["url"] for one in bundle.get("link", ())}
        path = links.get("next", "").removeprefix(base).lstrip("/")
    return " ".join([*(matches if "_sort" in query else sorted(matches)), *sorted(beside)])


def met(base: str, method: str, path: str, body: Any = None, headers: Any = ()) -> str:
    """The status, the headers that matter, each entry's status; or what a patch made."""
    if method == "PATCH":
        ask(base, "PUT", named(CHILD), CHILD)
    status, has, made = ask(base, method, path, body, headers)
    if method == "PATCH" and status == 200:
        return json.dumps({**made, "meta": None, "text": None}, sort_keys=True)
    shown = sorted(has & {"etag", "location"}) if status == 201 else []
    each = [one["response"]["status"][:3] for one in made.get("entry", ()) if "response" in one]
    return " ".join([str(status), *shown, *each])


def packed(file: Path, pattern: str) -> Iterator[Any]:
    with tarfile.open(file) as archive:
        for member in archive:
            if re.search(pattern, member.name):
                yield json.load(archive.extractfile(member))  # type: ignore[arg-type]


def stored(bases: list[str], shared: Path) -> list[Any]:
    """On both; HAPI takes nothing before that to which it refers."""
    examples = shared / "packages/hl7.fhir.us.core-7.0.0.tgz"
    left, taken = [*map(utc, packed(examples, r"/example/(?!\.|Bundle).*\.json$")), *MADE], []
    for _ in range(5):
        trying, left = left, []
        for one in trying:  # what HAPI refuses is not stored on ours
            both = all(ask(base, "PUT", named(one), one)[0] < 300 for base in bases)
            (taken if both else left).append(one)
    print(f"{len(taken)} resources; not taken: {' '.join(map(named, left)) or 'none'}")
    return taken


def utc(resource: Any) -> Any:
    """With its times in UTC: HAPI takes a day in the zone it is written in, and R4 does not."""
    text = json.dumps(resource, ensure_ascii=False)
    return json.loads(re.sub(r"(T\d\d:\d\d:[\d.]+)[+-]\d\d:\d\d(?=\")", r"\1Z", text))


def searches(shared: Path, resources: list[Any]) -> Iterator[str]:
    """For four of the values that each parameter has in the resources, each time the same ones."""
    chance = random.Random(1)  # noqa: S311
    for one in packed(shared / "packages/hl7.fhir.r4.core-4.0.1.tgz", r"package/SearchParameter-"):
        kinds = sorted({each["resourceType"] for each in resources} & set(one.get("base", ())))
        for kind in kinds if one.get("expression") else ():
            of = fhirpath.compile(one["expression"])
            nodes = [
                n for each in resources if each["resourceType"] == kind for n in of.items(each)
            ]
            for node in chance.sample(nodes, min(4, len(nodes))):
                value = node.value if isinstance(node, Node) else node
                for text in forms(one["type"], value):
                    yield f"{kind}?{one['code']}{text}"
            yield f"{kind}?{one['code']}:missing=true"


def forms(kind: str, value: Any) -> Iterator[str]:
    """Modifier, = and what is asked of a value."""
    match kind, value:
        case "token", {"coding": [*codings]}:
            yield from (text for one in codings for text in forms(kind, one))
        case "token", {"code": str(code), **rest} | {"value": str(code), "type": _, **rest}:
            system, said = rest.get("system", ""), escaped(code)
            yield from (f"={said}", f"={system}|{said}", f"=|{said}", f":not={system}|{said}")
        case "token", str():
            yield from (f"{mark}{escaped(str(value))}" for mark in ("=", ":not="))
        case "string" | "date", dict() | list():
            parts = value.values() if isinstance(value, dict) else value
            yield from (text for one in parts for text in forms(kind, one))
        case "string", str():
            said = escaped(value)
            yield from (f"={said}", f"={said.upper()}", f"={escaped(value[:3])}", f":exact={said}")
        case "date", str():
            for text in sorted({value, value[:4], value[:7], value[:10]}):
                yield from (f"={prefix}{quote(text)}" for prefix in PREFIXES)
        case "reference", {"reference": str(text)} if re.fullmatch(r"[A-Z]\w+/[\w.-]+", text):
            of, identity = text.split("/")
            yield from (f"={text}", f"={identity}", f":{of}={identity}")
        case "quantity", {"value": amount}:
            unit = f"|{value.get('system', '')}|{value.get('code', '')}"
            yield from (f"={prefix}{amount}{end}" for prefix in PREFIXES for end in ("", unit))


def escaped(text: str) -> str:
    return quote(re.sub(r"([\\,$|])", r"\\\1", text), safe="")


def compare(bases: list[str], shared: Path) -> int:
    """How many answers differ that are not known to."""
    resources, count = stored(bases, shared), Counter[str]()
    asked = dict.fromkeys((*SEARCHES, *searches(shared, resources)))
    for how, what in [*((found, (one,)) for one in asked), *((met, step) for step in STEPS)]:
        theirs, own = (how(base, *what) for base in bases)
        question = " ".join(map(str, what))
        said = f"{question} => {theirs} | {own}"
        known = next((why for mark, why in KNOWN.items() if re.search(mark, said)), "NEW")
        count["alike" if theirs == own else known] += 1
        if theirs != own and known == "NEW":
            print(f"{question[:300]}\n    HAPI {theirs[:300]}\n    ours {own[:300]}")
    print(*(f"{number:6} {why}" for why, number in count.most_common()), sep="\n")
    return count["NEW"]


def main() -> None:
    command = argparse.ArgumentParser(description="What HAPI's server and ours answer differently.")
    command.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    shared = command.parse_args().shared
    if reason := missing(shared / "peers"):
        sys.exit(f"not compared: {reason}")
    with hapi(shared / "peers" / "hapi.sh", 8090) as other, ours() as own:
        sys.exit(bool(compare([other.base, own["sqlite"].base], shared)))


if __name__ == "__main__":
    main()
