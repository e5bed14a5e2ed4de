"""Uploads through the JSON API: media, multipart and resumable, under ``/upload/storage/v1/`` (or ``/resumable/upload/...``).

Source: https://cloud.google.com/storage/docs/uploads-downloads, .../performing-resumable-uploads and .../json_api/v1/how-tos/multipart-upload.
A session survives a restart of the emulator: its record is in the store, its bytes are in a file.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from email.message import Message
from urllib.parse import quote

from gcp_emulator.engine import discovery
from gcp_emulator.engine.errors import ApiError, Json, invalid_argument, not_found
from gcp_emulator.engine.facts import load_facts
from gcp_emulator.engine.identity import Identity
from gcp_emulator.engine.store import Store
from gcp_emulator.engine.validate import BodyValidator, is_number, parse_json, query_parameters
from gcp_emulator.front.messages import Headers, Request, Response, json_response
from gcp_emulator.services.storage.buckets import Buckets, is_uniform, refuse_acl_parameters
from gcp_emulator.services.storage.errors import refuse_encryption
from gcp_emulator.services.storage.files import Files
from gcp_emulator.services.storage.objects import Objects, Write, view
from gcp_emulator.services.storage.records import wants_lists

#: A session accepts bytes in multiples of this size, but for the last ones.
_GRANULE = 256 * 1024
#: A session ends after a week.
_SESSION_SECONDS = 7 * 24 * 3600
_MAX_METADATA = 64 * 1024
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


class Uploads:
    """Answers the upload paths."""

    def __init__(self, store: Store, files: Files, buckets: Buckets, objects: Objects) -> None:
        self._sessions = store.collection("storage.uploads")
        self._files = files
        self._buckets = buckets
        self._objects = objects
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        api, facts = discovery.load("storage", "v1"), load_facts("storage")
        self._insert = api.methods["storage.objects.insert"]
        self._tolerated = facts.tolerated_query
        self._validator = BodyValidator(api.schemas, facts.output_only, lenient=facts.lenient_body)

    def open_files(self) -> set[str]:
        """The ids of the unfinished uploads; sessions that are older than a week end here."""
        for upload_id, session in list(self._sessions.items()):
            if session["started"] < time.time() - _SESSION_SECONDS:
                self._sessions.delete(upload_id)
        return {session["file"] for _, session in self._sessions.items() if "object" not in session}

    async def begin(self, request: Request, identity: Identity | None, bucket: str) -> Response:
        """POST: a whole object (``uploadType`` media, multipart), or the start of a session (resumable)."""
        query = dict(request.query_pairs)
        params = query_parameters(self._insert, request.query_pairs, self._tolerated)
        refuse_encryption(request, params)
        refuse_acl_parameters(self._buckets.get(bucket), params)
        upload_type = query.get("uploadType") or query.get("upload_protocol")
        if upload_type == "resumable":
            return await self._begin_session(request, identity, bucket, params)
        if upload_type == "multipart":
            parts = _Multipart(request)
            body = self._metadata(await parts.metadata())
            content_type, media = await parts.media()
        elif upload_type == "media":
            body, content_type, media = {}, request.headers.get("content-type"), request.body
        else:
            raise invalid_argument(f"Invalid uploadType: {upload_type}")
        write = self._write(identity, bucket, params, body, content_type)
        self._objects.check(write)
        write.metadata = _digests(request.headers) | write.metadata
        record = self._objects.commit(write, await self._files.store(media))
        return json_response(self._view(write, record))

    def _view(self, write: Write, record: Json) -> Json:
        """The object as an upload answers it."""
        wanted = wants_lists(write.params, default=bool(write.metadata.get("acl")))
        return view(record, full=wanted and not is_uniform(self._buckets.get(write.bucket)))

    async def _begin_session(
        self, request: Request, identity: Identity | None, bucket: str, params: Json
    ) -> Response:
        body = self._metadata(await request.read(_MAX_METADATA))
        write = self._write(identity, bucket, params, body, request.headers.get("x-upload-content-type"))
        self._objects.check(write)
        upload_id = secrets.token_urlsafe(48)
        total = request.headers.get("x-upload-content-length")
        self._sessions.put(
            upload_id,
            {
                "started": time.time(),
                "file": self._files.new_upload(),
                "member": identity.member if identity else None,
                "bucket": bucket,
                "name": write.name,
                "metadata": write.metadata,
                "params": params,
                "total": int(total) if total and is_number(total) else None,
            },
        )
        location = (
            f"https://storage.googleapis.com/upload/storage/v1/b/{quote(bucket, safe='')}/o"
            f"?uploadType=resumable&name={quote(write.name, safe='')}&upload_id={upload_id}"
        )
        return Response(200, Headers([("Location", location), ("X-GUploader-UploadID", upload_id)]))

    async def resume(self, request: Request, upload_id: str) -> Response:
        """PUT: a chunk, or the question how much has arrived. The session's address is the credential."""
        async with self._locks[upload_id]:
            session = self._session(upload_id)
            if "object" in session:
                return json_response(session["object"])
            first, last, total = _content_range(request)
            file = session["file"]
            if first is not None:
                await self._add(request, file, first)
            received = self._files.received(file)
            if total is None:
                whole = first is not None and last is None
                total = received if whole else session["total"]
            if total is None or received < total:
                return self._incomplete(file, upload_id, received)
            if received > total:
                raise invalid_argument(
                    f"Invalid request. The upload holds {received} byte(s), but the Content-Range header says {total}."
                )
            return await self._complete(request, upload_id, session)

    async def _add(self, request: Request, file: str, first: int) -> None:
        received = self._files.received(file)
        if first > received:
            raise invalid_argument(
                f"Invalid request. According to the Content-Range header, the upload offset is {first} byte(s), "
                f"which exceeds already uploaded size of {received} byte(s)."
            )
        await self._files.append(file, _skip(request.body, received - first))

    def _incomplete(self, file: str, upload_id: str, received: int) -> Response:
        kept = received - received % _GRANULE
        self._files.truncate(file, kept)
        headers = Headers([("X-GUploader-UploadID", upload_id)])
        if kept:
            headers.set("Range", f"bytes=0-{kept - 1}")
        return Response(308, headers)

    async def _complete(self, request: Request, upload_id: str, session: Json) -> Response:
        write = Write(
            Identity(session["member"]) if session["member"] else None,
            session["bucket"],
            session["name"],
            _digests(request.headers) | session["metadata"],
            session["params"],
        )
        content = await self._files.finish(session["file"])
        try:
            record = self._objects.commit(write, content)
        except ApiError:
            self._forget(upload_id)
            raise
        # Asked again (the answer got lost), a finished session shows the object.
        shown = self._view(write, record)
        self._sessions.put(upload_id, {"started": session["started"], "object": shown})
        self._locks.pop(upload_id, None)
        return json_response(shown)

    async def cancel(self, upload_id: str) -> Response:
        """DELETE: ends a session and frees its bytes. 499 is what Cloud Storage answers."""
        session = self._session(upload_id)
        if "object" not in session:
            self._files.abandon(session["file"])
        self._forget(upload_id)
        return Response(499)

    def _session(self, upload_id: str) -> Json:
        session = self._sessions.get(upload_id)
        if session is None:
            self._locks.pop(upload_id, None)
            raise not_found("Upload session not found: it was cancelled, has expired, or never was.")
        return session

    def _forget(self, upload_id: str) -> None:
        self._sessions.delete(upload_id)
        self._locks.pop(upload_id, None)

    def _metadata(self, text: bytes) -> Json:
        return self._validator.validate("Object", parse_json(text, reason="parseError"))

    @staticmethod
    def _write(
        identity: Identity | None, bucket: str, params: Json, body: Json, content_type: str | None
    ) -> Write:
        name = params.get("name") or body.get("name") or ""
        if content_type:
            body.setdefault("contentType", content_type)
        if params.get("contentEncoding"):
            body.setdefault("contentEncoding", params["contentEncoding"])
        return Write(identity, bucket, name, body, params)


def _digests(headers: Headers) -> Json:
    """The digests that a client sent as headers (``X-Goog-Hash: crc32c=...,md5=...``, ``Content-MD5``)."""
    values = [value for key, value in headers.items if key.lower() == "x-goog-hash"]
    pairs = dict(item.strip().partition("=")[::2] for value in values for item in value.split(","))
    found = {"md5Hash": pairs.get("md5") or headers.get("content-md5"), "crc32c": pairs.get("crc32c")}
    return {name: value for name, value in found.items() if value}


def _content_range(request: Request) -> tuple[int | None, int | None, int | None]:
    """First and last byte and the total of a chunk; no first byte asks for the status; no header is all the rest."""
    header = request.headers.get("content-range")
    if header is None:
        return 0, None, None
    found = _CONTENT_RANGE.fullmatch(header.strip())
    if found is None:
        raise invalid_argument(f"Failed to parse Content-Range header: {header}", reason="badContentRange")
    first, last, total = found.groups()
    return (
        int(first) if first else None,
        int(last) if last else None,
        None if total == "*" else int(total),
    )


async def _skip(body: AsyncIterator[bytes], count: int) -> AsyncIterator[bytes]:
    async for part in body:
        if count < len(part):
            yield part[count:]
        count = max(0, count - len(part))


class _Multipart:
    """A ``multipart/related`` body of two parts: JSON metadata, then media, which is not held in memory."""

    def __init__(self, request: Request) -> None:
        header = Message()
        header["Content-Type"] = request.headers.get("content-type") or ""
        boundary = header.get_boundary()
        if header.get_content_type() != "multipart/related" or not boundary:
            raise invalid_argument(
                "Multipart upload requires a Content-Type of multipart/related with a boundary.",
                reason="badContent",
            )
        # gcloud puts the boundary in single quotes, which are no part of it.
        self._boundary = b"--" + boundary.strip("'").encode()
        self._newline = b""
        self._body = request.body
        self._held = b""

    @property
    def _mark(self) -> bytes:
        return self._newline + self._boundary

    async def metadata(self) -> bytes:
        """The first part's body."""
        await self._read_until(self._boundary)
        # RFC 2046 asks for CR LF; gcloud ends lines with LF alone, and Cloud Storage takes both.
        self._newline = b"\n" if (await self._read_until(b"\n")) == b"" else b"\r\n"
        self._held = self._newline + self._held
        await self._read_until(self._newline * 2)
        return await self._read_until(self._mark)

    async def media(self) -> tuple[str | None, AsyncIterator[bytes]]:
        """The second part's content type and body."""
        header = Message()
        for line in (await self._read_until(self._newline * 2)).decode("latin-1").splitlines():
            name, colon, value = line.partition(":")
            if colon:
                header[name.strip()] = value.strip()
        return header["Content-Type"], self._media()

    async def _more(self) -> None:
        part = await anext(self._body, None)
        if part is None:
            raise invalid_argument("Malformed multipart body.", reason="badContent")
        self._held += part

    async def _read_until(self, mark: bytes) -> bytes:
        while mark not in self._held:
            if len(self._held) > _MAX_METADATA:
                raise invalid_argument("The metadata part is too large.", reason="uploadTooLarge")
            await self._more()
        found, _, self._held = self._held.partition(mark)
        return found

    async def _media(self) -> AsyncIterator[bytes]:
        keep = len(self._mark) - 1
        while self._mark not in self._held:
            # Its end may be the beginning of the closing boundary.
            ready = max(0, len(self._held) - keep)
            yield self._held[:ready]
            self._held = self._held[ready:]
            await self._more()
        yield self._held.partition(self._mark)[0]
