"""
After a story: whatever came to an organization by another's act is in the accounting, and nothing else is.

Rule 3 of DESIGN.md. What an act wrote bears the time of its plan, and so does its accounting; the time
tells by which call it came. Within one organization nothing is disclosed, as from a clinic's reports to
the inbox of its own clinician.
"""

import json
from collections import defaultdict

_VERSIONS = """
    SELECT shelf, type || '/' || id, updated, method, body FROM resource
    UNION ALL SELECT shelf, type || '/' || id, updated, method, body FROM version"""
_ROWS = "SELECT at, recipient, disclosed FROM ledger"
_PURGED = "SELECT shelf, type || '/' || id, max(at) FROM purge GROUP BY 1, 2"
_REMINDERS = ("/sid/duty", "/sid/not-followed", "/sid/overdue")


def faults(exchange):
    """
    What is wrong with the accounting of a story, a line for each: nothing where it is right.

    A clock that stood behind what stands tells nothing: such a story is passed over.
    """
    told = {
        (recipient, name, at)
        for at, recipient, disclosed in exchange.rows(_ROWS)
        for name in json.loads(disclosed)
    }
    if not told or exchange.set_back:
        return []
    written = {(shelf, name, at): (how, body)
               for shelf, name, at, how, body in exchange.rows(_VERSIONS)}  # fmt: skip
    purged = {(shelf, name): at for shelf, name, at in exchange.rows(_PURGED)}
    senders = {f"{tenant['id']}/{one['id']}" for tenant in exchange.tenants
               for one in tenant["shelves"] if one["role"] == "source"}  # fmt: skip
    acts = defaultdict(set)
    for begun, ended, tenant in exchange.acts:
        acts[tenant].add((begun, ended))
    return [
        *(f"not accounted: {name} on {shelf} at {at}"
          for (shelf, name, at), (how, body) in written.items()
          if (shelf, name, at) not in told and how != "DELETE"
          and _by_another(acts, shelf.partition("/")[0], at) and tells(json.loads(body), shelf in senders)),
        *(f"accounted and not written: {name} on {shelf} at {at}" for shelf, name, at in told
          if (shelf, name, at) not in written and at > purged.get((shelf, name), "")),
    ]  # fmt: skip


def _by_another(acts, tenant, at):
    """Whether somebody else acted then, and this organization did not."""
    own = any(begun < at <= ended for begun, ended in acts[tenant])
    return not own and any(
        begun < at <= ended for other in acts if other != tenant for begun, ended in acts[other]
    )


def tells(resource, sends):
    """
    Whether it says something to its readers: a tombstone does not, nor a reminder to its own people, nor
    the sender's half of a report that an authority hands on, until somebody answers it.

    sends       whether it stands with who sends
    """
    if resource["resourceType"] != "Task":
        return True
    state = resource.get("businessStatus", {}).get("coding", [{}])[0].get("code")
    systems = [one.get("system", "") for one in resource.get("identifier", [])]
    reminds = any(one.endswith(_REMINDERS) for one in systems)
    return not (state == "expunged" or reminds or (sends and state == "submitted"))
