"""$validate: https://hl7.org/fhir/R4/resource-operation-validate.html, and at the system's level."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final, get_args

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from app import fhir
from app.api import access, body, responses, target
from app.domain.change import Act, Change, Entry
from app.errors import Issue, Malformed, NotSupported, outcome
from app.flows import read, validate
from app.flows.service import Service
from app.flows.validate import Mode
from app.formats import xml

_MODES: Final[dict[str, Mode]] = {mode: mode for mode in get_args(Mode)}
_PARAMETERS: Final = frozenset({"resource", "mode", "profile", "usageContext"})
MOST_PROFILES: Final = 20
_NONE: Final = Issue("information", "informational", "No issue was found.")


@dataclass(frozen=True, slots=True)
class Asked:
    """
    What a caller wants to know.

    resource    None: the one that stands
    issues      what is wrong with how it was written down
    """

    resource: Any
    mode: Mode
    profiles: tuple[str, ...]
    issues: tuple[Issue, ...]


async def answer(service: Service, request: Request, *, base: str, most: int) -> Response:
    """
    An OperationOutcome with 200, whatever is wrong with the resource.

    A resource comes in JSON or XML. With the mode delete it is asked whether what stands may go,
    and not how it is.
    base        of the shelf, for references to it
    raises      Malformed, TooLarge, WrongMediaType: what is sent cannot be read
                NotFound: there is no such type, or nothing stands under this id
    """
    shelf, caller = await access.enter(service, request)
    target.only(request, "mode", "profile")
    kind = request.path_params.get("type", "")
    identity = request.path_params.get("id", "")
    if kind:
        body.type_of(kind)
    asked = await _asked(service, request, kind, most)
    resource = asked.resource
    if asked.mode == "delete" and not identity:
        raise Malformed("What may be deleted is asked at [type]/[id]/$validate.")
    if identity and (resource is None or asked.mode == "delete"):
        row = await read.read(service, shelf, caller, f"{kind}/{body.id_of(identity)}")
        resource = fhir.decode(row.body)
    if resource is None:
        raise Malformed("Send a resource, alone or as the parameter `resource`.")
    change = Change(
        shelf, caller, "update", (), base=base, nonce=uuid.uuid4().hex, long=body.is_long(request)
    )
    if asked.mode == "delete":
        gone = Entry("DELETE", {"resourceType": kind, "id": identity}, identity)
        found = await _taken(service, change, gone)
    else:
        found = [*asked.issues, *_misplaced(resource, kind, identity)]
        found += await validate.against(service, resource, asked.profiles)
        if body.is_xml(request):
            found = xml.worded(found)
    if asked.mode in ("create", "update") and not any(map(_fails, found)):
        name = str(resource.get("id", identity))
        if asked.mode == "create":
            found += await _taken(service, change, Entry("POST", resource))
        elif name:
            there = {**resource, "id": name}
            found += await _taken(service, change, Entry("PUT", there, name))
        else:
            text = "An update names its resource by an id."
            found.append(Issue("error", "required", text, f"{resource['resourceType']}.id"))
    said = outcome(tuple(found) or (_NONE,))
    return responses.fhir_json(request, fhir.encode(said))


def _fails(one: Issue) -> bool:
    return one.severity in ("fatal", "error")


async def _taken(service: Service, change: Change, entry: Entry) -> list[Issue]:
    act: Act = "create" if entry.method == "POST" else "update"
    return await validate.taken(service, replace(change, act=act, entries=(entry,)))


async def _asked(service: Service, request: Request, kind: str, most: int) -> Asked:
    query = request.query_params
    profiles, mode = query.getlist("profile"), query.get("mode", "")
    resource: Any = None
    issues: tuple[Issue, ...] = ()
    if request.method == "POST":
        find = service.definitions.structure
        resource, issues = await body.checked(request, most=most, find=find)
    if _wraps(resource, kind):
        parts, resource = resource["parameter"], None
        for one in parts:
            if one.get("name") == "resource":
                resource = one.get("resource")
            elif one.get("name") == "mode":
                mode = str(one.get("valueCode", one.get("valueString", "")))
            elif one.get("name") == "profile":
                profiles += [str(one[key]) for key in one if key.startswith("value")]
    if mode not in _MODES:
        raise NotSupported("A mode is create, update, delete or profile.")
    if len(profiles) > MOST_PROFILES:
        raise NotSupported(f"At most {MOST_PROFILES} profiles are checked at once.")
    if mode == "profile" and not profiles:
        raise Malformed("The mode profile needs a profile to check against.")
    return Asked(resource, _MODES[mode], tuple(profiles), issues)


def _wraps(sent: Any, kind: str) -> bool:
    """Whether these Parameters are the operation's own, and not what is to be checked."""
    if not isinstance(sent, dict) or sent.get("resourceType") != "Parameters":
        return False
    parts = sent.get("parameter")
    if not isinstance(parts, list) or not all(isinstance(one, dict) for one in parts):
        return False
    names = {str(one.get("name")) for one in parts}
    return bool(names) and names <= _PARAMETERS and (kind != "Parameters" or "resource" in names)


def _misplaced(resource: Any, kind: str, identity: str) -> list[Issue]:
    """What does not fit the URL that it was sent to."""
    sent = resource.get("resourceType") if isinstance(resource, dict) else None
    if kind and isinstance(sent, str) and sent != kind:
        return [Issue("error", "invalid", f"This is the place of {kind}, and not of this type.")]
    if identity and isinstance(resource, dict) and resource.get("id", identity) != identity:
        return [Issue("error", "invalid", "The id is another than the URL's.", f"{kind}.id")]
    return []
