"""What holds after each act of a day, and what holds once all is quiet."""

import json
import re
from collections import Counter
from datetime import timedelta
from functools import cache, partial
from urllib.parse import unquote

import accounted
from days_world import CLINICS, PEOPLE, WORD
from orders import RANK, agree

OWN_ID = re.compile(r"\b[a-z2-7]{26}\b")
ENDED = {"completed", "rejected", "failed", "cancelled", "entered-in-error"}
_EVERY = """
    SELECT shelf, type || '/' || id, exchange, updated, body, method FROM resource
    UNION ALL SELECT v.shelf, v.type || '/' || v.id, r.exchange, v.updated, v.body, v.method
    FROM version v JOIN resource r ON (r.shelf, r.type, r.id) = (v.shelf, v.type, v.id)"""
_TASKS = """
    SELECT e.id, e.kind, e.state, o.body, t.body FROM exchange e
    JOIN resource o ON o.shelf = e.source AND o.type = 'Task' AND 'Task/' || o.id = e.source_task
    JOIN resource t ON t.shelf = e.recipient AND t.type = 'Task' AND 'Task/' || t.id = e.recipient_task"""
_SENT = "SELECT source, copies FROM exchange WHERE state <> 'expunged'"
_TAKEN = """
    SELECT r.shelf, r.type || '/' || r.id FROM resource r JOIN purge p
    ON (p.shelf, p.type, p.id, p.at) = (r.shelf, r.type, r.id, r.updated) WHERE r.method = 'DELETE'"""
_COPIES = """
    SELECT r.type, r.id FROM resource r JOIN exchange e ON e.id = r.exchange
    WHERE r.method <> 'DELETE' AND e.state <> 'expunged' AND r.shelf = """


def always(days):
    """No version on any shelf tells of another child, clinic or purpose, nor of another shelf's ids; no Task steps back."""
    rows = days.exchange.rows(_EVERY)
    of = {one.exchange: one for one in days.sent}
    places = {}
    for shelf, name, *_ in rows:
        places.setdefault(name.partition("/")[2], set()).add(shelf)
    for (number,) in days.exchange.rows("SELECT id FROM exchange"):
        places.pop(number, None)
    for shelf, name, exchange, updated, body, method in rows:
        text, sent = bytes(body).decode(), of.get(exchange)
        where = f"{name} on {shelf} at {updated}: {text}"
        known = sent if sent and sent.order not in days.mixed else None
        _is_of(text, shelf, known, where, days.mixed)
        assert ("yid-" if shelf.partition("/")[0] in CLINICS else "zid-") not in text, where
        strange = [one for one in OWN_ID.findall(text) if shelf not in places.get(one, {shelf})]
        assert strange == [], where
        _knows_who(days, shelf, name, exchange, updated, body, method)
        if name.startswith("Task/") and method != "DELETE":
            _no_step_back(days, shelf, json.loads(text), updated)
    _senders_have(days)
    _both_agree(days, of)
    told = _told(days)
    assert [one for one, often in days.came.items() if often > told[one]] == [], "not accounted"


def _knows_who(days, shelf, name, exchange, updated, body, method):
    """Who wrote a version; a clock that is set back tells nothing of that."""
    if (shelf, name, updated) in days.writers:
        return
    days.writers[shelf, name, updated] = who = days.who(shelf, exchange)
    strange = who not in {"", shelf.partition("/")[0]}
    sends = shelf.startswith(CLINICS)
    if strange and method != "DELETE" and accounted.tells(json.loads(body), sends):
        days.came[shelf, name] += 1


def _told(days):
    rows = days.exchange.rows("SELECT recipient, disclosed FROM ledger")
    return Counter((shelf, name) for shelf, disclosed in rows for name in json.loads(disclosed))


def _is_of(text, shelf, sent, where, mixed):
    tenant = shelf.partition("/")[0]
    purpose = "s" if shelf.endswith(("chart", "support")) else "r"
    for word in WORD.finditer(text):
        clinic, child, why = word.groups()
        assert why == purpose, f"the wall: {where}"
        assert clinic == tenant or tenant not in CLINICS, f"another clinic: {where}"
        theirs = not sent or word[0] in mixed or (clinic, child) == (sent.clinic, sent.child)
        assert theirs, f"another child: {where}"
    if tenant in CLINICS:
        return
    assert not re.search(r"(clinic|ward)/(chart|reports|dr-lin)", text), f"an address: {where}"
    others = [one for one in PEOPLE if sent and one != sent.child]
    assert not any(f'"{one}"' in text for one in others), f"another child: {where}"


def _no_step_back(days, shelf, task, updated):
    """A reminder is raised anew when something changes after it was done (decision 0068)."""
    name, rank = (shelf, task["id"]), RANK.get(task["status"], 0)
    last, before = days.ranks.get(name, ("", 0))
    if updated >= last and "/sid/not-followed" not in str(task.get("identifier")):
        assert rank >= before or not ("partOf" in task or "focus" in task), f"back: {task}"
        days.ranks[name] = (updated, rank)


def _senders_have(days):
    """What they sent, unless that was expunged: nothing of it goes with what else was, or it tells of another by now."""
    taken = {*days.exchange.rows(_TAKEN)}
    for source, copies in days.exchange.rows(_SENT):
        gone = [
            one
            for one in json.loads(copies)
            if (source, one) in taken and len(days.borne[source, one.partition("/")[2]]) < 2
        ]
        assert gone == [], f"expunged with another: {source}, {gone}"


def _both_agree(days, of):
    rows = days.exchange.rows(_TASKS)
    for number, kind, state, mine, theirs in rows:
        if sent := of.get(number):
            sent.lapsed = not _covered(days, sent)
        if not (sent and sent.lapsed):
            agree(kind, state, json.loads(mine), json.loads(theirs))
    assert [(len(rows),)] == days.exchange.rows("SELECT count(*) FROM exchange")


def _covered(days, sent):
    if sent.purpose == "r":
        return True
    consent = days.read(sent.shelf, f"Consent/zid-c{sent.number}") or {}
    said = consent.get("provision", {})
    end = said.get("period", {}).get("end", "9999")
    stands = consent.get("status") == "active" and said.get("type") != "deny"
    return stands and end >= days.exchange.at.isoformat()[:10]


def quiet(days):
    """Everybody is there again, and nothing is owed any more."""
    exchange = days.exchange
    for partner in days.wire.partners.values():
        partner.fails = ""
    exchange.now = exchange.at + timedelta(minutes=5)
    exchange.until(
        lambda: (
            not exchange.rows("SELECT name FROM copied WHERE due > 0")  # first: it comes to be owed
            and not exchange.rows("SELECT id FROM outbox WHERE state = 'owed'")
            and not exchange.rows("SELECT id FROM purge WHERE scrubbed = 0")
        )
    )
    refused = {one for (one,) in exchange.rows("SELECT outbox FROM attempt WHERE status = 451")}
    failed = exchange.rows("SELECT * FROM outbox WHERE state = 'failed'")
    strange = [one for one in failed if one[0] not in refused]
    assert strange == [], exchange.rows(f"SELECT * FROM attempt WHERE outbox = {strange[0][0]}")
    always(days)
    for sent in days.sent:
        _follows(days, sent)
    for clinic in CLINICS:
        _screened(days, f"{clinic}/chart")
    _expunged(days)
    for shelf, partner in days.wire.partners.items():
        _pushed(days, shelf, partner)
    faults = accounted.faults(exchange)
    assert faults == [], faults


def _follows(days, sent):
    """What a clinic corrected is at the agency that works on it, or somebody is told that it is not."""
    source, _, recipient, theirs, _, _ = days.row(sent)
    if sent.order in days.mixed:
        return
    if days.read(recipient, theirs)["status"] in ENDED or not _covered(days, sent):
        return
    copies = days.copied(sent)
    told = any(
        "not-followed" in str(one.get("code")) and (sent.order in str(one) or sent.task in str(one))
        for one in days.held(source, "Task")
    )
    for name, other in copies.items():
        here, there = days.read(source, name), str(days.read(recipient, other))
        identity = name.partition("/")[2]
        if name.startswith("Patient/") and here:
            stands = _survivor(days, source, here)
            if stands and days.of[source, stands["id"]] == sent.child and not told:
                assert stands["address"][0]["text"] in there, f"not followed: {stands}, {there}"
        elif (source, identity) in days.facts and here and here["status"] == "final":
            record, words = days.facts[source, identity]
            if days.of.get((source, record)) == sent.child and f"Patient/{record}" in copies:
                assert told or words in there, f"not followed: {name}, {words}, {there}"


def _screened(days, shelf):
    """What was made of a form or a row stands where that does, of the same child, and says the same."""
    for one in days.held(shelf, "Observation"):
        if one["id"].startswith("zid-") or one["status"] == "entered-in-error":
            continue
        for source in one.get("derivedFrom", []):
            if "zid-" not in source["reference"]:
                continue
            said = days.read(shelf, source["reference"])
            assert (said or {}).get("status") not in {None, "entered-in-error"}, f"alone: {one}"
            assert said["subject"] == one["subject"], f"another child: {one}, {said}"
            answer = one.get("valueCodeableConcept", {}).get("coding", [{}])[0].get("code", "")
            assert "hasMember" in one or len(one["derivedFrom"]) > 1 or answer in str(said), (
                f"{one}, {said}"
            )


def _survivor(days, shelf, record):
    """
    The record that stands in place of one, whichever of them says so (decision 0089); itself where none
    does, or that one is gone; None where they say it of each other, or of more than one.
    """
    by, behind = _links(record, "replaced-by"), _links(record, "replaces")
    name = f"Patient/{record['id']}"
    for one in days.held(shelf, "Patient"):
        by |= {f"Patient/{one['id']}"} if name in _links(one, "replaces") else set()
        behind |= {f"Patient/{one['id']}"} if name in _links(one, "replaced-by") else set()
    if not by:
        return record
    found = [one for name in by if (one := days.read(shelf, name))]
    if len(by) > 1 or behind or any(_links(one, "replaced-by") for one in found):
        return None
    return found[0] if found else record


def _links(record, kind):
    return {one["other"]["reference"] for one in record.get("link", []) if one["type"] == kind}


def _expunged(days):
    """Of what was said in a report alone nothing is in the file once it was expunged."""
    gone = {one.exchange for one in days.sent if days.row(one)[-1] == "expunged"}
    kept = {word for one in days.sent if one.exchange not in gone for word in one.words}
    said = {word for one in days.sent if one.exchange in gone for word in one.words}
    stored = days.house.stored()
    left = [word for word in said - kept if word.encode() in stored]
    assert left == [], {word: days.house.where(word) for word in left}
    days.done["expunged"] += len(gone)


def _pushed(days, shelf, partner):
    """Who pulls reads what was pushed, and all of it; but for what its own people wrote here."""
    failed = str(days.exchange.rows("SELECT versions FROM outbox WHERE state = 'failed'"))
    held = cache(partial(days.held, shelf))
    known = {name: said for key, said in partner.held.items() if (name := _named(held, *key))}
    for name, said in known.items():
        stands = days.read(shelf, name)
        if stands and not _is_own(days, shelf, stands) and name not in failed:
            assert _bare(said) == _bare(stands), name
    agencys = shelf.startswith("agency")
    for kind, identity in days.exchange.rows(f"{_COPIES}'{shelf}'"):
        stands = days.read(shelf, f"{kind}/{identity}")
        if not (agencys or kind in {"Task", "Communication"}) or identity in failed:
            continue
        if not _is_own(days, shelf, stands) and "expunged" not in str(stands):
            assert f"{kind}/{identity}" in known, f"never pushed: {stands}"


def _named(held, kind, condition):
    """Type/id of what a conditional push means; "" where it does not stand."""
    name, _, value = condition.partition("=")
    system, _, code = unquote(value).rpartition("|")
    if name == "_tag":
        return f"{kind}/{code}"
    number = {"system": system, "value": code}
    stand = (one["id"] for one in held(kind) if number in one.get("identifier", []))
    return next((f"{kind}/{one}" for one in stand), "")


def _is_own(days, shelf, stands):
    name, at = f"{stands['resourceType']}/{stands['id']}", stands["meta"]["lastUpdated"]
    own = shelf.partition("/")[0]
    return days.writers.get((shelf, name, at), own) == own  # a reminder may have come since


def _bare(node):
    """What it says, without what differs by the server: ids, times of storing, tags, where references lead."""
    if isinstance(node, list):
        return [_bare(one) for one in node]
    if not isinstance(node, dict):
        return node
    theirs = {"id", "lastUpdated", "reference", "tag", "versionId"}
    made = {key: _bare(one) for key, one in node.items() if key not in theirs}
    return {key: one for key, one in made.items() if key != "meta" or one}
