"""What faults do to one call: the answer that comes instead, later, or in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from gcp_emulator.engine.errors import ApiError, permission_denied, unauthenticated
from gcp_emulator.engine.faults import Fault, during
from gcp_emulator.front.messages import BrokenConnectionError, Headers, Response, text_response

_HTML = """<!DOCTYPE html>
<html lang=en>
  <title>Error 502 (Server Error)!!1</title>
  <p><b>502.</b> <ins>That's an error.</ins>
  <p>The server encountered a temporary error and could not complete your request. Please try again in 30 seconds.
</html>
"""
_ERRORS: dict[str, Callable[[], ApiError]] = {
    "unauthenticated": lambda: unauthenticated("Request had invalid authentication credentials."),
    "not_found": lambda: ApiError("NOT_FOUND", "Requested entity was not found."),
    "conflict": lambda: ApiError(
        "ABORTED",
        "There were concurrent changes. Please retry the whole read-modify-write.",
        reason="conflict",
    ),
    "precondition_failed": lambda: ApiError(
        "FAILED_PRECONDITION",
        "At least one of the pre-conditions you specified did not hold.",
        code=412,
        reason="conditionNotMet",
    ),
    "internal_error": lambda: ApiError("INTERNAL", "Internal error encountered."),
    "unavailable": lambda: ApiError("UNAVAILABLE", "The service is currently unavailable."),
}


async def disturbed(
    faults: tuple[Fault, ...], permission: str, resource: str, work: Callable[[], Awaitable[Response]]
) -> Response:
    """The response of ``work`` as the faults leave it. ApiError, or BrokenConnectionError when there is none.

    ``permission`` and ``resource`` are what a 403 names.
    """
    for fault in faults:
        if fault.kind == "html":
            return text_response(_HTML, status=502, content_type="text/html; charset=UTF-8")
        if fault.kind == "reset_before":
            raise BrokenConnectionError("a fault resets the connection")
        _refuse(fault, permission, resource)
    with during(faults):
        response = await work()
    for fault in faults:
        if fault.kind == "stall":
            await fault.hold(fault.seconds)
        if fault.kind == "reset_after":
            raise BrokenConnectionError("a fault resets the connection")
        if fault.kind == "truncated":
            response = await _truncated(response)
    return response


def _refuse(fault: Fault, permission: str, resource: str) -> None:
    if fault.kind == "forbidden":
        raise permission_denied(permission, resource)
    if fault.kind == "rate_limited":
        raise ApiError(
            "RESOURCE_EXHAUSTED",
            "Quota exceeded for quota metric 'Requests' and limit 'Requests per minute'.",
            headers={"Retry-After": str(fault.settings["retryAfter"])},
        )
    if fault.kind in _ERRORS:
        raise _ERRORS[fault.kind]()


async def _truncated(response: Response) -> Response:
    body = response.body
    if not isinstance(body, bytes):
        body = b"".join([part async for part in body])
    if not body:
        raise BrokenConnectionError("a fault breaks off an answer that has no body")
    headers = Headers(response.headers.items)
    headers.set("Content-Length", str(len(body)))
    half = body[: len(body) // 2]

    async def pieces() -> AsyncIterator[bytes]:
        yield half
        raise ConnectionResetError("a fault breaks off the answer")

    return Response(response.status, headers, pieces())
