"""Asks an application in its own process: ask.py MODULE PATH ...

Prints what the application prints, and last one line of JSON: of each path the status, the headers and the text. A path may begin with
the host and the protocol by which Google's front end was asked, and before the host with a release that is asked for by its name:
`http://release@other.example.com/`.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import json
import os
import sys
from typing import Any
from urllib.parse import urlsplit

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def headers_of(url: Any) -> dict[str, str]:
    """What the front end sends."""
    return {
        "host": url.netloc.rpartition("@")[2],
        "x-forwarded-proto": url.scheme,
        "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
        **({"x-release-candidate": url.username} if url.username else {}),
    }


def wsgi(application: Any, url: Any) -> list[Any]:
    """As gunicorn asks it."""
    said: list[Any] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": url.path,
        "QUERY_STRING": url.query,
        "SERVER_NAME": "10.0.0.1",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.1",
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers_of(url).items()},
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
    }
    body = application(
        environ, lambda status, headers, error=None: said.extend([int(status[:3]), dict(headers)])
    )
    return [*said, b"".join(body).decode("utf-8", "replace")]


async def asgi(application: Any, url: Any) -> list[Any]:
    """As uvicorn asks it."""
    sent: list[Any] = []
    done = asyncio.Event()
    asked = iter([{"type": "http.request", "body": b"", "more_body": False}])
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": url.path,
        "raw_path": url.path.encode(),
        "query_string": url.query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers_of(url).items()],
        "client": ("10.0.0.2", 1),
        "server": ("10.0.0.1", 8080),
    }

    async def receive() -> Any:
        message = next(asked, None)
        if message is None:
            await done.wait()
        return message or {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await application(scope, receive, send)
    done.set()
    begun = sent[0]
    headers = {name.decode().title(): value.decode() for name, value in begun["headers"]}
    return [
        begun["status"],
        headers,
        b"".join(one.get("body", b"") for one in sent[1:]).decode("utf-8", "replace"),
    ]


def main() -> None:
    """Asks."""
    sys.path.insert(0, os.getcwd())
    name, *paths = sys.argv[1:]
    application = importlib.import_module(name).application
    urls = [urlsplit(path if "://" in path else f"https://shop.example.com{path}") for path in paths]
    if name.endswith("asgi"):
        answers = [asyncio.run(asgi(application, url)) for url in urls]
    else:
        answers = [wsgi(application, url) for url in urls]
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
