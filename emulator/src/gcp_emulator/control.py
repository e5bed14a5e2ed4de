"""``/_emulator/faults``: the plan of faults over HTTP. It needs no credentials: who reaches the port owns the emulator."""

from __future__ import annotations

import json

from gcp_emulator.engine.errors import ApiError, Json, invalid_argument
from gcp_emulator.engine.faults import Faults
from gcp_emulator.front.messages import Request, Response, json_response

_PATH = "/_emulator/faults"


async def answer_faults(faults: Faults, request: Request) -> Response:
    """GET shows the plan, POST adds one fault or a list of ``faults``, DELETE removes all or one (``.../faults/f1``)."""
    try:
        return json_response({"faults": await _changed(faults, request)})
    except ApiError as error:
        return json_response(error.body("rpc"), status=error.code)


async def _changed(faults: Faults, request: Request) -> list[Json]:
    """Does what is asked; returns what is to be shown."""
    # Browsers say where a request comes from, and nothing else does: no web page may plan faults.
    if request.headers.get("Origin") is not None:
        raise ApiError("PERMISSION_DENIED", "Faults are not planned by web pages.", code=403)
    fault_id = request.path.removeprefix(_PATH).strip("/") or None
    if request.method == "POST" and fault_id is None:
        return faults.add(_entries(await request.read()))
    if request.method == "DELETE":
        faults.remove(fault_id)
        return faults.view()
    if request.method == "GET":
        return [fault for fault in faults.view() if fault_id in (None, fault["id"])]
    raise ApiError("INVALID_ARGUMENT", f"Method {request.method} is not allowed here.", code=405)


def _entries(data: bytes) -> list[object]:
    try:
        body = json.loads(data)
    except ValueError as error:
        raise invalid_argument(f"Invalid JSON payload received. {error}") from None
    if not isinstance(body, dict):
        raise invalid_argument("Invalid JSON payload received. An object is expected.")
    if "faults" not in body:
        return [body]
    if not isinstance(body["faults"], list) or set(body) != {"faults"}:
        raise invalid_argument("Invalid value at 'faults': a list is expected, and nothing beside it.")
    return body["faults"]
