"""The log of a build that names no logs bucket: in a bucket of Google's, which the project's viewers can read.

Source: "Storing and managing build logs" (default bucket ``gs://PROJECT_NUMBER.cloudbuild-logs.googleusercontent.com``).
Clients follow the object ``log-BUILD_ID.txt`` with Range requests while the build runs; nothing else of the bucket is there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from gcp_emulator.front.messages import Headers, Request, Response

LOGS_HOST = "storage.googleapis.com"
LOGS_PATH = "/{}.cloudbuild-logs.googleusercontent.com/log-{}.txt"
_OBJECT = re.compile(
    r"/(?P<number>\d+)\.cloudbuild-logs\.googleusercontent\.com/log-(?P<build>[0-9a-f-]{36})\.txt"
)
_RANGE = re.compile(r"bytes=(\d+)-")


class DefaultLogs:
    """The logs, one file per build."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @staticmethod
    def bucket(number: str) -> str:
        """The URL of the default logs bucket of the project with this number."""
        return f"gs://{number}.cloudbuild-logs.googleusercontent.com"

    @staticmethod
    def owner(path: str) -> tuple[str, str] | None:
        """Project number and build id of a request's path; None when it is for no log."""
        found = _OBJECT.fullmatch(path)
        return (found["number"], found["build"]) if found else None

    def add(self, build: str, lines: Sequence[str]) -> None:
        """Append lines to the log of a build."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / build).open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)

    def answer(self, request: Request, build: str) -> Response:
        """The log as far as it goes, or the part from the first byte that is asked for: 200, 206, 404 or 416."""
        file = self._folder / build
        if not file.exists():
            return Response(404)
        data = file.read_bytes()
        headers = Headers([("Content-Type", "text/plain")])
        asked = _RANGE.fullmatch(request.headers.get("range") or "")
        if asked is None:
            return Response(200, headers, data)
        start = int(asked[1])
        if start >= len(data):
            return Response(416, Headers([("Content-Range", f"bytes */{len(data)}")]))
        headers.set("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        return Response(206, headers, data[start:])
