"""Downloads: the bytes of an object with the headers, ranges and conditions of both APIs.

Sources: https://cloud.google.com/storage/docs/xml-api/get-object-download, .../xml-api/reference-headers and .../docs/transcoding.
"""

from __future__ import annotations

import datetime
import re
from email.utils import format_datetime, parsedate_to_datetime

from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import ApiError, Json
from gcp_emulator.front.messages import Headers, Request, Response
from gcp_emulator.services.storage.errors import condition_not_met
from gcp_emulator.services.storage.files import Files
from gcp_emulator.services.storage.records import NotModifiedError

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_TOKEN = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_STORED_HEADERS = {
    "contentType": "Content-Type",
    "cacheControl": "Cache-Control",
    "contentDisposition": "Content-Disposition",
    "contentEncoding": "Content-Encoding",
    "contentLanguage": "Content-Language",
}


def media_response(
    files: Files,
    request: Request,
    record: Json,
    *,
    etag: str,
    public: bool,
    overrides: dict[str, str] | None = None,
) -> Response:
    """The bytes that ``request`` asks for (none for HEAD): 200, 206, 304, 412 or 416.

    ``etag`` is the ETag header's value; ``public`` tells whether anybody may read the object, which decides the default
    Cache-Control; ``overrides`` replaces headers (a signed URL's ``response-content-*``).
    """
    headers = _headers(record, etag, public=public)
    try:
        _check_http_conditions(request, record, etag)
    except NotModifiedError:
        headers.remove("Content-Type", "Content-Disposition", "Content-Encoding", "Content-Language")
        return Response(304, headers)
    for name, value in (overrides or {}).items():
        headers.set(name, _header_value(value))
    if _must_gunzip(request, record):
        headers.remove("Content-Encoding", "Accept-Ranges")
        headers.items += [("Warning", "214 UploadServer gunzipped"), ("Vary", "Accept-Encoding")]
        body = b"" if request.method == "HEAD" else files.read_gunzipped(record["content"])
        return Response(200, headers, body)
    size = record["size"]
    status, (start, end) = 200, (0, size)
    if (asked := _range(request.headers.get("range"), size)) is not None:
        status, (start, end) = 206, asked
        headers.set("Content-Range", f"bytes {start}-{end - 1}/{size}")
    headers.set("Content-Length", str(end - start))
    body = b"" if request.method == "HEAD" else files.read(record["content"], start, end)
    return Response(status, headers, body)


def _headers(record: Json, etag: str, *, public: bool) -> Headers:
    headers = Headers(
        [
            ("Content-Type", "application/octet-stream"),
            ("Cache-Control", "public, max-age=3600" if public else "private, max-age=0"),
            ("ETag", etag),
            ("Last-Modified", format_datetime(clock.parse_timestamp(record["updated"]), usegmt=True)),
            ("Accept-Ranges", "bytes"),
            ("x-goog-generation", str(record["generation"])),
            ("x-goog-metageneration", str(record["metageneration"])),
            ("x-goog-storage-class", record["storageClass"]),
            ("x-goog-stored-content-encoding", record.get("contentEncoding", "identity")),
            ("x-goog-stored-content-length", str(record["size"])),
            ("x-goog-hash", f"crc32c={record['crc32c']}"),
        ]
    )
    if "md5Hash" in record:
        headers.items.append(("x-goog-hash", f"md5={record['md5Hash']}"))
    if "componentCount" in record:
        headers.items.append(("x-goog-component-count", str(record["componentCount"])))
    for field, name in _STORED_HEADERS.items():
        if record.get(field):
            headers.set(name, _header_value(record[field]))
    for key, value in record.get("metadata", {}).items():
        if not _TOKEN.fullmatch(key):
            continue  # metadata takes any key, a header does not
        headers.items.append((f"x-goog-meta-{key}", _header_value(value)))
    return headers


def _header_value(text: str) -> str:
    """``text`` as a header may carry it: no control characters, UTF-8 bytes as the Latin-1 that heads are written in."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text).strip().encode("utf-8", "replace").decode("latin-1")


def _check_http_conditions(request: Request, record: Json, etag: str) -> None:
    """RFC 9110 section 13: If-Match before If-Unmodified-Since, If-None-Match before If-Modified-Since."""
    modified = clock.parse_timestamp(record["updated"]).replace(microsecond=0)
    match, none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    if match is not None:
        if not _names(match, etag):
            raise condition_not_met()
    elif (since := _date(request.headers.get("if-unmodified-since"))) is not None and modified > since:
        raise condition_not_met()
    if none_match is not None:
        if _names(none_match, etag):
            raise NotModifiedError
    elif (since := _date(request.headers.get("if-modified-since"))) is not None and modified <= since:
        raise NotModifiedError


def _names(header: str, etag: str) -> bool:
    given = [item.strip().removeprefix("W/").strip('"') for item in header.split(",")]
    return "*" in given or etag.strip('"') in given


def _date(text: str | None) -> datetime.datetime | None:
    if text is None:
        return None
    try:
        return parsedate_to_datetime(text)
    except ValueError:
        return None


def _must_gunzip(request: Request, record: Json) -> bool:
    """Decompressive transcoding: stored compressed, and the caller does not take it so."""
    return (
        record.get("contentEncoding") == "gzip"
        and "gzip" not in (request.headers.get("accept-encoding") or "")
        and "no-transform" not in record.get("cacheControl", "")
    )


def _range(header: str | None, size: int) -> tuple[int, int] | None:
    """Start and end (exclusive) of what a Range header asks for; None (the whole) without one that is understood."""
    found = _RANGE.fullmatch((header or "").replace(" ", ""))
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if first == "":
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size:
        raise ApiError(
            "OUT_OF_RANGE",
            "Request range not satisfiable",
            code=416,
            reason="requestedRangeNotSatisfiable",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, end
