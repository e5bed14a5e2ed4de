"""Cross-origin rules of buckets, as browsers meet them at the XML API.

Source: https://cloud.google.com/storage/docs/cross-origin.
"""

from __future__ import annotations

from gcp_emulator.engine.errors import Json
from gcp_emulator.front.messages import Headers, Request, Response

_DEFAULT_MAX_AGE = 3600


def _rule(bucket: Json, origin: str | None, method: str) -> Json | None:
    """The first rule that allows ``method`` from ``origin``."""
    if origin is None:
        return None
    for rule in bucket.get("cors", []):
        if {"*", origin} & set(rule.get("origin", [])) and {"*", method} & set(rule.get("method", [])):
            return dict(rule)
    return None


def _allow_origin(rule: Json, origin: str) -> list[tuple[str, str]]:
    if "*" in rule["origin"]:
        return [("Access-Control-Allow-Origin", "*")]
    return [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")]


def preflight(bucket: Json, request: Request) -> Response:
    """The answer to OPTIONS: 200 with the allowances of the first rule that matches, or with none."""
    origin = request.headers.get("origin")
    method = request.headers.get("access-control-request-method") or ""
    rule = _rule(bucket, origin, method)
    if rule is None or origin is None:
        return Response(200)
    headers = Headers(_allow_origin(rule, origin))
    headers.items += [
        ("Access-Control-Allow-Methods", ",".join(rule["method"])),
        ("Access-Control-Allow-Headers", ",".join(rule.get("responseHeader", []))),
        ("Access-Control-Max-Age", str(rule.get("maxAgeSeconds", _DEFAULT_MAX_AGE))),
    ]
    return Response(200, headers)


def add_headers(bucket: Json, request: Request, response: Response) -> None:
    """The allowances that a browser wants to see on the response itself."""
    origin = request.headers.get("origin")
    rule = _rule(bucket, origin, request.method)
    if rule is None or origin is None:
        return
    response.headers.items += _allow_origin(rule, origin)
    response.headers.set("Access-Control-Expose-Headers", ",".join(rule.get("responseHeader", [])))
