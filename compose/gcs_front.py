"""What a browser may ask of the stack's buckets: a file that a page of the site shows. A WSGI application, for gunicorn.

fake-gcs-server lets every page of every site read, overwrite and delete whatever it has, and no option of its own forbids it. So its
port is not published; this one's is. It passes on GET and HEAD of objects in the buckets of BUCKETS to the server UPSTREAM, when they
are asked for by its own name (HOST: another name that leads here is a trick of DNS), and lets no other page read the
answer than those of ORIGIN.
"""

from __future__ import annotations

import http.client
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

HOST = os.environ["HOST"]
ORIGIN = os.environ["ORIGIN"]
UPSTREAM = os.environ["UPSTREAM"]
BUCKETS = os.environ["BUCKETS"].split(",")

_PASSED_ON = ("Accept-Encoding", "If-Modified-Since", "If-None-Match", "Range")
_KEPT_BACK = ("connection", "date", "server", "transfer-encoding", "vary", "x-content-type-options")
_SECONDS = 30
_PIECE = 1 << 16

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Answer one request."""
    if problem := _refusal(environ):
        return _text(start_response, *problem)
    connection = http.client.HTTPConnection(UPSTREAM, timeout=_SECONDS)
    try:
        headers = {name: value for name in _PASSED_ON if (value := environ.get(_variable(name)))}
        connection.request(environ["REQUEST_METHOD"], _target(environ), headers={"Host": HOST, **headers})
        answer = connection.getresponse()
    except OSError as error:
        connection.close()
        return _text(start_response, "502 Bad Gateway", f"The server of the buckets does not answer: {error}")
    start_response(f"{answer.status} {answer.reason}", [*_headers(answer), *_own_headers(environ)])
    return _pieces(connection, answer)


def _refusal(environ: dict[str, Any]) -> tuple[str, str] | None:
    """Status and reason, if the request is none of a page's."""
    if environ.get("HTTP_HOST") != HOST:
        return "403 Forbidden", f"This is {HOST}."
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return "405 Method Not Allowed", "Files are read here; only the containers write them."
    if environ.get("HTTP_ORIGIN", ORIGIN) != ORIGIN:
        return "403 Forbidden", f"These files are for {ORIGIN}."
    bucket, _, name = urlsplit(_target(environ)).path.removeprefix("/").partition("/")
    if bucket not in BUCKETS or not name or {".", ".."} & set(unquote(name).split("/")):
        return "403 Forbidden", "Here are the objects of the site's buckets, by their names."
    return None


def _target(environ: dict[str, Any]) -> str:
    """What was asked for, as it was sent: PATH_INFO is decoded already."""
    return str(environ["RAW_URI"])


def _variable(name: str) -> str:
    return "HTTP_" + name.upper().replace("-", "_")


def _headers(answer: http.client.HTTPResponse) -> Iterator[tuple[str, str]]:
    for name, value in answer.getheaders():
        lowered = name.lower()
        if lowered not in _KEPT_BACK and not lowered.startswith("access-control-"):
            yield name, value


def _own_headers(environ: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Vary", "Accept-Encoding, Origin"
    yield "X-Content-Type-Options", "nosniff"
    if "HTTP_ORIGIN" in environ:
        yield "Access-Control-Allow-Origin", ORIGIN


def _pieces(connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while piece := answer.read(_PIECE):
            yield piece
    finally:
        connection.close()


def _text(start_response: StartResponse, status: str, reason: str) -> list[bytes]:
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")])
    return [f"{reason}\n".encode()]
